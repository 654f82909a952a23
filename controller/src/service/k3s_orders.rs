use std::sync::Arc;
use std::time::Duration;

use rackhaven_proto::v1;
use rackhaven_proto::v1::k3s_nodes_server::K3sNodes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::Answers;
use crate::access::Caller;
use crate::core::Core;
use crate::k3s::Heard;
use crate::net::call_context;

/// How long a node may take for its first message.
const BEGIN: Duration = Duration::from_secs(10);
/// So much of a file goes into one message, and so many messages wait to be sent.
const PIECE_BYTES: usize = 128 * 1024;
const QUEUE_LENGTH: usize = 2;

/// What nodes tell and fetch for orders about K3s.
pub(super) struct K3sOrderService {
    core: Arc<Core>,
}

impl K3sOrderService {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

fn unasked() -> Status {
    Status::not_found("nobody waits for this order")
}

#[tonic::async_trait]
impl K3sNodes for K3sOrderService {
    type FetchStream = Answers<v1::ArtifactChunk>;

    async fn report(&self, request: Request<Streaming<v1::K3sNews>>) -> Result<Response<v1::K3sReportTaken>, Status> {
        let context = call_context(&request)?;
        let Caller::Node(node) = context.caller else { return Err(Status::permission_denied("nodes tell of orders")) };
        let mut inbound = request.into_inner();
        let mut news = tokio::time::timeout(BEGIN, inbound.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no first message"))??
            .ok_or_else(|| Status::invalid_argument("what is told begins with its order's id"))?;
        let sequence = self.core.k3s_orders.answered(&news.order_id, &node).ok_or_else(unasked)?;
        loop {
            let is_last = news.report.is_some();
            sequence.send(Heard::News(Box::new(news))).await.map_err(|_| unasked())?;
            if is_last {
                return Ok(Response::new(v1::K3sReportTaken {}));
            }
            let message = tokio::select! {
                message = inbound.message() => message,
                () = sequence.closed() => return Err(unasked()),
            };
            match message {
                Ok(Some(next)) => news = next,
                other => {
                    // The sequence may have been given up meanwhile.
                    let _ = sequence.send(Heard::Gone).await;
                    other?;
                    return Ok(Response::new(v1::K3sReportTaken {}));
                }
            }
        }
    }

    async fn fetch(&self, request: Request<v1::FetchArtifactRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let context = call_context(&request)?;
        let Caller::Node(node) = context.caller else { return Err(Status::permission_denied("nodes fetch files")) };
        let request = request.into_inner();
        let order = self.core.k3s_orders.artifact(&request.order_id, &node, &request.sha256);
        let artifact = order.ok_or_else(|| Status::not_found("no order that goes on names this file"))?;
        let artifacts = self.core.artifacts.clone();
        let (pieces, outgoing) = mpsc::channel(QUEUE_LENGTH);
        tokio::task::spawn_blocking(move || {
            let read = artifacts.read(&artifact, request.offset_bytes, PIECE_BYTES, |data| {
                pieces.blocking_send(Ok(v1::ArtifactChunk { artifact: None, data })).is_ok()
            });
            if let Err(error) = read {
                tracing::error!(%error, "a file of K3s's could not be read");
                let status = match error.is_absent() {
                    true => Status::not_found("the file was removed from the controller meanwhile"),
                    false => Status::internal(error.to_string()),
                };
                // The node may have gone.
                let _ = pieces.blocking_send(Err(status));
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}
