use std::sync::Arc;

use rackhaven_proto::v1;
use rackhaven_proto::v1::events_server::Events;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Answers, bad_input, store_failed};
use crate::core::Core;
use crate::store::{EventFilter, EventRow};

/// Most stored events of one answer.
const MAX_LIMIT: u32 = 10_000;
const DEFAULT_LIMIT: u32 = 100;

/// What has happened.
pub(super) struct EventService {
    core: Arc<Core>,
}

impl EventService {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

fn to_wire(row: EventRow) -> v1::StoredEvent {
    v1::StoredEvent {
        position: row.position,
        node: row.node,
        kind: row.kind,
        severity: v1::Severity::from(row.severity).into(),
        message: row.message,
        happened_unix_ms: row.happened_ms,
        stored_unix_ms: row.stored_ms,
    }
}

#[tonic::async_trait]
impl Events for EventService {
    type ListStream = Answers<v1::StoredEvent>;

    async fn list(&self, request: Request<v1::ListEventsRequest>) -> Result<Response<Self::ListStream>, Status> {
        let request = request.into_inner();
        if request.limit > MAX_LIMIT {
            return Err(Status::invalid_argument(format!("limit: {} is more than {MAX_LIMIT}", request.limit)));
        }
        if !request.node.is_empty() {
            request.node.parse::<rackhaven_proto::model::NodeName>().map_err(bad_input)?;
        }
        let limit = if request.limit == 0 { DEFAULT_LIMIT } else { request.limit };
        let filter = EventFilter { node: request.node, after_position: request.after_position, limit };
        // Followed before it is read, so that nothing falls between.
        let feed = self.core.events.follow();
        let rows = self.core.store.events(filter.clone()).await.map_err(store_failed)?;
        if !request.follow {
            return Ok(Response::new(Box::pin(tokio_stream::iter(rows.into_iter().map(|row| Ok(to_wire(row)))))));
        }
        let (answers, stream) = mpsc::channel(64);
        tokio::spawn(follow(Arc::clone(&self.core), filter, rows, feed, answers));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

/// Sends what is stored, then what comes. A follower that fell behind the feed goes on from the store.
async fn follow(
    core: Arc<Core>,
    mut filter: EventFilter,
    mut rows: Vec<EventRow>,
    mut feed: tokio::sync::broadcast::Receiver<EventRow>,
    answers: mpsc::Sender<Result<v1::StoredEvent, Status>>,
) {
    loop {
        // As many as were asked for: the store may have more.
        let more = filter.after_position > 0 && rows.len() == filter.limit as usize;
        for row in rows.drain(..) {
            if row.position <= filter.after_position || !(filter.node.is_empty() || filter.node == row.node) {
                continue;
            }
            filter.after_position = row.position;
            if answers.send(Ok(to_wire(row))).await.is_err() {
                return;
            }
        }
        let next = if more {
            Err(RecvError::Lagged(0))
        } else {
            tokio::select! {
                next = feed.recv() => next,
                () = answers.closed() => return,
            }
        };
        match next {
            Ok(row) => rows.push(row),
            Err(RecvError::Closed) => return,
            Err(RecvError::Lagged(_)) => {
                filter.limit = MAX_LIMIT;
                match core.store.events(filter.clone()).await {
                    Ok(missed) => rows = missed,
                    Err(error) => return drop(answers.send(Err(store_failed(error))).await),
                }
            }
        }
    }
}
