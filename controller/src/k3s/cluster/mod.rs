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

use rackhaven_proto::v1;
use tokio::sync::oneshot;

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
    busy: Option<UnderWay>,
}

/// What is known of a sequence that goes on.
#[derive(Debug)]
struct UnderWay {
    /// The words for people.
    what: String,
    begun_ms: u64,
    /// A node and its step, as told last.
    last: Option<(String, v1::K3sStep)>,
    /// Takes who aborts it.
    abort: Option<oneshot::Sender<String>>,
}

/// A sequence that goes on. Dropped, another may begin.
#[derive(Debug)]
pub struct Busy {
    cluster: Arc<Cluster>,
    aborted: oneshot::Receiver<String>,
}

impl Busy {
    /// Waits until somebody aborts it; who.
    pub async fn aborted(&mut self) -> String {
        match (&mut self.aborted).await {
            Ok(by) => by,
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.cluster.lock().busy = None;
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

    /// What goes on, and how far it is; none if nothing does. `now_ms` is of the monotonic clock.
    pub fn sequence(&self, now_ms: u64) -> Option<v1::K3sSequence> {
        let state = self.lock();
        let under_way = state.busy.as_ref()?;
        let (node, step) = under_way.last.clone().unzip();
        Some(v1::K3sSequence {
            what: under_way.what.clone(),
            age_ms: now_ms.saturating_sub(under_way.begun_ms),
            node: node.unwrap_or_default(),
            step,
        })
    }

    /// Begins a sequence, which these words describe.
    ///
    /// # Errors
    /// When another one goes on.
    pub fn begin(self: &Arc<Self>, what: String, now_ms: u64) -> Result<Busy, String> {
        let mut state = self.lock();
        if let Some(other) = &state.busy {
            let ways = "ctl k3s status shows how far it is, ctl k3s abort ends it";
            return Err(format!("another sequence goes on: {}; {ways}", other.what));
        }
        let (abort, aborted) = oneshot::channel();
        state.busy = Some(UnderWay { what, begun_ms: now_ms, last: None, abort: Some(abort) });
        Ok(Busy { cluster: Arc::clone(self), aborted })
    }

    /// Remembers what a sequence tells of a node's step.
    fn note(&self, progress: &v1::K3sProgress) {
        if let (Some(step), Some(under_way)) = (&progress.step, &mut self.lock().busy) {
            under_way.last = Some((progress.node.clone(), step.clone()));
        }
    }

    /// Ends the sequence of these words; whether it goes on.
    pub fn abort(&self, what: &str, by: String) -> bool {
        match self.lock().busy.as_mut().filter(|under_way| under_way.what == what) {
            None => false,
            Some(under_way) => {
                // One that was aborted before is about to end.
                under_way.abort.take().is_none_or(|abort| abort.send(by).is_ok())
            }
        }
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
