//! Sessions between hosts and the controller: slow, in order, and lost with all that is on its way.

use rackhaven_proto::model::{OrderId, PowerNotice, ShutdownOrder, ShutdownProgress};

/// To a host's agent.
#[derive(Debug, Clone)]
pub(super) enum ToHost {
    Opened,
    Notice(PowerNotice),
    Order(ShutdownOrder),
    Abort(OrderId),
    Drained(OrderId),
}

/// To the controller.
#[derive(Debug, Clone)]
pub(super) enum ToControl {
    Up { boot: u32 },
    Progress(ShutdownProgress),
}

/// One host's way to the controller.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// Of the session that is, or was last.
    pub(super) number: u32,
    pub(super) open: bool,
    /// The agent takes it for open.
    pub(super) agent_has: bool,
    /// The controller takes it for open.
    pub(super) control_has: bool,
    /// The network between them.
    pub(super) reach: bool,
    to_host_ms: u64,
    to_control_ms: u64,
    /// How often the agent has dialled in vain.
    pub(super) vain: u32,
}

impl Wire {
    pub(super) fn new() -> Self {
        Self { reach: true, ..Self::default() }
    }

    /// When a message to the host arrives that takes so long: not before the one before.
    pub(super) fn arrives_at_host_ms(&mut self, now_ms: u64, takes_ms: u64) -> u64 {
        self.to_host_ms = self.to_host_ms.max(now_ms + takes_ms);
        self.to_host_ms
    }

    /// The same to the controller.
    pub(super) fn arrives_at_control_ms(&mut self, now_ms: u64, takes_ms: u64) -> u64 {
        self.to_control_ms = self.to_control_ms.max(now_ms + takes_ms);
        self.to_control_ms
    }
}
