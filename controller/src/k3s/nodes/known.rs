//! What is known of the cluster's nodes now, for all who want to look.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::NodeFacts;

/// The cluster as it was told last.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Whether there is a way to an API.
    pub configured: bool,
    /// By name in the cluster.
    pub nodes: BTreeMap<String, NodeFacts>,
    /// Pods on each node that have not ended; none before they were counted.
    pub pods: Option<BTreeMap<String, u32>>,
    /// Why the API does not tell; empty if it does.
    pub problem: String,
    /// Since when it does not, the clock's monotonic milliseconds.
    pub silent_since_ms: Option<u64>,
    /// When it answered last, likewise.
    pub heard_ms: Option<u64>,
}

/// [`Known`], kept up to date by [`super::keep()`].
#[derive(Debug)]
pub struct Nodes {
    known: Mutex<Known>,
    changes: watch::Sender<u64>,
}

impl Default for Nodes {
    fn default() -> Self {
        Self { known: Mutex::default(), changes: watch::Sender::new(0) }
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
