//! The way down: stages in order, each node ordered, waited for, and given up at its cap.

use rackhaven_proto::model::{NodeName, Severity, ShutdownOrder};

use super::state::{Cut, Direction, Kind, Phase, StageTrack};
use super::supply::RackSupply;
use super::{Action, Context, Core};
use crate::power::policy::{Shed, Stage};

/// A message that was not answered is sent again after this, milliseconds.
pub(super) const AGAIN_MS: u64 = 2000;

impl Core {
    pub(super) fn go_down(&mut self, context: &Context<'_>) {
        let master = context.roster.master().cloned();
        for (index, stage) in context.roster.stages.iter().enumerate() {
            let is_masters = master
                .as_ref()
                .is_some_and(|master| context.roster.members.get(master).is_some_and(|member| member.stage == index));
            if self.shed_now(context, stage) {
                self.add_to_goal(context, index);
            }
            if !self.stage_has_goers(context, index) && !self.clients_go(stage) {
                continue;
            }
            let may_order = self.may_begin(context, index) && (!is_masters || self.master_may_go(context));
            if self.stage(stage).is_none() && may_order {
                self.begin_stage(context, index, stage);
            }
            if self.stage(stage).is_some() {
                self.order_stage(context, index, stage, may_order);
                self.end_stage(context, index, stage);
            }
        }
        if master.is_none() && self.all_settled(context) {
            // Nobody is left to wait for: the UPS may cut what is on it.
            let _ = self.master_may_go(context);
        }
    }

    fn stage(&self, stage: &Stage) -> Option<StageTrack> {
        self.state.outage.as_ref()?.stages.get(&stage.name).copied()
    }

    fn stage_mut(&mut self, stage: &Stage) -> Option<&mut StageTrack> {
        self.state.outage.as_mut()?.stages.get_mut(&stage.name)
    }

    /// The nodes of a stage that are to go.
    fn goers(&self, context: &Context<'_>, index: usize) -> Vec<NodeName> {
        let Some(outage) = &self.state.outage else { return Vec::new() };
        let members = context.roster.members.iter().filter(|(node, member)| member.stage == index && outage.goes(node));
        members.map(|(node, _)| node.clone()).collect()
    }

    fn stage_has_goers(&self, context: &Context<'_>, index: usize) -> bool {
        self.goers(context, index).iter().any(|node| self.phase(node).is_some_and(|phase| phase != Phase::Absent))
    }

    /// Whether a stage has NUT clients that go with all others.
    fn clients_go(&self, stage: &Stage) -> bool {
        let everything = self.state.outage.as_ref().is_some_and(|it| it.everything && it.kind == Kind::Mains);
        everything && stage.clients_ms.is_some() && self.clients.contains(&stage.name)
    }

    /// Whether a stage's NUT clients, if it has some, are still to be waited for.
    fn clients_wait(&self, context: &Context<'_>, stage: &Stage) -> bool {
        let Some(limit_ms) = stage.clients_ms.filter(|_| self.clients_go(stage)) else { return false };
        self.stage(stage).is_none_or(|track| context.now_ms.saturating_sub(track.begun_ms) < limit_ms)
    }

    /// Whether all of a stage is off or given up.
    fn stage_settled(&self, context: &Context<'_>, index: usize) -> bool {
        let stage = context.roster.stages.get(index);
        self.goers(context, index).iter().all(|node| self.settled(node))
            && !stage.is_some_and(|stage| self.clients_wait(context, stage))
    }

    /// Whether a node need not be waited for: it is off or given up, through its drill, or cannot be switched off and
    /// only goes on trying.
    fn settled(&self, node: &NodeName) -> bool {
        let Some(outage) = &self.state.outage else { return true };
        outage.nodes.get(node).is_none_or(|track| {
            track.phase.settled() || track.failed || (outage.kind == Kind::Drill && track.phase == Phase::Back)
        })
    }

    fn all_settled(&self, context: &Context<'_>) -> bool {
        self.direction() == Some(Direction::Down)
            && (0..context.roster.stages.len()).all(|index| self.stage_settled(context, index))
    }

    /// Whether a stage's own trigger has come, and has held.
    fn shed_now(&mut self, context: &Context<'_>, stage: &Stage) -> bool {
        let Some(shed) = stage.shed.filter(|_| self.state.supply == RackSupply::Battery) else {
            self.shed_since_ms.remove(&stage.name);
            return false;
        };
        if self.state.outage.as_ref().is_none_or(|outage| outage.kind != Kind::Mains || outage.no_shed) {
            return false;
        }
        let Shed { charge_percent, time_ms, runtime_ms } = shed;
        let spent_ms = context.now_ms.saturating_sub(self.state.supply_since_ms);
        let charge = self.state.upses.iter().filter_map(|ups| ups.last?.charge_percent).min_by(f32::total_cmp);
        let reason = charge_percent.zip(charge).is_some_and(|(level, charge)| charge <= level)
            || time_ms.is_some_and(|limit| spent_ms >= limit)
            || runtime_ms.zip(self.runtime_left_ms(context)).is_some_and(|(level, left)| left <= level);
        if !reason {
            self.shed_since_ms.remove(&stage.name);
            return false;
        }
        let since_ms = *self.shed_since_ms.entry(stage.name.clone()).or_insert(context.now_ms);
        context.now_ms.saturating_sub(since_ms) >= context.policy.hold_ms
    }

    fn add_to_goal(&mut self, context: &Context<'_>, index: usize) {
        let nodes: Vec<_> = context
            .roster
            .members
            .iter()
            .filter(|(_, member)| member.stage == index)
            .map(|(node, _)| node.clone())
            .collect();
        let Some(outage) = &mut self.state.outage else { return };
        for node in nodes {
            self.dirty |= outage.goal.insert(node);
        }
    }

    /// A stage begins when all before it have ended, or when there is no time to wait for them. While mains seems to be
    /// back none begins. As long as only some nodes are shed, nobody waits for another.
    fn may_begin(&self, context: &Context<'_>, index: usize) -> bool {
        let Some(outage) = &self.state.outage else { return false };
        if outage.direction == Direction::Watching {
            return outage.relief_since_ms.is_none();
        }
        if outage.cut_goes_on(context.now_ms) {
            return false;
        }
        // A UPS that was told will cut, whatever mains does.
        let will_cut = matches!(outage.cut, Cut::Wanted { .. } | Cut::Told { .. });
        if outage.relief_since_ms.is_some() && outage.kind == Kind::Mains && !outage.finish && !will_cut {
            return false;
        }
        let before_ended = (0..index).all(|earlier| self.stage_settled(context, earlier));
        if before_ended {
            return true;
        }
        let rest_ms: u64 =
            (index..context.roster.stages.len()).map(|later| self.stage_expected_ms(context, later)).sum();
        let reserve_ms = context.policy.margin_ms / 2;
        self.runtime_left_ms(context).is_some_and(|left| left <= rest_ms.saturating_add(reserve_ms))
    }

    fn begin_stage(&mut self, context: &Context<'_>, index: usize, stage: &Stage) {
        let Some(outage) = &mut self.state.outage else { return };
        outage.stages.insert(stage.name.clone(), StageTrack { begun_ms: context.now_ms, ended_ms: None });
        self.dirty = true;
        let count = self.goers(context, index).iter().filter(|node| !self.settled(node)).count();
        if count == 0 && !self.clients_go(stage) {
            // All went before, or were off.
            self.stage_mut(stage).into_iter().for_each(|track| track.ended_ms = Some(context.now_ms));
            return;
        }
        let nodes = if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") };
        self.tell(None, "stage.begun", Severity::Info, format!("stage {} begins: {nodes}", stage.name));
    }

    /// Orders whoever of a begun stage still runs, says it again to whom has not answered, gives up whom has not gone.
    fn order_stage(&mut self, context: &Context<'_>, index: usize, stage: &Stage, may_order: bool) {
        let cap_ms = stage.cap_ms.unwrap_or(u64::MAX).min(context.policy.cap_ms());
        for node in self.goers(context, index) {
            match self.phase(&node) {
                // A stage that was begun for one of its nodes has not begun for the others.
                Some(Phase::Running) if may_order || self.goes_first(context, &node) => self.order(context, &node),
                Some(phase) if phase.going() || phase == Phase::Aborting => self.see_through(context, &node, cap_ms),
                _ => {}
            }
        }
    }

    /// Whether a node goes in an outage before the rest does: its stage is shed, somebody asked, or it began by itself.
    fn goes_first(&self, context: &Context<'_>, node: &NodeName) -> bool {
        let Some(outage) = &self.state.outage else { return false };
        let first = outage.kind == Kind::Mains && outage.goal.contains(node);
        first && outage.relief_since_ms.is_none() && !outage.cut_goes_on(context.now_ms)
    }

    /// Says it again to a node on its way down, and gives it up at its cap.
    pub(super) fn see_through(&mut self, context: &Context<'_>, node: &NodeName, cap_ms: u64) {
        let Some(track) = self.track(node) else { return };
        let (phase, sent_ms) = (track.phase, track.sent_ms);
        let since_ms = if phase == Phase::Aborting { track.since_ms } else { track.ordered_ms };
        if context.now_ms.saturating_sub(since_ms) < cap_ms {
            let due = context.now_ms.saturating_sub(sent_ms) >= AGAIN_MS;
            if phase == Phase::Ordered && due && self.present.contains_key(node) {
                self.send_order(context, node);
            }
            return;
        }
        self.set_phase(node, Phase::Missing, context.now_ms);
        let message = format!("{node} is not confirmed to be off after {} s; the others go on", cap_ms / 1000);
        self.tell(Some(node), "node.missing", Severity::Critical, message);
    }

    /// Gives a node a new order.
    fn order(&mut self, context: &Context<'_>, node: &NodeName) {
        let boot_id = self.present.get(node).cloned();
        let Some(outage) = &mut self.state.outage else { return };
        let drill = outage.kind == Kind::Drill;
        let before = outage.nodes.get(node).map_or(0, |track| track.attempt);
        // An order that may never have arrived is given again, and not another one.
        let again = outage.nodes.get(node).is_some_and(|track| {
            track.began_ms.is_none() && track.order.is_some() && track.order == outage.order_id(before).ok()
        });
        let attempt = if again { before } else { before.saturating_add(1) };
        let Ok(id) = outage.order_id(attempt) else { return };
        let Some(track) = outage.nodes.get_mut(node) else { return };
        track.attempt = attempt;
        track.order = Some(id);
        track.began_ms = None;
        track.ordered_ms = context.now_ms;
        track.power_off_ms = None;
        track.boot_id = boot_id.unwrap_or_else(|| track.boot_id.clone());
        track.step = None;
        track.steps_ended = 0;
        (track.wakes, track.given_up, track.failed) = (0, false, false);
        self.set_phase(node, Phase::Ordered, context.now_ms);
        if !drill {
            self.state.held.insert(node.clone());
        }
        let master = context.roster.members.get(node).is_some_and(|member| member.master);
        let kind = if master { "master.ordered" } else { "node.ordered" };
        self.tell(Some(node), kind, Severity::Info, format!("{node} is told to go"));
        if self.present.contains_key(node) {
            self.send_order(context, node);
        }
    }

    pub(super) fn send_order(&mut self, context: &Context<'_>, node: &NodeName) {
        let Some(outage) = &mut self.state.outage else { return };
        let drill = outage.kind == Kind::Drill;
        let reason = outage.cause.as_ref().map_or_else(|| "to stretch the battery".to_owned(), ToString::to_string);
        let Some(track) = outage.nodes.get_mut(node) else { return };
        track.sent_ms = context.now_ms;
        let Some(id) = track.order.clone() else { return };
        let steps = context.policy.steps.clone();
        let steps = if drill { steps.rehearsal() } else { steps };
        let order = ShutdownOrder { id, steps, drill, reason: reason.chars().take(120).collect() };
        self.actions.push(Action::Order { node: node.clone(), order });
    }

    fn end_stage(&mut self, context: &Context<'_>, index: usize, stage: &Stage) {
        if self.stage(stage).is_none_or(|track| track.ended_ms.is_some()) {
            return;
        }
        if !self.stage_settled(context, index) {
            return;
        }
        let nodes = self.goers(context, index);
        let missing = nodes.iter().filter(|node| self.phase(node) == Some(Phase::Missing)).count();
        let Some(track) = self.stage_mut(stage) else { return };
        track.ended_ms = Some(context.now_ms);
        let took_s = context.now_ms.saturating_sub(track.begun_ms) / 1000;
        self.dirty = true;
        let (severity, end) = match missing {
            0 => (Severity::Info, String::new()),
            count => (Severity::Critical, format!("; {count} not confirmed")),
        };
        self.tell(None, "stage.ended", severity, format!("stage {} is down after {took_s} s{end}", stage.name));
    }
}
