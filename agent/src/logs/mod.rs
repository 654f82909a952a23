//! This machine's journal, for those who may read it: one order, one stream beside the session, so that a reader who is
//! slow holds up neither heartbeat nor shutdown.

mod journal;

use std::sync::Arc;
use std::time::Duration;

use rackhaven_proto::model::LogOrder;
use rackhaven_proto::v1;
use rackhaven_proto::v1::logs_client::LogsClient;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::causes::with_causes;
use crate::host::linux::Place;
use crate::host::linux::child::{Job, Speaking};

/// Most orders at a time.
const MOST: usize = 4;
/// Messages that wait to be sent.
const QUEUE_LENGTH: usize = 2;
/// How long a reader may stay.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Answers orders for logs.
#[derive(Debug, Clone)]
pub struct Logs {
    journalctl: String,
    room: Arc<Semaphore>,
}

impl Logs {
    /// `journalctl` is the program that reads the journal.
    pub fn new(journalctl: String) -> Self {
        Self { journalctl, room: Arc::new(Semaphore::new(MOST)) }
    }

    /// Answers an order over the session's connection, beside the session.
    pub fn answer(&self, channel: Channel, order: LogOrder, wall_unix_ms: i64) {
        let logs = self.clone();
        tokio::spawn(async move {
            tracing::info!(requested_by = order.requested_by, "this machine's log is read");
            let (lines, outgoing) = mpsc::channel(QUEUE_LENGTH);
            let first = v1::LogLines { order_id: order.id.as_str().to_owned(), ..v1::LogLines::default() };
            // The channel is new and empty.
            let _ = lines.try_send(first);
            let mut client = LogsClient::new(channel);
            let sent = client.send(ReceiverStream::new(outgoing));
            let (ended, ()) = tokio::join!(sent, logs.read(order, wall_unix_ms, lines));
            if let Err(status) = ended {
                tracing::debug!(%status, "a reader of the log has gone");
            }
        });
    }

    /// Reads until there is no more, or nobody listens.
    async fn read(&self, order: LogOrder, wall_unix_ms: i64, lines: mpsc::Sender<v1::LogLines>) {
        let Ok(_place) = self.room.try_acquire() else {
            return drop(lines.send(problem(format!("the log is read {MOST} times already"))).await);
        };
        let argv = journal::argv(&self.journalctl, &order.query, wall_unix_ms);
        let job = Job { argv: &argv, environment: &[], stands: false, place: Place::beyond_sandbox() };
        let read = async {
            let mut journal = Speaking::start(job, LONGEST)?;
            let mut said = String::new();
            while let Some(raw) = journal.lines().await {
                let mut told = Vec::with_capacity(raw.len());
                for line in raw {
                    match journal::parse(&line) {
                        Some(line) => told.push(line),
                        None => said = journal::words(&line),
                    }
                }
                if !told.is_empty()
                    && lines.send(v1::LogLines { lines: told, ..v1::LogLines::default() }).await.is_err()
                {
                    return Ok(());
                }
            }
            journal.end(said).await
        };
        let ended = tokio::select! {
            ended = read => ended,
            () = lines.closed() => return,
        };
        if let Err(error) = ended {
            let _ = lines.send(problem(with_causes(&error))).await;
        }
    }
}

fn problem(problem: String) -> v1::LogLines {
    v1::LogLines { problem, ..v1::LogLines::default() }
}
