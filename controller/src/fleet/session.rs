use rackhaven_proto::model::RunId;
use rackhaven_proto::v1::ControllerMessage;
use rackhaven_proto::v1::controller_message::Body;
use tokio::sync::mpsc;
use tonic::Status;

/// Messages to an agent that wait to be sent.
const OUTBOX_LENGTH: usize = 32;

/// A session's number in this run of the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub u64);

/// What goes to an agent: boxed, because each session's channel has room for many.
type Outgoing = Box<Result<ControllerMessage, Status>>;

/// Where messages to an agent go in.
#[derive(Debug, Clone)]
pub struct Outbox(mpsc::Sender<Outgoing>);

impl Outbox {
    /// A new one, and what comes out of it.
    pub fn new() -> (Self, mpsc::Receiver<Outgoing>) {
        let (sender, receiver) = mpsc::channel(OUTBOX_LENGTH);
        (Self(sender), receiver)
    }

    /// Sends if there is room; an agent that does not read is sent nothing more.
    pub fn try_send(&self, body: Body) -> bool {
        self.0.try_send(Box::new(Ok(ControllerMessage { body: Some(body) }))).is_ok()
    }

    /// Sends when there is room; false if the session has ended.
    pub async fn send(&self, body: Body) -> bool {
        self.0.send(Box::new(Ok(ControllerMessage { body: Some(body) }))).await.is_ok()
    }

    /// Ends the session with a reason. If there is no room for it, the end of the connection must do.
    pub fn end(&self, reason: Status) {
        let _ = self.0.try_send(Box::new(Err(reason)));
    }

    /// Whether the session has ended.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Completes when the session has ended.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

/// An open session, as the registry holds it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: SessionId,
    pub(super) run_id: RunId,
    pub(super) outbox: Outbox,
    pub(super) peer_address: String,
}
