//! What is known of the cluster's nodes now, for all who want to look.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::NodeFacts;

/// Pods that were counted so lately are not counted again for who looks, milliseconds.
const COUNT_HOLDS_MS: u64 = 250;
/// For so long a count is waited for.
const COUNT_PATIENCE: Duration = Duration::from_secs(1);

/// The cluster as it was told last.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Whether there is a way to an API.
    pub configured: bool,
    /// By name in the cluster.
    pub nodes: BTreeMap<String, NodeFacts>,
    /// Pods on each node that have not ended; none before they were counted.
    pub pods: Option<BTreeMap<String, u32>>,
    /// When that was, the clock's monotonic milliseconds.
    pub counted_ms: Option<u64>,
    /// Why the API does not tell; empty if it does.
    pub problem: String,
    /// Since when it does not, likewise.
    pub silent_since_ms: Option<u64>,
    /// When it answered last, likewise.
    pub heard_ms: Option<u64>,
}

/// [`Known`], kept up to date by [`super::keep()`].
#[derive(Debug)]
pub struct Nodes {
    known: Mutex<Known>,
    changes: watch::Sender<u64>,
    count_wanted: Notify,
}

impl Default for Nodes {
    fn default() -> Self {
        Self { known: Mutex::default(), changes: watch::Sender::new(0), count_wanted: Notify::new() }
    }
}

impl Nodes {
    /// Looks at what is known.
    pub fn look<T>(&self, at: impl FnOnce(&Known) -> T) -> T {
        at(&self.lock())
    }

    /// Rung when a node has changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A node is like this now.
    pub fn put(&self, node: NodeFacts) {
        self.change(|known| drop(known.nodes.insert(node.name.clone(), node)));
    }

    /// Has pods counted anew for who looks at them, unless they just were; comes back after a moment at the latest.
    pub async fn recount(&self, now_ms: u64) {
        let mut changes = self.changes();
        let (tells, before) =
            self.look(|known| (known.configured && known.silent_since_ms.is_none(), known.counted_ms));
        if !tells || before.is_some_and(|counted_ms| now_ms.saturating_sub(counted_ms) < COUNT_HOLDS_MS) {
            return;
        }
        self.count_wanted.notify_one();
        let counted = async {
            while self.look(|known| known.counted_ms) == before {
                // The sender is here.
                let _ = changes.changed().await;
            }
        };
        // What is known is shown if it takes longer.
        let _ = timeout(COUNT_PATIENCE, counted).await;
    }

    /// Waits until somebody wants pods counted.
    pub(super) async fn count_wanted(&self) {
        self.count_wanted.notified().await;
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.lock());
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// The API has answered.
    pub(super) fn heard(&self, now_ms: u64) {
        let mut known = self.lock();
        (known.heard_ms, known.silent_since_ms) = (Some(now_ms), None);
        known.problem.clear();
    }

    /// The API has not answered since then.
    pub fn silent(&self, why: String, since_ms: u64) {
        let mut known = self.lock();
        known.silent_since_ms.get_or_insert(since_ms);
        (known.configured, known.problem) = (true, why);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
