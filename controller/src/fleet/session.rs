use rackhaven_proto::model::RunId;
use rackhaven_proto::v1::ControllerMessage;
use tokio::sync::mpsc;
use tonic::Status;

/// A session's number in this run of the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub u64);

/// Where messages to an agent go in.
pub type Outbox = mpsc::Sender<Result<ControllerMessage, Status>>;

/// An open session, as the registry holds it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: SessionId,
    pub(super) run_id: RunId,
    pub(super) outbox: Outbox,
    pub(super) peer_address: String,
}
