//! What nodes say and do: how far they are with an order, that they come, that they are gone.

use rackhaven_proto::model::{NodeName, ProgressState, Severity, ShutdownProgress, StepKind, StepOutcome};

use super::down::AGAIN_MS;
use super::state::{Direction, Kind, Phase, Track};
use super::{Action, Context, Core};

impl Core {
    pub(super) fn node_up(&mut self, context: &Context<'_>, node: NodeName, boot_id: String) {
        let now_ms = context.now_ms;
        self.present.insert(node.clone(), boot_id.clone());
        let Some(outage) = &mut self.state.outage else { return };
        let up = outage.direction == Direction::Up;
        // Whether it is to go on with its order.
        let goes = !up && outage.goes(&node);
        if context.roster.members.contains_key(&node) {
            outage.nodes.entry(node.clone()).or_insert_with(|| Track::new(None, now_ms));
        }
        let Some(track) = self.track(&node) else { return };
        let rebooted = !track.boot_id.is_empty() && track.boot_id != boot_id;
        let phase = track.phase;
        let changed = track.boot_id != boot_id;
        track.boot_id = boot_id;
        let (began, ordered, keep_off) = (track.began_ms.is_some(), track.order.is_some(), track.keep_off);
        self.dirty |= changed;
        match phase {
            Phase::Absent => self.set_phase(&node, Phase::Running, now_ms),
            Phase::Ordered | Phase::Stopping | Phase::PoweringOff | Phase::Off | Phase::Missing | Phase::Aborting
                if rebooted =>
            {
                self.returned(context, &node);
            }
            // Out of reach for too long; that is all.
            Phase::Missing | Phase::Off if !ordered => {
                self.set_phase(&node, if up { Phase::Back } else { Phase::Running }, now_ms);
            }
            // It may have been given up while it was only out of reach: what it says of its order follows.
            Phase::Missing | Phase::Off if !goes && !keep_off => {
                self.set_phase(&node, Phase::Aborting, now_ms);
                self.send_abort(context, &node);
            }
            Phase::Missing if !began && keep_off => {
                if let Some(track) = self.track(&node) {
                    track.ordered_ms = now_ms;
                }
                self.set_phase(&node, Phase::Ordered, now_ms);
                self.send_order(context, &node);
            }
            // It is told in its turn.
            Phase::Missing if !began => self.set_phase(&node, Phase::Running, now_ms),
            Phase::Ordered if goes || keep_off => self.send_order(context, &node),
            Phase::Ordered => {
                self.set_phase(&node, Phase::Aborting, now_ms);
                self.send_abort(context, &node);
            }
            Phase::Aborting => self.send_abort(context, &node),
            _ => {}
        }
    }

    /// A node that was off, or may have been, is there again.
    fn returned(&mut self, context: &Context<'_>, node: &NodeName) {
        let now_ms = context.now_ms;
        let Some(track) = self.track(node) else { return };
        track.was_gone = true;
        track.keep_off = false;
        // That order is over.
        (track.order, track.began_ms, track.power_off_ms) = (None, None, None);
        let up = self.direction() == Some(Direction::Up);
        // Back on battery it has to go once more, and is told so as a node that runs.
        self.set_phase(node, if up { Phase::Returning } else { Phase::Running }, now_ms);
        self.tell(Some(node), "node.returning", Severity::Info, format!("{node} is up again"));
        if up {
            // Until it is seen that nothing is missing.
            self.state.held.insert(node.clone());
        }
    }

    pub(super) fn node_silent(&mut self, context: &Context<'_>, node: &NodeName) {
        let Some(outage) = self.state.outage.as_ref().filter(|_| !self.present.contains_key(node)) else { return };
        let Some(track) = outage.nodes.get(node).filter(|track| track.fades(outage)).cloned() else { return };
        self.set_phase(node, Phase::Off, context.now_ms);
        let began_ms = track.began_ms.unwrap_or(track.ordered_ms);
        if let Some(power_off_ms) = track.power_off_ms {
            // It may not have been looked for at once.
            let steps_ms = power_off_ms.saturating_sub(began_ms).min(context.policy.steps.total_ms());
            let tail_ms = context.now_ms.saturating_sub(power_off_ms).min(context.policy.off_grace_ms);
            let learnt = self.state.learnt.entry(node.clone()).or_default();
            learnt.steps(steps_ms);
            learnt.tail(tail_ms);
        }
        let took_s = context.now_ms.saturating_sub(track.ordered_ms) as f64 / 1000.0;
        self.tell(Some(node), "node.off", Severity::Info, format!("{node} is off after {took_s:.1} s"));
    }

    pub(super) fn progress(&mut self, context: &Context<'_>, node: &NodeName, progress: &ShutdownProgress) {
        if progress.state == ProgressState::PoweringOff {
            let order_id = progress.order_id.clone();
            self.actions.push(Action::Heard { node: node.clone(), order_id });
        }
        if !self.belongs(context, node, progress) {
            return self.stray(context, node, progress);
        }
        self.tell_steps(node, progress);
        let now_ms = context.now_ms;
        let phase = self.phase(node);
        let aborting = phase == Some(Phase::Aborting);
        if progress.state == ProgressState::Running && progress.current == Some(StepKind::Drain) && !aborting {
            self.dirty |= self.state.cordoned.insert(node.clone());
            self.actions.push(Action::Drain { node: node.clone(), order_id: progress.order_id.clone() });
        }
        match progress.state {
            ProgressState::Running if aborting => {}
            ProgressState::Running => {
                if let Some(track) = self.track(node) {
                    track.began_ms = track.began_ms.or(Some(now_ms));
                }
                // Whom nobody waits for any more is not waited for again; who is past its point of no return stays so.
                if !matches!(phase, Some(Phase::Missing | Phase::PoweringOff)) {
                    self.set_phase(node, Phase::Stopping, now_ms);
                }
            }
            ProgressState::PoweringOff if is_over(progress) => self.aborted(context, node),
            ProgressState::PoweringOff => self.powers_off(context, node),
            ProgressState::Aborted => self.aborted(context, node),
            ProgressState::Drilled => self.drilled(context, node),
            ProgressState::Failed => self.failed(context, node, progress),
        }
    }

    /// A node is at an order of an outage that is over: it must not go on with it, and is brought back if it does.
    fn stray(&mut self, context: &Context<'_>, node: &NodeName, progress: &ShutdownProgress) {
        let open = matches!(progress.state, ProgressState::Running | ProgressState::Failed) || leaves(progress);
        let id = &progress.order_id;
        if !open || id.is_local() || id.as_str().starts_with(Kind::Manual.as_str()) {
            return;
        }
        // It answers an abort with how far it is, which may be the same.
        let told_ms = self.strays.insert(node.clone(), context.now_ms);
        if told_ms.is_none_or(|told_ms| context.now_ms.saturating_sub(told_ms) >= AGAIN_MS) {
            let order_id = progress.order_id.clone();
            self.actions.push(Action::Abort { node: node.clone(), order_id });
        } else {
            self.strays.extend(told_ms.map(|told_ms| (node.clone(), told_ms)));
        }
        if leaves(progress) && self.state.outage.is_none() && context.roster.members.contains_key(node) {
            self.state.to_wake.insert(node.clone(), context.now_ms);
            self.dirty = true;
        }
    }

    fn powers_off(&mut self, context: &Context<'_>, node: &NodeName) {
        let up = self.direction() == Some(Direction::Up);
        let Some(track) = self.track(node) else { return };
        let given_up = track.phase == Phase::Missing && !up;
        track.failed = false;
        if track.power_off_ms.is_none() {
            track.power_off_ms = Some(context.now_ms);
            self.dirty = true;
            self.tell(Some(node), "node.powering-off", Severity::Info, format!("{node} switches off"));
        }
        if !given_up {
            self.set_phase(node, Phase::PoweringOff, context.now_ms);
        }
    }

    fn failed(&mut self, context: &Context<'_>, node: &NodeName, progress: &ShutdownProgress) {
        let drill = self.state.outage.as_ref().is_some_and(|outage| outage.kind == Kind::Drill);
        let Some(track) = self.track(node) else { return };
        if track.failed || (track.phase == Phase::Ordered && !drill) {
            // Told already; or it is still at another order, and is told again soon.
            return;
        }
        track.failed = true;
        self.dirty = true;
        let what = if drill { "cannot rehearse" } else { "cannot be switched off" };
        self.tell(Some(node), "node.failed", Severity::Critical, format!("{node} {what}: {}", progress.message));
        if drill {
            self.set_phase(node, Phase::Missing, context.now_ms);
        }
    }

    /// Whether a progress is about the node's order of now. A node that goes by itself is taken at its word.
    fn belongs(&mut self, context: &Context<'_>, node: &NodeName, progress: &ShutdownProgress) -> bool {
        let boot_id = self.present.get(node).cloned();
        let Some(outage) = &mut self.state.outage else { return false };
        let direction = outage.direction;
        let Some(track) = outage.nodes.get(node) else { return false };
        let (attempt, phase) = (track.attempt, track.phase);
        if track.order.as_ref() == Some(&progress.order_id) {
            return !matches!(phase, Phase::Back | Phase::Returning) || leaves(progress);
        }
        let next = outage.order_id(attempt.saturating_add(1)).is_ok_and(|id| id == progress.order_id);
        let alone = progress.alone && matches!(phase, Phase::Running | Phase::Absent) && direction != Direction::Up;
        let open = matches!(progress.state, ProgressState::Running | ProgressState::PoweringOff);
        let goes = leaves(progress) && outage.kind != Kind::Drill;
        if !(goes || next && alone && open) {
            return false;
        }
        let attempt = if next { attempt.saturating_add(1) } else { attempt };
        let Some(track) = outage.nodes.get_mut(node) else { return false };
        *track = Track {
            attempt,
            order: Some(progress.order_id.clone()),
            phase: Phase::Stopping,
            since_ms: context.now_ms,
            boot_id: boot_id.unwrap_or_default(),
            ordered_ms: context.now_ms,
            began_ms: None,
            power_off_ms: None,
            wakes: 0,
            given_up: false,
            failed: false,
            ..track.clone()
        };
        if direction != Direction::Up {
            outage.goal.insert(node.clone());
        }
        self.state.held.insert(node.clone());
        self.dirty = true;
        let message = format!("{node} has begun by itself: it heard nothing");
        self.tell(Some(node), "node.ordered", Severity::Warning, message);
        true
    }

    fn aborted(&mut self, context: &Context<'_>, node: &NodeName) {
        let drill = self.state.outage.as_ref().is_some_and(|outage| outage.kind == Kind::Drill);
        if let Some(track) = self.track(node) {
            track.order = None;
            self.dirty = true;
        }
        if self.direction() == Some(Direction::Up) || drill {
            self.set_phase(node, Phase::Back, context.now_ms);
            self.state.held.remove(node);
            self.dirty = true;
            self.tell(Some(node), "node.aborted", Severity::Info, format!("{node} stays"));
        } else {
            // Ended under an older direction: it is told anew.
            self.set_phase(node, Phase::Running, context.now_ms);
        }
    }

    fn drilled(&mut self, context: &Context<'_>, node: &NodeName) {
        if self.state.outage.as_ref().is_none_or(|outage| outage.kind != Kind::Drill) {
            return;
        }
        let ordered_ms = self.track(node).map_or(0, |track| track.ordered_ms);
        let took_ms = context.now_ms.saturating_sub(ordered_ms);
        self.state.learnt.entry(node.clone()).or_default().steps(took_ms);
        self.set_phase(node, Phase::Back, context.now_ms);
        let message = format!("{node} is through the drill after {:.1} s", took_ms as f64 / 1000.0);
        self.tell(Some(node), "node.back", Severity::Info, message);
    }

    /// Tells the steps that have begun and ended since the last progress.
    fn tell_steps(&mut self, node: &NodeName, progress: &ShutdownProgress) {
        let Some(track) = self.track(node) else { return };
        let (told, step) = (track.steps_ended, track.step);
        if progress.steps.len() == told && progress.current == step {
            return;
        }
        track.steps_ended = progress.steps.len();
        track.step = progress.current;
        self.dirty = true;
        for ended in progress.steps.iter().skip(told) {
            let seconds = f64::from(ended.duration_ms) / 1000.0;
            let (severity, end) = match ended.outcome {
                StepOutcome::Done | StepOutcome::Skipped => (Severity::Info, ended.message.clone()),
                _ => (Severity::Warning, ended.message.clone()),
            };
            let because = if end.is_empty() { end } else { format!(": {end}") };
            let message = match ended.outcome {
                StepOutcome::Skipped => format!("{} skipped{because}", ended.kind),
                outcome => format!("{} {} in {seconds:.1} s{because}", ended.kind, outcome.as_str()),
            };
            self.tell(Some(node), "node.step", severity, message);
        }
        if let Some(current) = progress.current.filter(|current| *current != StepKind::PowerOff) {
            self.tell(Some(node), "node.step", Severity::Info, format!("{current} begun"));
        }
    }
}

/// Whether a node switches itself off, and not only says that this order is over.
fn leaves(progress: &ShutdownProgress) -> bool {
    progress.state == ProgressState::PoweringOff && !is_over(progress)
}

/// Whether a node has no more of the order than that it was carried out, in a boot before.
fn is_over(progress: &ShutdownProgress) -> bool {
    progress.steps.is_empty() && progress.current.is_none()
}
