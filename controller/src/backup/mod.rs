//! Backups of the fleet: what nodes tell of their jobs and runs, what is wrong with them, and who watches. Nodes run
//! their jobs by themselves; what is here may be gone for a while without a backup being missed.

mod judge;
mod memory;
mod orders;
mod tell;

pub use judge::{ArchiveFacts, Finding, Known, Trouble, is_good, lean};
pub use memory::{Loaded, Settlement};
pub use orders::Ordered;
pub use tell::{keep_watch, settle};

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rackhaven_proto::model::NodeName;
use rackhaven_proto::v1;
use tokio::sync::broadcast;

use crate::store::GivenJobs;

/// Changes that a slow watcher may be behind before it must look anew.
const FEED_LENGTH: usize = 512;

/// All that is known of backups, in memory.
pub struct Backups {
    inner: Mutex<Inner>,
    feed: broadcast::Sender<Arc<v1::BackupChange>>,
}

#[derive(Default)]
struct Inner {
    nodes: BTreeMap<NodeName, OfNode>,
    /// By node and run id.
    running: HashMap<(NodeName, String), Running>,
    orders: HashMap<String, Ordered>,
}

/// What is known of a node's backups.
#[derive(Default)]
struct OfNode {
    /// By name.
    jobs: BTreeMap<String, Known>,
    /// The set of given jobs that it has in effect.
    told_revision: u64,
    given: GivenJobs,
}

/// A run that is under way.
struct Running {
    progress: v1::BackupProgress,
    /// When it was last heard of, the controller's monotonic milliseconds.
    heard_ms: u64,
}

impl Backups {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The changes from now on.
    pub fn follow(&self) -> broadcast::Receiver<Arc<v1::BackupChange>> {
        self.feed.subscribe()
    }

    fn tell(&self, node: &NodeName, change: v1::backup_change::Change) {
        // Nobody may be watching.
        drop(self.feed.send(Arc::new(v1::BackupChange { node: node.to_string(), change: Some(change) })));
    }
}
