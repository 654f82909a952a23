//! The way back: who has not gone stays, who is off is woken in the reverse order, K3s waits for what it needs.

use rackhaven_proto::model::{NodeName, Severity};

use super::down::AGAIN_MS;
use super::state::{Cut, Direction, Kind, Once, Outage, Phase, Track, cut_over_ms};
use super::supply::RackSupply;
use super::{Action, Context, Core};
use crate::power::policy::{Need, Wake};

/// Whoever has had no session for so long, milliseconds, may have gone: nodes dial again within half of it.
pub(super) const AWAY_MS: u64 = 30_000;
/// A node that is there so long after an outage, milliseconds, has heard that it is over.
const PROVEN_MS: u64 = 60_000;
/// Between two wake-ups of one node: first often, then at this pace, milliseconds.
const WAKE_EVERY_MS: (u64, u64) = (5000, 30_000);
/// The pace for those that did not come back in time, milliseconds.
const LEFT_BEHIND_EVERY_MS: u64 = 60_000;
/// So many wake-ups are sent at the first pace.
const FIRST_WAKES: u32 = 12;

/// What is waited for before nodes are woken, and for how long at most, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wait {
    /// Mains that stays.
    Stable {
        /// At most.
        left_ms: u64,
    },
    /// A UPS that tells that there is mains.
    Known {
        /// At most.
        left_ms: u64,
    },
    /// The UPS to have cut its load and brought it back.
    Cut {
        /// At most.
        left_ms: u64,
    },
    /// A battery that could carry another outage.
    Charge {
        /// From which charge on.
        floor_percent: f32,
        /// The charge now.
        charge_percent: f32,
        /// At most.
        left_ms: u64,
    },
}

impl Core {
    pub(super) fn come_up(&mut self, context: &Context<'_>) {
        let Some(outage) = &self.state.outage else { return };
        let cap_ms = context.policy.cap_ms();
        let nodes: Vec<(NodeName, bool, bool)> = outage
            .nodes
            .iter()
            .filter(|(node, _)| context.roster.members.contains_key(*node))
            .map(|(node, track)| (node.clone(), track.keep_off, outage.concerns(node)))
            .collect();
        for (node, keep_off, concerned) in &nodes {
            match self.phase(node) {
                Some(phase) if *keep_off && phase.going() => self.see_through(context, node, cap_ms),
                _ if *keep_off => {}
                Some(Phase::Ordered | Phase::Stopping) => {
                    self.set_phase(node, Phase::Aborting, context.now_ms);
                    self.send_abort(context, node);
                }
                // It was given up, and is there all the same.
                Some(Phase::Missing) if self.present.contains_key(node) => {
                    self.set_phase(node, Phase::Aborting, context.now_ms);
                    self.send_abort(context, node);
                }
                // Out of reach, it may have gone by itself, or may yet.
                Some(Phase::Running | Phase::Back | Phase::Returning)
                    if *concerned && self.away_ms(context, node) >= AWAY_MS =>
                {
                    self.set_phase(node, Phase::Missing, context.now_ms);
                }
                Some(Phase::Absent) if self.was_here(node) => self.set_phase(node, Phase::Missing, context.now_ms),
                Some(Phase::PoweringOff) => self.lose_at_cap(context, node),
                Some(Phase::Aborting) if !self.present.contains_key(node) => self.lose_at_cap(context, node),
                _ => {}
            }
        }
        if self.waits_for(context).is_none() {
            self.wake_stages(context);
        }
    }

    fn was_here(&self, node: &NodeName) -> bool {
        self.state.outage.as_ref().and_then(|outage| outage.nodes.get(node)).is_some_and(|track| track.was_here)
    }

    fn lose_at_cap(&mut self, context: &Context<'_>, node: &NodeName) {
        let Some(track) = self.track(node) else { return };
        if context.now_ms.saturating_sub(track.since_ms) >= context.policy.cap_ms() {
            // It is brought back, and silence tells nothing more.
            track.power_off_ms = None;
            self.set_phase(node, Phase::Missing, context.now_ms);
        }
    }

    /// Says it again to those that were told to stay and have not answered, wherever the outage is going by now.
    pub(super) fn abort_again(&mut self, context: &Context<'_>) {
        let Some(outage) = &self.state.outage else { return };
        let stays = |node: &NodeName| outage.direction == Direction::Up || !outage.goes(node);
        let due = outage.nodes.iter().filter(|(node, track)| match track.phase {
            Phase::Aborting => context.now_ms.saturating_sub(track.sent_ms) >= AGAIN_MS,
            // Nothing takes it down any more.
            Phase::PoweringOff => track.failed && !track.keep_off && stays(node),
            _ => false,
        });
        let due = due.filter(|(node, _)| self.present.contains_key(*node));
        for node in due.map(|(node, _)| node.clone()).collect::<Vec<_>>() {
            self.set_phase(&node, Phase::Aborting, context.now_ms);
            self.send_abort(context, &node);
        }
    }

    pub(super) fn send_abort(&mut self, context: &Context<'_>, node: &NodeName) {
        let Some(outage) = &mut self.state.outage else { return };
        let Some(track) = outage.nodes.get_mut(node) else { return };
        track.sent_ms = context.now_ms;
        let Some(order_id) = track.order.clone() else {
            // It was never told to go.
            return self.set_phase(node, Phase::Back, context.now_ms);
        };
        if self.present.contains_key(node) {
            self.actions.push(Action::Abort { node: node.clone(), order_id });
        }
    }

    /// What nodes that are off wait for before the first of them is woken: until the supply is good enough to survive
    /// another cut. None if nothing is waited for, or nobody is to be woken.
    pub fn waits_for(&self, context: &Context<'_>) -> Option<Wait> {
        let outage = self.state.outage.as_ref().filter(|outage| outage.direction == Direction::Up)?;
        let off = |track: &Track| !track.keep_off && matches!(track.phase, Phase::Off | Phase::Missing);
        if outage.kind != Kind::Mains || !outage.nodes.values().any(off) {
            return None;
        }
        let Some(since_ms) = outage.relief_since_ms else {
            return Some(Wait::Stable { left_ms: context.policy.mains_stable_ms });
        };
        let known_ms = if self.state.supply == RackSupply::Mains { self.state.supply_since_ms } else { 0 };
        let stable_ms = context.now_ms.saturating_sub(since_ms.max(known_ms));
        if let left_ms @ 1.. = context.policy.mains_stable_ms.saturating_sub(stable_ms) {
            return Some(Wait::Stable { left_ms });
        }
        let given_up = context.policy.restore_wait_ms.saturating_sub(stable_ms);
        if self.state.supply == RackSupply::Unknown && !outage.dark {
            // Nothing tells that there is mains, but that the rack still runs.
            return (given_up > 0).then_some(Wait::Known { left_ms: given_up });
        }
        if let Cut::Told { at_ms, delay_s } = outage.cut
            && let left_ms @ 1.. = cut_over_ms(at_ms, delay_s).saturating_sub(context.now_ms)
        {
            // Whoever is woken would lose its power at once.
            return Some(Wait::Cut { left_ms });
        }
        let charge = self.state.upses.iter().filter_map(|ups| ups.last?.charge_percent).min_by(f32::total_cmp);
        match context.policy.restore_charge_percent.zip(charge) {
            Some((floor_percent, charge_percent)) if charge_percent < floor_percent && given_up > 0 => {
                Some(Wait::Charge { floor_percent, charge_percent, left_ms: given_up })
            }
            _ => None,
        }
    }

    /// Wakes the last stage that went, then the one before.
    fn wake_stages(&mut self, context: &Context<'_>) {
        for index in (0..context.roster.stages.len()).rev() {
            let members = context.roster.members.iter().filter(|(_, member)| member.stage == index);
            let nodes: Vec<(NodeName, Wake)> = members.map(|(node, member)| (node.clone(), member.wake)).collect();
            let mut wait = false;
            for (node, wake) in nodes {
                if self
                    .track(&node)
                    .is_some_and(|track| !track.keep_off && matches!(track.phase, Phase::Off | Phase::Missing))
                {
                    wait |= self.bring_back(context, &node, wake);
                } else {
                    wait |= self.track(&node).is_some_and(|track| {
                        !track.keep_off && matches!(track.phase, Phase::Aborting | Phase::PoweringOff)
                    });
                }
            }
            if wait {
                return;
            }
        }
    }

    /// Sees to one node that is off; whether the stages before its own are to wait for it.
    fn bring_back(&mut self, context: &Context<'_>, node: &NodeName, wake: Wake) -> bool {
        let now_ms = context.now_ms;
        let Some(track) = self.track(node) else { return false };
        if track.wakes == 0 {
            // The wait begins with the first attempt; a node that boots with its power needs none.
            track.wakes = 1;
            track.since_ms = now_ms;
            track.sent_ms = now_ms;
            self.dirty = true;
            if wake == Wake::WakeOnLan {
                self.actions.push(Action::Wake { node: node.clone() });
                self.tell(Some(node), "node.waking", Severity::Info, format!("{node} is being woken"));
            }
            return true;
        }
        let every_ms = if track.wakes < FIRST_WAKES { WAKE_EVERY_MS.0 } else { WAKE_EVERY_MS.1 };
        if wake == Wake::WakeOnLan && now_ms.saturating_sub(track.sent_ms) >= every_ms {
            track.sent_ms = now_ms;
            track.wakes = track.wakes.saturating_add(1);
            self.actions.push(Action::Wake { node: node.clone() });
        }
        let Some(track) = self.track(node) else { return false };
        let waiting = now_ms.saturating_sub(track.since_ms) < context.policy.return_wait_ms;
        if !waiting && !track.given_up {
            track.given_up = true;
            self.dirty = true;
            let how = match wake {
                Wake::WakeOnLan => "is still being woken",
                Wake::PowerCycle | Wake::ByHand => "somebody must switch it on",
            };
            self.tell(Some(node), "node.missing", Severity::Critical, format!("{node} has not come back; {how}"));
        }
        waiting
    }

    /// Lets K3s run again on held nodes whose needs are met.
    pub(super) fn release_held(&mut self, context: &Context<'_>) {
        let ready: Vec<NodeName> =
            self.state.held.iter().filter(|node| self.may_release(context, node)).cloned().collect();
        for node in ready {
            self.state.held.remove(&node);
            self.dirty = true;
            if self.phase(&node) == Some(Phase::Returning) {
                self.set_phase(&node, Phase::Back, context.now_ms);
                self.tell(Some(&node), "node.back", Severity::Info, format!("{node} is back"));
            }
        }
    }

    /// Makes workloads welcome again on nodes that were drained for us and stay.
    pub(super) fn uncordon(&mut self, context: &Context<'_>) {
        let members = &context.roster.members;
        let stays = |node: &&NodeName| self.may_welcome(node);
        let gone = self.state.cordoned.iter().filter(|node| !members.is_empty() && !members.contains_key(*node));
        let ready: Vec<NodeName> = self.state.cordoned.iter().filter(stays).chain(gone).cloned().collect();
        for node in ready {
            if self.state.cordoned.remove(&node) {
                self.dirty = true;
                self.state.once.push(Once::Uncordon(node.clone()));
                self.actions.push(Action::Uncordon { node });
            }
        }
    }

    /// Whether pods may come to a node, as far as power goes: it is there to stay, and K3s is not held on it.
    pub fn may_welcome(&self, node: &NodeName) -> bool {
        self.present.contains_key(node) && !self.state.held.contains(node) && self.stays(node)
    }

    /// Whether a node is up and has nothing of its way down before it.
    fn stays(&self, node: &NodeName) -> bool {
        let Some(outage) = &self.state.outage else { return true };
        match outage.nodes.get(node).map(|track| track.phase) {
            None | Some(Phase::Returning | Phase::Back) => true,
            Some(Phase::Running) => outage.direction != Direction::Down || !outage.goes(node),
            _ => false,
        }
    }

    fn may_release(&self, context: &Context<'_>, node: &NodeName) -> bool {
        if !self.present.contains_key(node) {
            return false;
        }
        let here = self.stays(node);
        let Some(member) = context.roster.members.get(node).filter(|_| here) else { return here };
        let Some(stage) = context.roster.stages.get(member.stage) else { return true };
        stage.needs.iter().all(|need| match need {
            Need::Node(other) => other == node || (self.present.contains_key(other) && self.is_settled_up(other)),
            Need::Mount(_) => member.mounts_ready,
        })
    }

    /// Whether a node is there to be relied upon.
    fn is_settled_up(&self, node: &NodeName) -> bool {
        matches!(self.phase(node), None | Some(Phase::Running | Phase::Returning | Phase::Back))
    }

    /// Ends what is over.
    pub(super) fn end_if_over(&mut self, context: &Context<'_>) {
        let Some(outage) = &self.state.outage else { return };
        if context.roster.members.is_empty() {
            return;
        }
        let known = || outage.nodes.iter().filter(|(node, _)| context.roster.members.contains_key(*node));
        let goers = || known().filter(|(node, _)| outage.goes(node)).map(|(_, track)| track);
        let over = match (outage.direction, outage.kind) {
            (Direction::Up, _) => known().all(|(node, track)| self.is_done_with(context, outage, node, track)),
            (Direction::Down, Kind::Manual) => goers().all(|track| track.phase.settled()),
            (Direction::Down, Kind::Drill) => goers().all(|track| track.phase.settled() || track.phase == Phase::Back),
            (Direction::Down | Direction::Watching, _) => false,
        };
        if !over {
            return;
        }
        let took_s = context.now_ms.saturating_sub(outage.begun_ms) / 1000;
        let left = known().filter(|(_, track)| track.phase.gone() && !track.keep_off).count();
        let waiting: Vec<&str> =
            known().filter(|(_, track)| track.phase == Phase::Returning).map(|(node, _)| node.as_str()).collect();
        let what = match outage.kind {
            Kind::Manual => "the shutdown",
            Kind::Drill => "the drill",
            Kind::Mains => "the outage",
        };
        let (severity, message) = match (outage.kind, outage.direction) {
            (Kind::Manual, Direction::Down) => match goers().filter(|track| track.phase == Phase::Missing).count() {
                0 => (Severity::Info, format!("down after {took_s} s, as asked")),
                count => {
                    (Severity::Critical, format!("{what} is over after {took_s} s; {count} not confirmed to be off"))
                }
            },
            (Kind::Drill, _) => (Severity::Info, format!("{what} is over after {took_s} s")),
            _ if left > 0 => (Severity::Critical, format!("{what} is over after {took_s} s; {left} not back")),
            _ if !waiting.is_empty() => {
                let names = waiting.join(", ");
                (Severity::Warning, format!("{what} is over after {took_s} s; what K3s needs is not there on {names}"))
            }
            _ => (Severity::Info, format!("{what} is over after {took_s} s; all are up")),
        };
        let lost: Vec<NodeName> = match outage.direction {
            Direction::Up => {
                let lost = known().filter(|(_, track)| track.phase.gone() && !track.keep_off);
                lost.map(|(node, _)| node.clone()).collect()
            }
            Direction::Down | Direction::Watching => Vec::new(),
        };
        self.state.to_wake.extend(lost.into_iter().map(|node| (node, context.now_ms)));
        self.close(context.now_ms, severity, message);
    }

    /// Whether nothing more is to be waited for from a node on the way up. Whom the outage found off, it leaves so.
    fn is_done_with(&self, context: &Context<'_>, outage: &Outage, node: &NodeName, track: &Track) -> bool {
        if track.keep_off {
            return !track.phase.going();
        }
        match track.phase {
            Phase::Absent => true,
            Phase::Running | Phase::Back => self.present.contains_key(node) || !outage.concerns(node),
            // What K3s needs may never come; it is held for as long as that takes.
            Phase::Returning => {
                self.present.contains_key(node)
                    && context.now_ms.saturating_sub(track.since_ms) >= context.policy.return_wait_ms
            }
            phase => track.given_up && phase.gone(),
        }
    }

    /// A node whose session had ended, unnoticed, before it heard that mains is back goes by itself after the outage.
    fn look_after(&mut self, context: &Context<'_>) {
        let Some((ended_ms, _)) = self.state.unproven else { return };
        if context.now_ms.saturating_sub(ended_ms) < PROVEN_MS || self.state.outage.is_some() {
            return;
        }
        let Some((_, nodes)) = self.state.unproven.take() else { return };
        self.dirty = true;
        for node in nodes.into_iter().filter(|node| !self.present.contains_key(node)) {
            self.state.to_wake.entry(node).or_insert(context.now_ms);
        }
    }

    /// After an outage: whom it left behind is woken for as long as it takes, at a slow pace.
    pub(super) fn wake_left_behind(&mut self, context: &Context<'_>) {
        self.look_after(context);
        if self.state.to_wake.is_empty() {
            return;
        }
        let members = &context.roster.members;
        let before = self.state.to_wake.len();
        let present = &self.present;
        // One that was just told to stay may be on its way off all the same.
        let now_ms = context.now_ms;
        let stays = |node: &NodeName, sent_ms: u64| {
            present.contains_key(node) && now_ms.saturating_sub(sent_ms) >= LEFT_BEHIND_EVERY_MS
        };
        self.state.to_wake.retain(|node, sent_ms| !stays(node, *sent_ms) && members.contains_key(node));
        self.dirty |= self.state.to_wake.len() != before;
        if self.state.outage.is_some() || self.state.supply.drains() {
            return;
        }
        for (node, sent_ms) in &mut self.state.to_wake {
            if present.contains_key(node) {
                continue;
            }
            let wakeable = members.get(node).is_some_and(|member| member.wake == Wake::WakeOnLan);
            if wakeable && context.now_ms.saturating_sub(*sent_ms) >= LEFT_BEHIND_EVERY_MS {
                *sent_ms = context.now_ms;
                self.actions.push(Action::Wake { node: node.clone() });
            }
        }
    }
}
