//! Orders as they come, from the controller, from the node itself, or from whoever stops the machine; and their undoing.

use rackhaven_proto::model::{
    OrderId, ProgressState, Severity, ShutdownOrder, ShutdownProgress, Step, StepKind, StepOutcome, Steps,
};

use super::core::Sequence;
use super::event::Action;
use super::record::{Origin, Phase, Run, told};

/// How the time is shared that somebody waits for us who stops this machine, in hundredths.
const SHARES: [(StepKind, u64); 5] = [
    (StepKind::StopK3s, 40),
    (StepKind::StopBackups, 10),
    (StepKind::Hooks, 30),
    (StepKind::Unmount, 10),
    (StepKind::Sync, 10),
];

impl Sequence {
    /// Takes an order; whether to tell how far the last one is, even if nothing changed.
    pub(super) fn order(&mut self, now_ms: u64, order: ShutdownOrder) -> bool {
        self.heard_ms = now_ms;
        let run = self.record.run.as_ref();
        if run.is_some_and(|run| run.order.id == order.id) {
            return true;
        }
        if let Some(state) = self.ended_state(&order.id) {
            self.tell_only(&order.id, state, "this order is over");
            return false;
        }
        if let Some(run) = run
            && run.is_active()
            && (order.drill || !run.gives_way())
        {
            let message = format!("order {} is being carried out", run.order.id);
            self.tell_only(&order.id, ProgressState::Failed, &message);
            if order.drill {
                self.remember(&order.id, ProgressState::Failed);
            }
            return false;
        }
        let (kind, severity, what) = match order.drill {
            true => ("shutdown.drill", Severity::Info, "rehearses its shutdown"),
            false => ("shutdown.begun", Severity::Warning, "goes down"),
        };
        self.note(kind, severity, told(&format!("the node {what}: {} (order {})", order.reason, order.id)));
        self.begin(now_ms, order, Origin::Ordered);
        false
    }

    /// Begins an order in the place of whatever was before.
    fn begin(&mut self, now_ms: u64, order: ShutdownOrder, origin: Origin) {
        self.cancel();
        let mut hooks = Vec::new();
        if let Some(run) = self.record.run.take() {
            if run.is_active() && run.origin != Origin::MachineStops {
                let dropped = Run { phase: Phase::Aborted, current: None, ..run };
                let message = "a shutdown goes first".to_owned();
                self.actions.push(Action::Tell(ShutdownProgress { message, ..dropped.progress() }));
                self.remember(&dropped.order.id, ProgressState::Aborted);
            } else if run.is_active() {
                // The same stop: what has run for it does not run again.
                hooks = run.hooks;
            }
        }
        self.set_alone(None);
        self.record.run = Some(Run {
            order: ShutdownOrder { reason: told(&order.reason), ..order },
            origin,
            phase: Phase::Running,
            results: Vec::new(),
            current: None,
            hooks,
            k3s_before: self.record.k3s_stopped,
            again_ms: None,
            abort_asked: false,
            message: String::new(),
            failed: false,
        });
        self.advance(now_ms);
    }

    /// Begins the node's own part when its moment has come.
    pub(super) fn pass_alone(&mut self, now_ms: u64) {
        let Some(alone) = self.alone.take_if(|alone| now_ms >= alone.begin_ms) else { return };
        self.set_alone(None);
        if self.record.run.as_ref().is_some_and(|run| run.order.id == alone.order_id || !run.gives_way()) {
            return;
        }
        let reason = "on battery, and no controller was heard in time";
        let message = format!("the node goes down alone: {reason} (order {})", alone.order_id);
        self.note("shutdown.alone", Severity::Critical, message);
        let order = ShutdownOrder { id: alone.order_id, steps: alone.steps, drill: false, reason: reason.to_owned() };
        self.begin(now_ms, order, Origin::Alone);
    }

    /// Ends an order; whether to tell how far the last one is, even if nothing changed.
    pub(super) fn abort(&mut self, now_ms: u64, id: &OrderId) -> bool {
        let Some(run) = self.record.run.as_mut().filter(|run| run.order.id == *id) else {
            // It may overtake its order, or be about the node's own part.
            let known = self.ended_state(id);
            if known.is_none() {
                self.remember(id, ProgressState::Aborted);
            }
            self.tell_only(id, known.unwrap_or(ProgressState::Aborted), "this order is over");
            return false;
        };
        match run.phase {
            // Who stops the machine is not to be told by a controller.
            _ if run.origin == Origin::MachineStops => {}
            Phase::Running => self.undo(now_ms, "aborted"),
            // Between two attempts nothing takes the machine down.
            Phase::PoweringOff if run.failed && run.current.is_none() => self.undo(now_ms, "aborted"),
            Phase::PoweringOff => run.abort_asked = true,
            Phase::Through | Phase::Aborted | Phase::Drilled => {}
        }
        true
    }

    /// Ends the order before the machine is off, and undoes what was done for it.
    pub(super) fn undo(&mut self, now_ms: u64, message: &str) {
        let cut = self.record.run.as_ref().and_then(|run| run.current);
        self.cancel();
        let Some(run) = &mut self.record.run else { return };
        if let Some(current) = cut.filter(|current| current.kind != StepKind::PowerOff) {
            run.end_step(now_ms, current, StepOutcome::Abandoned, "");
        }
        (run.phase, run.current, run.again_ms, run.failed) = (Phase::Aborted, None, None, false);
        run.message = message.to_owned();
        let (id, origin) = (run.order.id.clone(), run.origin);
        if origin != Origin::MachineStops {
            self.remember(&id, ProgressState::Aborted);
        }
        if self.record.k3s_stopped || self.record.hold_since_ms.is_some() {
            self.release(self.record.k3s_stopped);
        }
        self.note("shutdown.aborted", Severity::Info, format!("the node stays: {message} (order {id})"));
    }

    /// Somebody stops this machine: what can be done in the time that is left is done.
    pub(super) fn machine_stops(&mut self, now_ms: u64, budget_ms: u64) {
        self.let_go_ms = Some(now_ms.saturating_add(budget_ms));
        if self.record.run.as_ref().is_some_and(|run| run.is_active() && !run.order.drill) {
            return;
        }
        let share = |(kind, hundredths): &(StepKind, u64)| {
            let timeout_ms = u32::try_from(budget_ms.saturating_mul(*hundredths) / 100).unwrap_or(u32::MAX);
            Step { kind: *kind, timeout_ms: timeout_ms.clamp(1, Steps::MAX_TIMEOUT_MS) }
        };
        let boot: String =
            self.record.boot_id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(48).collect();
        let (Ok(steps), Ok(id)) = (
            Steps::try_from(SHARES.iter().map(share).collect::<Vec<_>>()),
            format!("{}{boot}", OrderId::LOCAL).parse(),
        ) else {
            return;
        };
        let order = ShutdownOrder { id, steps, drill: false, reason: "the machine is being stopped".to_owned() };
        self.begin(now_ms, order, Origin::MachineStops);
    }

    pub(super) fn machine_stays(&mut self, now_ms: u64) {
        self.let_go_ms = None;
        if self.record.run.as_ref().is_some_and(|run| run.is_active() && run.origin == Origin::MachineStops) {
            self.undo(now_ms, "the machine is not being stopped any more");
        }
    }

    /// Answers for an order that is not the last one.
    fn tell_only(&mut self, order_id: &OrderId, state: ProgressState, message: &str) {
        self.actions.push(Action::Tell(ShutdownProgress {
            order_id: order_id.clone(),
            state,
            steps: Vec::new(),
            current: None,
            alone: false,
            message: told(message),
        }));
    }
}
