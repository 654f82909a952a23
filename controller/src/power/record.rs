//! Writes timelines and events into the store, behind the driver's back: it must not wait for a database.

use std::sync::Arc;

use rackhaven_proto::model::{NodeName, Severity};
use tokio::sync::mpsc;

use crate::core::Core;
use crate::store::OutageRecord;

/// Records that wait; more are dropped with a word in the log, for the outage itself goes on.
const QUEUE_LENGTH: usize = 8192;
/// Most records that are taken together.
const BATCH_LENGTH: usize = 256;

/// What is written down.
#[derive(Debug)]
pub(super) enum Record {
    /// Of an outage.
    Outage(OutageRecord),
    /// An event.
    Event {
        /// About whom; none for the controller.
        node: Option<NodeName>,
        /// A stable word.
        kind: &'static str,
        /// How much it matters.
        severity: Severity,
        /// For a person.
        message: String,
    },
}

/// Where records go in.
#[derive(Debug, Clone)]
pub(super) struct Recorder(mpsc::Sender<Record>);

impl Recorder {
    /// Starts writing.
    pub(super) fn start(core: Arc<Core>) -> Self {
        let (records, queue) = mpsc::channel(QUEUE_LENGTH);
        tokio::spawn(write(core, queue));
        Self(records)
    }

    /// Hands a record in.
    pub(super) fn put(&self, record: Record) {
        if let Err(error) = self.0.try_send(record) {
            tracing::error!("dropped, the store is too slow: {:?}", error.into_inner());
        }
    }
}

async fn write(core: Arc<Core>, mut queue: mpsc::Receiver<Record>) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, BATCH_LENGTH).await > 0 {
        let mut of_outages = Vec::new();
        for record in batch.drain(..) {
            match record {
                Record::Outage(record) => of_outages.push(record),
                Record::Event { node, kind, severity, message } => {
                    core.events.observe(&core.clock, node.as_ref(), kind, severity, message).await;
                }
            }
        }
        if !of_outages.is_empty()
            && let Err(error) = core.store.record_outage(of_outages).await
        {
            tracing::error!(%error, "a timeline could not be stored");
        }
    }
}
