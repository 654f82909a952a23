//! Writes timelines into the store, behind the driver's back: it must not wait for a database.

use tokio::sync::mpsc;

use crate::store::{OutageRecord, Store};

/// Records that wait; more are dropped with a word in the log, for the outage itself goes on.
const QUEUE_LENGTH: usize = 8192;
/// Most records of one transaction.
const BATCH_LENGTH: usize = 256;

/// Where records go in.
#[derive(Debug, Clone)]
pub(super) struct Recorder(mpsc::Sender<OutageRecord>);

impl Recorder {
    /// Starts writing.
    pub(super) fn start(store: Store) -> Self {
        let (records, queue) = mpsc::channel(QUEUE_LENGTH);
        tokio::spawn(write(store, queue));
        Self(records)
    }

    /// Hands a record in.
    pub(super) fn put(&self, record: OutageRecord) {
        if self.0.try_send(record).is_err() {
            tracing::error!("a line of a timeline was dropped: the store is too slow");
        }
    }
}

async fn write(store: Store, mut queue: mpsc::Receiver<OutageRecord>) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, BATCH_LENGTH).await > 0 {
        if let Err(error) = store.record_outage(std::mem::take(&mut batch)).await {
            tracing::error!(%error, "a timeline could not be stored");
        }
    }
}
