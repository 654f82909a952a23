use rackhaven_proto::model::{
    OrderId, ProgressState, ShutdownOrder, ShutdownProgress, StepKind, StepResult, Steps, StopReport,
};
use serde::{Deserialize, Serialize};

/// Most orders that are remembered after their end, so that none of them is carried out again.
pub(super) const MAX_ENDED: usize = 16;
/// Most reports of ended boots that wait for a controller; the oldest go first.
pub(super) const MAX_REPORTS: usize = 4;
/// Most hooks that are run.
pub(super) const MAX_HOOKS: usize = 64;
/// Longest text that is told of a step or an order, bytes.
const MAX_TEXT_BYTES: usize = 500;

/// All that must survive the agent: on the disk before anything of it is performed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The boot to which the moments in it belong.
    pub(super) boot_id: String,
    /// The order that is carried out, or was the last.
    pub(super) run: Option<Run>,
    /// Orders that are over, oldest first.
    pub(super) ended: Vec<EndedOrder>,
    /// What the node does if it hears nothing more.
    pub(super) alone: Option<Alone>,
    /// Since when K3s is held, milliseconds since boot.
    pub(super) hold_since_ms: Option<u64>,
    /// Whether K3s was stopped for an order and not started again.
    pub(super) k3s_stopped: bool,
    /// What no controller has stored yet.
    pub(super) reports: Vec<KeptReport>,
}

/// An order and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Run {
    pub(super) order: ShutdownOrder,
    pub(super) origin: Origin,
    pub(super) phase: Phase,
    /// One for each step that has ended, in the order of the steps.
    pub(super) results: Vec<StepResult>,
    pub(super) current: Option<Current>,
    pub(super) hooks: Vec<HookMark>,
    /// Whether K3s had been stopped before this order's own step.
    pub(super) k3s_before: bool,
    /// When the machine is switched off once more, because it still runs, milliseconds since boot.
    pub(super) again_ms: Option<u64>,
    /// An abort came too late; it counts if the power-off fails.
    pub(super) abort_asked: bool,
    /// Why the machine could not be switched off, or what else there is to tell.
    pub(super) message: String,
    /// Whether the last attempt to switch off failed.
    pub(super) failed: bool,
}

/// Who began it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Origin {
    /// The controller.
    Ordered,
    /// The node itself, because it heard nothing more on battery.
    Alone,
    /// Somebody who stops this machine without asking us.
    MachineStops,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    /// In its steps.
    Running,
    /// The power-off was begun.
    PoweringOff,
    /// All is done, and somebody else switches the machine off.
    Through,
    Aborted,
    Drilled,
}

impl Run {
    /// Whether it is on its way down.
    pub(super) fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::PoweringOff | Phase::Through)
    }

    /// Whether an order may take its place.
    pub(super) fn gives_way(&self) -> bool {
        !self.is_active() || self.order.drill || self.origin == Origin::MachineStops
    }

    pub(super) fn state(&self) -> ProgressState {
        match self.phase {
            Phase::Running => ProgressState::Running,
            Phase::PoweringOff if self.failed => ProgressState::Failed,
            Phase::PoweringOff | Phase::Through => ProgressState::PoweringOff,
            Phase::Aborted => ProgressState::Aborted,
            Phase::Drilled => ProgressState::Drilled,
        }
    }

    pub(super) fn progress(&self) -> ShutdownProgress {
        ShutdownProgress {
            order_id: self.order.id.clone(),
            state: self.state(),
            steps: self.results.clone(),
            current: self.current.as_ref().map(|current| current.kind),
            alone: self.origin == Origin::Alone,
            message: self.message.clone(),
        }
    }
}

/// The step that is under way. Milliseconds since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Current {
    pub(super) kind: StepKind,
    pub(super) began_ms: u64,
    pub(super) deadline_ms: u64,
}

/// A hook that was begun, and is therefore not begun again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HookMark {
    pub(super) name: String,
    pub(super) ended: bool,
    /// Why it failed; empty if it did not.
    pub(super) failure: String,
}

/// An order that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndedOrder {
    pub(super) id: OrderId,
    pub(super) state: ProgressState,
}

/// The node's own part, with its moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Alone {
    pub(super) order_id: OrderId,
    /// Milliseconds since boot.
    pub(super) begin_ms: u64,
    pub(super) steps: Steps,
}

/// A report as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeptReport {
    pub(super) boot_id: String,
    pub(super) order_id: Option<OrderId>,
    pub(super) clean: bool,
    pub(super) steps: Vec<StepResult>,
}

impl KeptReport {
    pub(super) fn report(&self) -> StopReport {
        let Self { boot_id, order_id, clean, steps } = self.clone();
        StopReport { boot_id, order_id, clean, steps }
    }
}

/// Text that may be kept, told and shown: bounded, on one line.
pub(super) fn told(text: &str) -> String {
    let mut told: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let end = (0..=MAX_TEXT_BYTES.min(told.len())).rev().find(|end| told.is_char_boundary(*end)).unwrap_or_default();
    told.truncate(end);
    told
}
