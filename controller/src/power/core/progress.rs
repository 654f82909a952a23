//! What nodes say and do: how far they are with an order, that they come, that they are gone.

use rackhaven_proto::model::{NodeName, ProgressState, Severity, ShutdownProgress, StepKind, StepOutcome};

use super::state::{Direction, Kind, Phase, Track};
use super::{Action, Context, Core};

impl Core {
    pub(super) fn node_up(&mut self, context: &Context<'_>, node: NodeName, boot_id: String) {
        let now_ms = context.now_ms;
        self.present.insert(node.clone(), boot_id.clone());
        let direction = self.direction();
        if let Some(outage) = &mut self.state.outage
            && context.roster.members.contains_key(&node)
        {
            outage.nodes.entry(node.clone()).or_insert_with(|| Track::new(false, now_ms));
        }
        let Some(track) = self.track(&node) else { return };
        if track.boot_id.is_empty() && track.phase == Phase::Ordered {
            track.boot_id.clone_from(&boot_id);
        }
        let rebooted = !track.boot_id.is_empty() && track.boot_id != boot_id;
        match track.phase {
            Phase::Absent => self.set_phase(&node, Phase::Running, now_ms),
            Phase::Ordered | Phase::Stopping | Phase::PoweringOff | Phase::Off | Phase::Missing | Phase::Aborting
                if rebooted =>
            {
                self.returned(context, &node);
            }
            // It may have been given up while it was only out of reach: what it says of its order follows.
            Phase::Missing | Phase::Off => match direction {
                Some(Direction::Up) => {
                    self.set_phase(&node, Phase::Aborting, now_ms);
                    self.send_abort(context, &node);
                }
                _ => {
                    track.ordered_ms = now_ms;
                    self.set_phase(&node, Phase::Ordered, now_ms);
                }
            },
            Phase::Ordered => self.send_order(context, &node),
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
        track.boot_id.clear();
        let up = self.direction() == Some(Direction::Up);
        // Back on battery it has to go once more, and is told so as a node that runs.
        self.set_phase(node, if up { Phase::Returning } else { Phase::Running }, now_ms);
        self.tell(Some(node), "node.returning", Severity::Info, format!("{node} is up again"));
        if up && !self.state.held.contains(node) {
            // Nothing holds it.
            self.state.held.insert(node.clone());
        }
    }

    pub(super) fn node_silent(&mut self, context: &Context<'_>, node: &NodeName) {
        if self.present.contains_key(node) || self.phase(node) != Some(Phase::PoweringOff) {
            return;
        }
        self.set_phase(node, Phase::Off, context.now_ms);
        let Some(track) = self.track(node) else { return };
        let (ordered_ms, power_off_ms) = (track.ordered_ms, track.power_off_ms);
        let began_ms = track.began_ms.unwrap_or(ordered_ms);
        if let Some(power_off_ms) = power_off_ms {
            let learnt = self.state.learnt.entry(node.clone()).or_default();
            learnt.steps(power_off_ms.saturating_sub(began_ms));
            learnt.tail(context.now_ms.saturating_sub(power_off_ms));
        }
        let took_s = context.now_ms.saturating_sub(ordered_ms) as f64 / 1000.0;
        self.tell(Some(node), "node.off", Severity::Info, format!("{node} is off after {took_s:.1} s"));
    }

    pub(super) fn progress(&mut self, context: &Context<'_>, node: &NodeName, progress: &ShutdownProgress) {
        if !self.belongs(node, progress) {
            let open = matches!(progress.state, ProgressState::Running);
            if open {
                // Of an outage that is over: the node must not go on with it.
                let order_id = progress.order_id.clone();
                self.actions.push(Action::Abort { node: node.clone(), order_id });
            }
            return;
        }
        self.tell_steps(node, progress);
        if progress.state == ProgressState::Running && progress.current == Some(StepKind::Drain) {
            self.actions.push(Action::Drain { node: node.clone(), order_id: progress.order_id.clone() });
        }
        let now_ms = context.now_ms;
        let aborting = self.phase(node) == Some(Phase::Aborting);
        match progress.state {
            ProgressState::Running if aborting => {}
            ProgressState::Running => {
                if let Some(track) = self.track(node) {
                    track.began_ms = track.began_ms.or(Some(now_ms));
                }
                self.set_phase(node, Phase::Stopping, now_ms);
            }
            ProgressState::PoweringOff => {
                let Some(track) = self.track(node) else { return };
                if track.power_off_ms.is_none() {
                    track.power_off_ms = Some(now_ms);
                    self.tell(Some(node), "node.powering-off", Severity::Info, format!("{node} switches off"));
                }
                self.set_phase(node, Phase::PoweringOff, now_ms);
            }
            ProgressState::Aborted => self.aborted(context, node),
            ProgressState::Drilled => self.drilled(context, node),
            ProgressState::Failed => {
                let message = format!("{node} cannot be switched off: {}", progress.message);
                self.tell(Some(node), "node.failed", Severity::Critical, message);
            }
        }
    }

    /// Whether a progress is about the node's order of now. A node that began alone is taken at its word.
    fn belongs(&mut self, node: &NodeName, progress: &ShutdownProgress) -> bool {
        let boot_id = self.present.get(node).cloned().unwrap_or_default();
        let Some(outage) = &mut self.state.outage else { return false };
        let direction = outage.direction;
        let Some(track) = outage.nodes.get(node) else { return false };
        let (attempt, phase) = (track.attempt, track.phase);
        if track.order.as_ref() == Some(&progress.order_id) {
            return !matches!(phase, Phase::Running | Phase::Back | Phase::Returning);
        }
        let next = outage.order_id(attempt + 1).is_ok_and(|id| id == progress.order_id);
        if !(next && progress.alone && matches!(phase, Phase::Running | Phase::Absent)) || direction == Direction::Up {
            return false;
        }
        let begun_ms = outage.direction_since_ms;
        let Some(track) = outage.nodes.get_mut(node) else { return false };
        let order = Some(progress.order_id.clone());
        let attempt = attempt + 1;
        *track = Track { attempt, order, phase: Phase::Stopping, boot_id, ordered_ms: begun_ms, ..track.clone() };
        outage.goal.insert(node.clone());
        self.state.held.insert(node.clone());
        self.dirty = true;
        self.tell(
            Some(node),
            "node.ordered",
            Severity::Warning,
            format!("{node} has begun by itself: it heard nothing"),
        );
        true
    }

    fn aborted(&mut self, context: &Context<'_>, node: &NodeName) {
        if self.direction() == Some(Direction::Up) {
            self.set_phase(node, Phase::Back, context.now_ms);
            self.state.held.remove(node);
            self.dirty = true;
            self.actions.push(Action::Uncordon { node: node.clone() });
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
