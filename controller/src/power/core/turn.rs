//! From the supply to the direction: whether an outage begins, goes on, turns back or is over.

use rackhaven_proto::model::{NodeName, Severity};

use super::state::{Cut, Direction, Kind, Outage, Phase, Track, cut_over_ms};
use super::supply::{Cause, RackSupply, rack_supply};
use super::{Action, Context, Core};
use crate::power::policy::Wake;

/// A shutdown that a primary forces is not turned back for so long, milliseconds, unless the primary takes it back.
const FORCED_MS: u64 = 600_000;

impl Core {
    /// Draws all conclusions from where things are now.
    pub(super) fn advance(&mut self, context: &Context<'_>) {
        self.take_in_newcomers(context);
        self.judge_supply(context);
        self.turn(context);
        match self.direction() {
            Some(Direction::Watching | Direction::Down) => self.go_down(context),
            Some(Direction::Up) => self.come_up(context),
            None => {}
        }
        self.abort_again(context);
        self.release_held(context);
        self.uncordon(context);
        self.end_if_over(context);
        self.wake_left_behind(context);
    }

    fn judge_supply(&mut self, context: &Context<'_>) {
        if context.policy.ups_count == 0 {
            // There may have been one, and what it said last counts no more.
            self.dirty |= self.state.supply != RackSupply::Unknown;
            self.state.supply = RackSupply::Unknown;
            return;
        }
        let silent = self
            .state
            .witnesses_silent_since_ms
            .is_some_and(|since| context.now_ms.saturating_sub(since) >= context.policy.witness_hold_ms);
        let supply = rack_supply(&self.state.upses, context.policy.minimum_supplies, silent);
        let before = self.state.supply;
        if supply == before {
            return;
        }
        self.state.supply = supply;
        self.state.supply_since_ms = context.now_ms;
        self.dirty = true;
        match supply {
            RackSupply::Mains if before.drains() || self.state.outage.is_some() => {
                self.tell(None, "outage.mains-back", Severity::Info, "mains is back");
            }
            RackSupply::Mains => self.tell(None, "power.mains", Severity::Info, "the rack is on mains"),
            RackSupply::Unknown if before == RackSupply::Dark => {
                self.tell(None, "outage.mains-back", Severity::Info, "a witness of mains answers again");
            }
            RackSupply::Unknown => {
                let message = "the UPS cannot be read any more: a loss of mains would not be seen";
                self.tell(None, "outage.lost-ups", Severity::Critical, message);
            }
            // Told when the outage has begun.
            RackSupply::Battery | RackSupply::Dark => {}
        }
    }

    /// Why it is time to go; none as long as it is not.
    fn critical(&mut self, context: &Context<'_>) -> Option<Cause> {
        let need_ms = self.critical_path_ms(context).saturating_add(context.policy.margin_ms);
        let (policy, now_ms) = (context.policy, context.now_ms);
        let causes: Vec<Cause> =
            self.state.upses.iter_mut().filter_map(|ups| ups.critical(policy, need_ms, now_ms)).collect();
        let enough_left = self.state.upses.len() - causes.len() >= policy.minimum_supplies;
        if !enough_left && !causes.is_empty() {
            return causes.into_iter().next();
        }
        let spent_ms = now_ms.saturating_sub(self.state.supply_since_ms);
        let over = policy.assumed_runtime_ms.saturating_sub(spent_ms) <= need_ms;
        (self.state.supply == RackSupply::Dark && over).then_some(Cause::Dark)
    }

    /// Whether the supply is as good again as it was before the outage.
    fn relieved(&self, context: &Context<'_>) -> bool {
        // Who has turned back did so on good grounds: a UPS that can't be read then does not undo that.
        let known = |outage: &Outage| outage.dark || outage.direction == Direction::Up || context.policy.ups_count == 0;
        let good = match self.state.supply {
            RackSupply::Mains => true,
            RackSupply::Unknown => self.state.outage.as_ref().is_some_and(known),
            RackSupply::Battery | RackSupply::Dark => false,
        };
        good && !self.forced_still(context)
    }

    /// Whether a primary still forces the shutdown. upsd may say so until it is started anew, so that this has an end.
    fn forced_still(&self, context: &Context<'_>) -> bool {
        let forced = self.state.upses.iter().any(|ups| ups.forced);
        let outage = self.state.outage.as_ref();
        if outage.is_some_and(|outage| outage.has_cut(context.now_ms)) {
            // That was what it was for.
            return false;
        }
        let since = outage.map_or(0, |outage| outage.direction_since_ms);
        forced && context.now_ms.saturating_sub(since) < FORCED_MS
    }

    fn turn(&mut self, context: &Context<'_>) {
        let now_ms = context.now_ms;
        let cause = self.critical(context);
        let forced = cause == Some(Cause::Forced);
        let drains = self.state.supply.drains();
        self.make_room_for_an_outage(context, drains || forced);
        if self.state.outage.is_none() && (drains || forced) {
            self.begin_outage(context);
        }
        let relieved = self.relieved(context);
        let supply = self.state.supply;
        let Some(outage) = &mut self.state.outage else { return };
        match supply {
            RackSupply::Dark => outage.dark = true,
            RackSupply::Battery => outage.dark = false,
            RackSupply::Mains | RackSupply::Unknown => {}
        }
        if relieved != outage.relief_since_ms.is_some() {
            outage.relief_since_ms = relieved.then_some(now_ms);
            self.dirty = true;
        }
        if outage.kind != Kind::Mains {
            return;
        }
        if outage.direction == Direction::Up && (drains || forced) {
            self.mains_fails_again(context);
        }
        if let Some(cause) = cause {
            self.begin_shutdown(context, cause);
        }
        if self.direction() == Some(Direction::Up) {
            self.finish_for_crossed(context);
        }
        let held = |since: u64| now_ms.saturating_sub(since) >= context.policy.mains_hold_ms;
        let Some(outage) = &self.state.outage else { return };
        if outage.direction != Direction::Up && outage.relief_since_ms.is_some_and(held) {
            self.turn_back(context);
        }
    }

    /// A drill, or a shutdown that somebody asked for, gives way to an outage.
    fn make_room_for_an_outage(&mut self, context: &Context<'_>, real: bool) {
        let Some(outage) = &self.state.outage else { return };
        if !real || outage.kind == Kind::Mains {
            return;
        }
        let before = outage.clone();
        self.close(context.now_ms, Severity::Warning, "given up: mains has failed");
        self.begin_outage(context);
        for (node, old) in before.nodes.clone().into_iter().filter(|(node, _)| before.goes(node)) {
            let Some(order_id) = old.order.clone().filter(|_| old.phase.going() || old.phase.gone()) else { continue };
            if before.kind == Kind::Drill {
                self.actions.push(Action::Abort { node, order_id });
                continue;
            }
            // Whom somebody is taking down goes on down under its old order, and is not brought back.
            let Some(outage) = &mut self.state.outage else { return };
            if let Some(track) = outage.nodes.get_mut(&node) {
                *track = Track { keep_off: true, attempt: 0, ..old };
                outage.goal.insert(node);
            }
        }
    }

    fn begin_outage(&mut self, context: &Context<'_>) {
        self.open(context, Kind::Mains, Direction::Watching);
        let message = match self.state.supply {
            RackSupply::Battery => "mains has failed: the rack is on battery",
            RackSupply::Dark => "the UPS cannot be read and no witness of mains answers: taken for a loss of mains",
            RackSupply::Mains | RackSupply::Unknown => "a shutdown is forced",
        };
        self.tell(None, "outage.on-battery", Severity::Critical, message);
    }

    /// During the return. What has come back may have to go again, as another outage; else this one goes on.
    fn mains_fails_again(&mut self, context: &Context<'_>) {
        let Some(outage) = &self.state.outage else { return };
        if !outage.nodes.values().any(|track| track.was_gone && !track.phase.gone()) {
            self.tell(None, "outage.on-battery", Severity::Critical, "mains has failed again");
            let Some(outage) = &mut self.state.outage else { return };
            outage.watch_anew();
            for track in outage.nodes.values_mut() {
                (track.wakes, track.given_up) = (0, false);
                if track.phase == Phase::Back {
                    track.phase = Phase::Running;
                }
            }
            self.set_direction(Direction::Watching, context.now_ms);
            return;
        }
        let before = outage.clone();
        self.close(context.now_ms, Severity::Critical, "mains has failed again before all were back");
        self.begin_outage(context);
        let Some(Outage { nodes, goal, .. }) = &mut self.state.outage else { return };
        for (node, mut old) in before.nodes {
            if matches!(old.phase, Phase::Running | Phase::Back | Phase::Returning) && !self.present.contains_key(&node)
            {
                // Not heard yet since the controller began; it may have lost its power with it.
                old.phase = Phase::Missing;
            }
            let stays = !old.phase.gone() && !old.phase.going() && old.phase != Phase::Aborting;
            let Some(track) = nodes.get_mut(&node).filter(|_| !stays) else { continue };
            *track = Track { wakes: 0, given_up: false, attempt: 0, ..old };
            if track.keep_off && track.phase.going() {
                goal.insert(node);
            }
        }
    }

    fn begin_shutdown(&mut self, context: &Context<'_>, cause: Cause) {
        if cause == Cause::Forced {
            self.state.upses.iter_mut().for_each(|ups| ups.forced_seen |= ups.forced);
            self.dirty = true;
        }
        let Some(outage) = &mut self.state.outage else { return };
        if outage.direction != Direction::Watching {
            return;
        }
        outage.everything = true;
        outage.no_shed = false;
        outage.cause = Some(cause.clone());
        self.set_direction(Direction::Down, context.now_ms);
        self.tell(None, "outage.trigger", Severity::Critical, format!("shutting down: {cause}"));
    }

    /// Mains is back. Either all is turned back, or, where only a power cycle brings back what is off, it goes on.
    fn turn_back(&mut self, context: &Context<'_>) {
        let Some(outage) = &self.state.outage else { return };
        match outage.cut {
            // The UPS will cut, whatever mains does: it has to be seen through.
            Cut::Wanted { at_ms, delay_s } | Cut::Told { at_ms, delay_s } => {
                // Unless it has: whoever was off boots again.
                let boots = outage.nodes.values().any(|track| track.was_gone && track.phase == Phase::Running);
                let has_cut = outage.cut_goes_on(context.now_ms) && boots;
                if !has_cut && context.now_ms < cut_over_ms(at_ms, delay_s) {
                    return;
                }
            }
            Cut::Failed => {}
            Cut::Not if outage.finish => {
                if self.can_cut(context) {
                    return;
                }
                self.tell(None, "ups.cut", Severity::Critical, "the UPS cannot be told to cut the load any more");
            }
            Cut::Not => {
                let stuck = self.stuck(context);
                if outage.everything && !stuck.is_empty() && self.can_cut(context) {
                    return self.finish(&stuck);
                }
            }
        }
        self.set_direction(Direction::Up, context.now_ms);
    }

    /// Nodes that are off, or will be, and that only a power cycle brings back.
    pub(super) fn stuck(&self, context: &Context<'_>) -> Vec<NodeName> {
        let Some(outage) = &self.state.outage else { return Vec::new() };
        let cycled =
            |node: &NodeName| context.roster.members.get(node).is_some_and(|member| member.wake == Wake::PowerCycle);
        let stuck = outage.nodes.iter().filter(|(node, track)| track.phase.gone() && !track.keep_off && cycled(node));
        stuck.map(|(node, _)| node.clone()).collect()
    }
}
