//! From step to step, up to the power-off and its repetition.

use rackhaven_proto::model::{OrderId, ProgressState, Severity, StepKind, StepOutcome, StepResult};

use super::core::Sequence;
use super::event::{Action, StepJob};
use super::record::{Current, HookMark, MAX_HOOKS, Origin, Phase, Run, told};

/// Between two attempts to switch the machine off, milliseconds.
pub const POWER_OFF_PAUSE_MS: u64 = 5_000;
/// A machine that took the order and still runs after so long is told once more, milliseconds.
pub const STILL_HERE_MS: u64 = 300_000;

impl Run {
    /// Writes down how the current step ended.
    pub(super) fn end_step(&mut self, now_ms: u64, current: Current, outcome: StepOutcome, message: &str) {
        let duration_ms = u32::try_from(now_ms.saturating_sub(current.began_ms)).unwrap_or(u32::MAX);
        self.results.push(StepResult { kind: current.kind, outcome, duration_ms, message: told(message) });
        self.current = None;
    }

    /// How the step of the hooks went as a whole.
    fn hooks_outcome(&self, outcome: StepOutcome, message: &str) -> (StepOutcome, String) {
        let mut words: Vec<String> = Vec::new();
        words.extend((!message.is_empty()).then(|| message.to_owned()));
        let (mut failed, mut cut) = (false, false);
        for hook in &self.hooks {
            if !hook.failure.is_empty() {
                failed = true;
                words.push(format!("{}: {}", hook.name, hook.failure));
            } else if !hook.ended {
                cut = true;
                words.push(format!("{} was cut short", hook.name));
            }
        }
        let outcome = match outcome {
            StepOutcome::Done | StepOutcome::Skipped if failed => StepOutcome::Failed,
            StepOutcome::Done | StepOutcome::Skipped if cut => StepOutcome::Abandoned,
            other => other,
        };
        (outcome, words.join("; "))
    }
}

impl Sequence {
    /// Goes to the next step.
    pub(super) fn advance(&mut self, now_ms: u64) {
        while let Some(run) = self.record.run.as_mut().filter(|run| run.phase == Phase::Running) {
            let Some(step) = run.order.steps.as_slice().get(run.results.len()).copied() else {
                return self.through();
            };
            let current = Current {
                kind: step.kind,
                began_ms: now_ms,
                deadline_ms: now_ms.saturating_add(step.timeout_ms.into()),
            };
            let skipped = match step.kind {
                StepKind::Drain if run.origin == Origin::Alone => Some("the node acts alone"),
                StepKind::Drain if !self.session => Some("there is no controller"),
                StepKind::PowerOff if run.order.drill => Some("this is a drill"),
                _ => None,
            };
            if let Some(why) = skipped {
                run.end_step(now_ms, current, StepOutcome::Skipped, why);
                continue;
            }
            run.current = Some(current);
            match step.kind {
                // Asked of the controller, by telling that it is under way.
                StepKind::Drain => return,
                StepKind::PowerOff => run.phase = Phase::PoweringOff,
                StepKind::StopK3s => {
                    run.k3s_before = self.record.k3s_stopped;
                    self.record.k3s_stopped = true;
                }
                StepKind::StopBackups | StepKind::Hooks | StepKind::Unmount | StepKind::Sync => {}
            }
            return self.perform(now_ms, current);
        }
    }

    /// Lets the current step be performed in what is left of its time.
    pub(super) fn perform(&mut self, now_ms: u64, current: Current) {
        let Some(run) = &self.record.run else { return };
        self.last_ticket += 1;
        self.ticket = Some(self.last_ticket);
        self.actions.push(Action::RunStep(StepJob {
            ticket: self.last_ticket,
            kind: current.kind,
            order_id: run.order.id.clone(),
            reason: run.order.reason.clone(),
            drill: run.order.drill,
            limit_ms: current.deadline_ms.saturating_sub(now_ms),
        }));
    }

    /// All steps have ended, and there was no power-off among them.
    fn through(&mut self) {
        let Some(run) = &mut self.record.run else { return };
        if run.origin == Origin::MachineStops {
            run.phase = Phase::Through;
            return;
        }
        run.phase = Phase::Drilled;
        let id = run.order.id.clone();
        self.remember(&id, ProgressState::Drilled);
        if self.record.k3s_stopped && self.record.hold_since_ms.is_none() {
            self.release(true);
        }
    }

    pub(super) fn step_ended(&mut self, now_ms: u64, ticket: u64, outcome: StepOutcome, message: &str) {
        if self.ticket != Some(ticket) {
            return;
        }
        self.ticket = None;
        self.end_current(now_ms, outcome, message);
    }

    pub(super) fn drain_ended(&mut self, now_ms: u64, order_id: &OrderId, failure: &str) {
        let draining = self.record.run.as_ref().is_some_and(|run| {
            run.order.id == *order_id && run.current.is_some_and(|current| current.kind == StepKind::Drain)
        });
        if draining {
            let outcome = if failure.is_empty() { StepOutcome::Done } else { StepOutcome::Failed };
            self.end_current(now_ms, outcome, failure);
        }
    }

    /// The current step is over; the next begins.
    fn end_current(&mut self, now_ms: u64, outcome: StepOutcome, message: &str) {
        let Some(run) = &mut self.record.run else { return };
        let Some(current) = run.current else { return };
        if current.kind == StepKind::PowerOff {
            return self.power_off_ended(now_ms, current, outcome, message);
        }
        let (outcome, message) = match current.kind {
            StepKind::Hooks => run.hooks_outcome(outcome, message),
            _ => (outcome, message.to_owned()),
        };
        if current.kind == StepKind::StopK3s && outcome == StepOutcome::Skipped {
            self.record.k3s_stopped = run.k3s_before;
        }
        run.end_step(now_ms, current, outcome, &message);
        if !matches!(outcome, StepOutcome::Done | StepOutcome::Skipped) {
            let colon = if message.is_empty() { "" } else { ": " };
            let text = format!(
                "step {} {outcome}{colon}{message} (order {})",
                current.kind,
                run.order.id,
                outcome = outcome.as_str()
            );
            self.note("shutdown.step", Severity::Warning, told(&text));
        }
        self.advance(now_ms);
    }

    /// The machine took the order, or the next attempt follows after a pause.
    fn power_off_ended(&mut self, now_ms: u64, current: Current, outcome: StepOutcome, message: &str) {
        let Some(run) = &mut self.record.run else { return };
        if outcome == StepOutcome::Done {
            run.end_step(now_ms, current, outcome, message);
            (run.failed, run.message) = (false, String::new());
            run.again_ms = Some(now_ms.saturating_add(STILL_HERE_MS));
            return;
        }
        self.power_off_failed(now_ms, told(message), POWER_OFF_PAUSE_MS);
    }

    fn power_off_failed(&mut self, now_ms: u64, message: String, pause_ms: u64) {
        let Some(run) = &mut self.record.run else { return };
        let first = !run.failed && run.message.is_empty();
        run.current = None;
        (run.failed, run.message) = (true, message);
        run.again_ms = Some(now_ms.saturating_add(pause_ms));
        if run.abort_asked {
            return self.undo(now_ms, "aborted, and the power-off had failed");
        }
        if first {
            let text = format!("the machine cannot be switched off: {} (order {})", run.message, run.order.id);
            self.note("shutdown.failed", Severity::Critical, told(&text));
        }
    }

    /// Ends a step whose time is over, and switches off once more where that is due.
    pub(super) fn pass_deadline(&mut self, now_ms: u64) {
        let Some(run) = self.record.run.as_mut().filter(|run| run.is_active()) else { return };
        match run.current {
            Some(current) if now_ms < current.deadline_ms => {}
            // Begun by an earlier run of the agent: how it ended is not known, but the machine is still here.
            Some(current) if current.kind == StepKind::PowerOff && self.ticket.is_none() => self.power_off(now_ms),
            Some(current) => {
                self.cancel();
                let limit_ms = current.deadline_ms.saturating_sub(current.began_ms);
                self.end_current(now_ms, StepOutcome::TimedOut, &format!("not done after {limit_ms} ms"));
            }
            None if run.again_ms.is_none_or(|again_ms| now_ms < again_ms) => {}
            None if run.failed => self.power_off(now_ms),
            None => {
                run.results.retain(|result| result.kind != StepKind::PowerOff);
                let text = format!("the machine still runs {} s after it took the order", STILL_HERE_MS / 1000);
                self.power_off_failed(now_ms, text, 0);
                if self.is_active() {
                    self.power_off(now_ms);
                }
            }
        }
    }

    /// One more attempt.
    fn power_off(&mut self, now_ms: u64) {
        let Some(run) = &mut self.record.run else { return };
        let step = run.order.steps.as_slice().iter().find(|step| step.kind == StepKind::PowerOff);
        let Some(timeout_ms) = step.map(|step| step.timeout_ms) else { return };
        let deadline_ms = now_ms.saturating_add(timeout_ms.into());
        let current = Current { kind: StepKind::PowerOff, began_ms: now_ms, deadline_ms };
        (run.current, run.again_ms) = (Some(current), None);
        self.perform(now_ms, current);
    }

    /// The step of the hooks comes to one: marked before it is begun.
    pub(super) fn hook_next(&mut self, ticket: u64, name: String) {
        let Some(run) = self.record.run.as_mut().filter(|_| self.ticket == Some(ticket)) else { return };
        let known = run.hooks.iter().any(|hook| hook.name == name);
        if known || run.hooks.len() >= MAX_HOOKS {
            self.actions.push(Action::PassHook { ticket });
            return;
        }
        run.hooks.push(HookMark { name, ended: false, failure: String::new() });
        self.actions.push(Action::StartHook { ticket });
    }

    pub(super) fn hook_ended(&mut self, ticket: u64, name: &str, failure: &str) {
        let Some(run) = self.record.run.as_mut().filter(|_| self.ticket == Some(ticket)) else { return };
        if let Some(hook) = run.hooks.iter_mut().find(|hook| hook.name == name) {
            (hook.ended, hook.failure) = (true, told(failure));
        }
    }
}
