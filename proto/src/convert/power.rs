use crate::model::{
    AlonePlan, Invalid, OrderId, PowerNotice, ProgressState, ShutdownOrder, ShutdownProgress, Step, StepKind,
    StepOutcome, StepResult, Steps, StopReport, Supply, plain_text,
};
use crate::v1;

/// Longest message of a step or an order, in bytes.
const MAX_MESSAGE_BYTES: usize = 512;

impl TryFrom<v1::Supply> for Supply {
    type Error = Invalid;

    fn try_from(wire: v1::Supply) -> Result<Self, Invalid> {
        match wire {
            v1::Supply::Mains => Ok(Self::Mains),
            v1::Supply::Battery => Ok(Self::Battery),
            v1::Supply::Unknown => Ok(Self::Unknown),
            v1::Supply::Unspecified => Err(Invalid::new("supply", "is missing")),
        }
    }
}

impl From<Supply> for v1::Supply {
    fn from(supply: Supply) -> Self {
        match supply {
            Supply::Mains => Self::Mains,
            Supply::Battery => Self::Battery,
            Supply::Unknown => Self::Unknown,
        }
    }
}

impl TryFrom<v1::StepKind> for StepKind {
    type Error = Invalid;

    fn try_from(wire: v1::StepKind) -> Result<Self, Invalid> {
        match wire {
            v1::StepKind::Drain => Ok(Self::Drain),
            v1::StepKind::StopK3s => Ok(Self::StopK3s),
            v1::StepKind::StopBackups => Ok(Self::StopBackups),
            v1::StepKind::Hooks => Ok(Self::Hooks),
            v1::StepKind::Unmount => Ok(Self::Unmount),
            v1::StepKind::Sync => Ok(Self::Sync),
            v1::StepKind::PowerOff => Ok(Self::PowerOff),
            v1::StepKind::Unspecified => Err(Invalid::new("step.kind", "is missing")),
        }
    }
}

impl From<StepKind> for v1::StepKind {
    fn from(kind: StepKind) -> Self {
        match kind {
            StepKind::Drain => Self::Drain,
            StepKind::StopK3s => Self::StopK3s,
            StepKind::StopBackups => Self::StopBackups,
            StepKind::Hooks => Self::Hooks,
            StepKind::Unmount => Self::Unmount,
            StepKind::Sync => Self::Sync,
            StepKind::PowerOff => Self::PowerOff,
        }
    }
}

/// A step by its number on the wire.
fn step_kind(number: i32) -> Result<StepKind, Invalid> {
    v1::StepKind::try_from(number)
        .map_err(|_| Invalid::new("step.kind", format!("{number} is not known to this version")))?
        .try_into()
}

fn steps_from(wire: Vec<v1::ShutdownStep>) -> Result<Steps, Invalid> {
    let steps = wire.into_iter().map(|step| Ok(Step { kind: step_kind(step.kind)?, timeout_ms: step.timeout_ms }));
    steps.collect::<Result<Vec<_>, Invalid>>()?.try_into()
}

impl From<Steps> for Vec<v1::ShutdownStep> {
    fn from(steps: Steps) -> Self {
        let wire =
            |step: &Step| v1::ShutdownStep { kind: v1::StepKind::from(step.kind).into(), timeout_ms: step.timeout_ms };
        steps.as_slice().iter().map(wire).collect()
    }
}

impl TryFrom<v1::StepResult> for StepResult {
    type Error = Invalid;

    fn try_from(wire: v1::StepResult) -> Result<Self, Invalid> {
        use v1::step_result::Outcome;
        plain_text("step.message", &wire.message, MAX_MESSAGE_BYTES)?;
        let outcome = match Outcome::try_from(wire.outcome) {
            Ok(Outcome::Done) => StepOutcome::Done,
            Ok(Outcome::Failed) => StepOutcome::Failed,
            Ok(Outcome::TimedOut) => StepOutcome::TimedOut,
            Ok(Outcome::Skipped) => StepOutcome::Skipped,
            Ok(Outcome::Abandoned) => StepOutcome::Abandoned,
            Ok(Outcome::Unspecified) | Err(_) => {
                return Err(Invalid::new("step.outcome", format!("{} is not known", wire.outcome)));
            }
        };
        Ok(Self { kind: step_kind(wire.kind)?, outcome, duration_ms: wire.duration_ms, message: wire.message })
    }
}

impl From<StepResult> for v1::StepResult {
    fn from(result: StepResult) -> Self {
        use v1::step_result::Outcome;
        let outcome = match result.outcome {
            StepOutcome::Done => Outcome::Done,
            StepOutcome::Failed => Outcome::Failed,
            StepOutcome::TimedOut => Outcome::TimedOut,
            StepOutcome::Skipped => Outcome::Skipped,
            StepOutcome::Abandoned => Outcome::Abandoned,
        };
        Self {
            kind: v1::StepKind::from(result.kind).into(),
            outcome: outcome.into(),
            duration_ms: result.duration_ms,
            message: result.message,
        }
    }
}

/// The results of steps, at most one each.
fn results_from(wire: Vec<v1::StepResult>) -> Result<Vec<StepResult>, Invalid> {
    if wire.len() > StepKind::ALL.len() {
        return Err(Invalid::new("steps", format!("are {}, at most {} are known", wire.len(), StepKind::ALL.len())));
    }
    wire.into_iter().map(StepResult::try_from).collect()
}

impl TryFrom<v1::ShutdownOrder> for ShutdownOrder {
    type Error = Invalid;

    fn try_from(wire: v1::ShutdownOrder) -> Result<Self, Invalid> {
        plain_text("shutdown.reason", &wire.reason, MAX_MESSAGE_BYTES)?;
        let steps = steps_from(wire.steps)?;
        if wire.drill && steps.as_slice().iter().any(|step| step.kind == StepKind::PowerOff) {
            return Err(Invalid::new("shutdown.steps", "of a drill hold a power-off"));
        }
        Ok(Self { id: wire.order_id.parse()?, steps, drill: wire.drill, reason: wire.reason })
    }
}

impl From<ShutdownOrder> for v1::ShutdownOrder {
    fn from(order: ShutdownOrder) -> Self {
        Self { order_id: order.id.to_string(), steps: order.steps.into(), drill: order.drill, reason: order.reason }
    }
}

impl TryFrom<v1::PowerNotice> for PowerNotice {
    type Error = Invalid;

    fn try_from(wire: v1::PowerNotice) -> Result<Self, Invalid> {
        let supply = v1::Supply::try_from(wire.supply)
            .map_err(|_| Invalid::new("power.supply", format!("{} is not known", wire.supply)))?
            .try_into()?;
        let alone = wire.alone.map(|alone| {
            let steps = steps_from(alone.steps)?;
            Ok::<_, Invalid>(AlonePlan { order_id: alone.order_id.parse()?, begin_in_ms: alone.begin_in_ms, steps })
        });
        Ok(Self { supply, alone: alone.transpose()?, hold_k3s: wire.hold_k3s })
    }
}

impl From<PowerNotice> for v1::PowerNotice {
    fn from(notice: PowerNotice) -> Self {
        let alone = |alone: AlonePlan| v1::AlonePlan {
            order_id: alone.order_id.to_string(),
            begin_in_ms: alone.begin_in_ms,
            steps: alone.steps.into(),
        };
        Self {
            supply: v1::Supply::from(notice.supply).into(),
            alone: notice.alone.map(alone),
            hold_k3s: notice.hold_k3s,
        }
    }
}

impl TryFrom<v1::ShutdownProgress> for ShutdownProgress {
    type Error = Invalid;

    fn try_from(wire: v1::ShutdownProgress) -> Result<Self, Invalid> {
        use v1::shutdown_progress::State;
        plain_text("progress.message", &wire.message, MAX_MESSAGE_BYTES)?;
        let state = match State::try_from(wire.state) {
            Ok(State::Running) => ProgressState::Running,
            Ok(State::PoweringOff) => ProgressState::PoweringOff,
            Ok(State::Aborted) => ProgressState::Aborted,
            Ok(State::Drilled) => ProgressState::Drilled,
            Ok(State::Failed) => ProgressState::Failed,
            Ok(State::Unspecified) | Err(_) => {
                return Err(Invalid::new("progress.state", format!("{} is not known", wire.state)));
            }
        };
        let current = match wire.current {
            0 => None,
            number => Some(step_kind(number)?),
        };
        Ok(Self {
            order_id: wire.order_id.parse()?,
            state,
            steps: results_from(wire.steps)?,
            current,
            alone: wire.alone,
            message: wire.message,
        })
    }
}

impl From<ShutdownProgress> for v1::ShutdownProgress {
    fn from(progress: ShutdownProgress) -> Self {
        use v1::shutdown_progress::State;
        let state = match progress.state {
            ProgressState::Running => State::Running,
            ProgressState::PoweringOff => State::PoweringOff,
            ProgressState::Aborted => State::Aborted,
            ProgressState::Drilled => State::Drilled,
            ProgressState::Failed => State::Failed,
        };
        Self {
            order_id: progress.order_id.to_string(),
            state: state.into(),
            steps: progress.steps.into_iter().map(Into::into).collect(),
            current: progress.current.map_or(v1::StepKind::Unspecified, Into::into).into(),
            alone: progress.alone,
            message: progress.message,
        }
    }
}

impl TryFrom<v1::StopReport> for StopReport {
    type Error = Invalid;

    fn try_from(wire: v1::StopReport) -> Result<Self, Invalid> {
        plain_text("stop_report.boot_id", &wire.boot_id, 256)?;
        let order_id = match wire.order_id.as_str() {
            "" => None,
            id => Some(id.parse::<OrderId>()?),
        };
        Ok(Self { boot_id: wire.boot_id, order_id, clean: wire.clean, steps: results_from(wire.steps)? })
    }
}

impl From<StopReport> for v1::StopReport {
    fn from(report: StopReport) -> Self {
        Self {
            boot_id: report.boot_id,
            order_id: report.order_id.map(|id| id.to_string()).unwrap_or_default(),
            clean: report.clean,
            steps: report.steps.into_iter().map(Into::into).collect(),
        }
    }
}
