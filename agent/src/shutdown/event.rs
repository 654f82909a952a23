use rackhaven_proto::model::{
    OrderId, PowerNotice, Severity, ShutdownOrder, ShutdownProgress, StepKind, StepOutcome, StopReport,
};

/// What can happen to a node that may have to go down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The controller tells how the supply is.
    Notice(PowerNotice),
    /// The controller orders to go down, or to rehearse it.
    Order(ShutdownOrder),
    /// The controller ends an order.
    Abort(OrderId),
    /// The controller has drained the node, or will not.
    DrainEnded {
        /// For which order.
        order_id: OrderId,
        /// Why it was not drained; empty if it was.
        failure: String,
    },
    /// The controller has stored the report of this boot.
    ReportStored(String),
    /// What is to be stored by the controller was not in time: it is told again.
    NotStored,
    /// There is a session.
    SessionOpened,
    /// There is none any more.
    SessionLost,
    /// A step has ended by itself.
    StepEnded {
        /// As in the [`StepJob`].
        ticket: u64,
        /// How.
        outcome: StepOutcome,
        /// Why, where it did not go well.
        message: String,
    },
    /// The step of the hooks comes to this one.
    HookNext {
        /// As in the [`StepJob`].
        ticket: u64,
        /// Its file's name.
        name: String,
    },
    /// A hook has ended.
    HookEnded {
        /// As in the [`StepJob`].
        ticket: u64,
        /// Its file's name.
        name: String,
        /// Why it failed; empty if it did not.
        failure: String,
    },
    /// K3s was let go, as [`Action::ReleaseK3s`] asked.
    K3sReleased,
    /// Somebody stops this machine, and waits so long for us.
    MachineStops {
        /// Milliseconds.
        budget_ms: u64,
    },
    /// It is not stopped after all.
    MachineStays,
    /// The agent itself ends.
    AgentStops,
    /// Time has passed.
    Tick,
}

/// What is to be done, in this order, once the record is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Begin a step.
    RunStep(StepJob),
    /// The step's time is over, or it is not wanted any more.
    CancelStep {
        /// As in the [`StepJob`].
        ticket: u64,
    },
    /// Run the hook that was asked for.
    StartHook {
        /// As in the [`StepJob`].
        ticket: u64,
    },
    /// Do not run the hook that was asked for: it was begun before.
    PassHook {
        /// As in the [`StepJob`].
        ticket: u64,
    },
    /// Tell the controller, if there is a session.
    Tell(ShutdownProgress),
    /// Tell the controller, if there is a session.
    Report(StopReport),
    /// Keep K3s from starting.
    HoldK3s {
        /// Stop it, too.
        stop: bool,
    },
    /// Let K3s start again.
    ReleaseK3s {
        /// Start it even if nothing kept it from starting.
        start: bool,
    },
    /// Whoever stops this machine need not wait for us any more.
    LetGo,
    /// Keep an event for the controller.
    Note {
        /// Its kind.
        kind: &'static str,
        /// How bad it is.
        severity: Severity,
        /// For a person.
        message: String,
    },
}

/// A step to be performed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepJob {
    /// By which its end is known.
    pub ticket: u64,
    /// What.
    pub kind: StepKind,
    /// For which order.
    pub order_id: OrderId,
    /// Why, for a person.
    pub reason: String,
    /// Whether it is a rehearsal.
    pub drill: bool,
    /// It will be cancelled after this, milliseconds.
    pub limit_ms: u64,
}
