use std::sync::Arc;
use std::time::Duration;

use rackhaven_pki::{hex, random};
use rackhaven_proto::model::{LogOrder, LogOrderId, LogQuery, NodeName};
use rackhaven_proto::v1;
use rackhaven_proto::v1::controller_message::Body as ToAgent;
use rackhaven_proto::v1::logs_server::Logs;
use tonic::{Request, Response, Status, Streaming};

use super::backups::hand_over;
use super::{Answers, bad_input, existing, store_failed};
use crate::access::Caller;
use crate::core::Core;
use crate::logs::{Lines, Reading};
use crate::net::call_context;

/// How long a node may take to begin its answer.
const BEGIN: Duration = Duration::from_secs(10);
/// Most lines in one message of a node.
const MOST_LINES: usize = 4096;

/// The nodes' logs.
pub(super) struct LogService {
    core: Arc<Core>,
}

impl LogService {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

/// What is read, for the audit log.
fn described(node: &NodeName, query: &LogQuery) -> String {
    let units = query.units.iter().map(|unit| format!(" unit={unit}"));
    let since = query.since_ms.map(|ms| format!(" since={}s", ms / 1000));
    let follow = query.follow.then(|| " follow".to_owned());
    format!("{node}:{}", units.chain(since).chain(follow).collect::<String>())
}

/// Passes on what a node sends; its last words are why there is no more.
async fn next(mut reading: Reading) -> Option<(Lines, Reading)> {
    let lines = match reading.lines.recv().await? {
        Ok(lines) if !lines.problem.is_empty() => Err(Status::failed_precondition(lines.problem)),
        other => other,
    };
    Some((lines, reading))
}

#[tonic::async_trait]
impl Logs for LogService {
    type ReadStream = Answers<v1::LogLines>;

    async fn read(&self, request: Request<v1::ReadLogsRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let context = call_context(&request)?;
        let core = &self.core;
        let request = request.into_inner();
        let node = existing(core, &request.node)?;
        let query = LogQuery::try_from(request.query.unwrap_or_default()).map_err(bad_input)?;
        let away = || Status::unavailable(format!("{node} is not connected: its log cannot be read now"));
        let outbox = core.registry.outbox(&node).ok_or_else(away)?;
        let random = random::<16>().map_err(|error| Status::internal(error.to_string()))?;
        let id: LogOrderId = hex(&random).parse().map_err(bad_input)?;
        let full = || Status::resource_exhausted("too many logs are read already");
        let mut reading = core.logs.begin(id.clone(), node.clone()).ok_or_else(full)?;
        let target = described(&node, &query);
        let audit = core.audit_entry(&context.caller, &context.origin, "Logs/Read", &target, "ok");
        core.store.audit_all(vec![audit]).await.map_err(store_failed)?;
        let order = LogOrder { id, query, requested_by: context.caller.to_string() };
        if !hand_over(&outbox, ToAgent::Log(order.into())).await {
            return Err(Status::unavailable(format!("{node} does not take the order")));
        }
        // The first message is empty, and says that there is an answer.
        match tokio::time::timeout(BEGIN, reading.lines.recv()).await {
            Ok(Some(first)) => drop(first?),
            Ok(None) => return Err(away()),
            Err(_) => {
                let silent =
                    format!("{node} has not answered within {} s; is its agent an older one?", BEGIN.as_secs());
                return Err(Status::unavailable(silent));
            }
        }
        Ok(Response::new(Box::pin(futures_util::stream::unfold(reading, next))))
    }

    async fn send(&self, request: Request<Streaming<v1::LogLines>>) -> Result<Response<v1::SendLogsResponse>, Status> {
        let context = call_context(&request)?;
        let Caller::Node(node) = context.caller else {
            return Err(Status::permission_denied("logs are sent by nodes"));
        };
        let mut inbound = request.into_inner();
        let first = tokio::time::timeout(BEGIN, inbound.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no first message"))??
            .ok_or_else(|| Status::invalid_argument("an answer begins with its order's id"))?;
        let id: LogOrderId = first.order_id.parse().map_err(bad_input)?;
        let unasked = || Status::not_found("nobody waits for this log");
        let reader = self.core.logs.answered(&id, &node).ok_or_else(unasked)?;
        let gone = || Status::cancelled("the reader has gone");
        let begun = v1::LogLines::default();
        reader.send(Ok(begun)).await.map_err(|_| gone())?;
        loop {
            let message = tokio::select! {
                message = inbound.message() => message,
                () = reader.closed() => return Err(gone()),
            };
            let lines = match message {
                Ok(Some(lines)) if lines.lines.len() > MOST_LINES => {
                    return Err(Status::invalid_argument(format!("{} lines in one message", lines.lines.len())));
                }
                Ok(Some(lines)) => lines,
                Ok(None) => return Ok(Response::new(v1::SendLogsResponse {})),
                Err(status) => {
                    // Whoever reads must not take this for the end of the log.
                    let _ = reader.send(Err(Status::unavailable(format!("{node} has gone in the midst of it")))).await;
                    return Err(status);
                }
            };
            reader.send(Ok(lines)).await.map_err(|_| gone())?;
        }
    }
}
