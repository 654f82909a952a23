//! A K3s cluster made of the fleet's nodes: what it is on the disk, and the sequences that change it.

mod api;
mod leave;
mod memory;
mod order;
mod record;
mod sequence;
mod servers;
mod teller;
mod wanted;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memory::Memory;
pub use record::Record;
pub use sequence::Sequence;
pub use teller::{Progress, Teller};

/// The cluster, and what is being done with it.
#[derive(Debug)]
pub struct Cluster {
    memory: Memory,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// As on the disk.
    record: Result<Option<Record>, String>,
    /// What goes on: the words for people.
    busy: Option<String>,
}

/// A sequence that goes on. Dropped, another may begin.
#[derive(Debug)]
pub struct Busy(Arc<Cluster>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.lock().busy = None;
    }
}

impl Cluster {
    /// As it is on the disk, in the folder for K3s.
    pub fn open(folder: &Path) -> Self {
        let memory = Memory::new(folder);
        let record = memory.load().map_err(|error| error.to_string());
        if let Err(error) = &record {
            tracing::error!(error, "the record of the K3s cluster cannot be read; it is left as it is");
        }
        Self { memory, state: Mutex::new(State { record, busy: None }) }
    }

    /// The cluster; none if there is none.
    ///
    /// # Errors
    /// When its record cannot be read.
    pub fn record(&self) -> Result<Option<Record>, String> {
        self.lock().record.clone()
    }

    /// What goes on; empty if nothing does.
    pub fn sequence(&self) -> String {
        self.lock().busy.clone().unwrap_or_default()
    }

    /// Begins a sequence, which these words describe.
    ///
    /// # Errors
    /// When another one goes on.
    pub fn begin(self: &Arc<Self>, words: String) -> Result<Busy, String> {
        let mut state = self.lock();
        if let Some(other) = &state.busy {
            return Err(format!("another sequence goes on: {other}"));
        }
        state.busy = Some(words);
        Ok(Busy(Arc::clone(self)))
    }

    /// Writes the record down, and only then has it.
    ///
    /// # Errors
    /// When the disk refuses: nothing has changed then.
    pub fn save(&self, record: Option<Record>) -> Result<(), String> {
        self.memory.save(record.as_ref()).map_err(|error| error.to_string())?;
        self.lock().record = Ok(record);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
