//! What must hold, whatever happens.

use std::collections::{BTreeMap, BTreeSet};

use rackhaven_controller::power::core::state::{Direction, Kind, Outage, Phase};
use rackhaven_controller::power::core::supply::Cause;
use rackhaven_controller::power::core::{Action, Context};
use rackhaven_controller::power::policy::{Need, Wake};
use rackhaven_proto::model::{NodeName, StepKind};

use super::host::{Host, Machine};
use super::world::World;

/// What was seen may lie back so long, milliseconds: readings are on their way, controllers are down.
const SEEN_MS: u64 = 30_000;
/// A node may be over its time by one beat and the controller's absence.
const LATE_MS: u64 = 8000;

/// What became of a scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Losses of mains that the controller saw.
    pub outages: u64,
    /// Whoever was switched off by its agent, in which of its boots.
    pub power_offs: BTreeMap<NodeName, Vec<u32>>,
    /// Who is up at the end.
    pub up: Vec<NodeName>,
    /// How often the controller wrote its state.
    pub control_writes: u64,
    /// How often each agent wrote its record, in the order of the hosts.
    pub agent_writes: Vec<u64>,
    /// From the first order to the last machine that was off before power came back, milliseconds.
    pub down_ms: u64,
    /// The master had to be started by hand.
    pub by_hand: u64,
}

/// What the checks remember.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// What was done since this was last set to 0.
    pub(super) actions: u64,
    pub(super) by_hand: u64,
    /// The UPS was told to cut, and has not come back since.
    pub(super) cut_told: bool,
    /// Power was lost, and the controller did not know that it might be.
    unseen: bool,
    /// Outages that have begun.
    seen: BTreeSet<u64>,
    outages: u64,
    /// Whom somebody took down.
    asked: Vec<NodeName>,
    forced_ms: Option<u64>,
    dark_ms: Option<u64>,
    /// Each node's last line of the timeline; none if one may have been lost.
    lines: BTreeMap<NodeName, &'static str>,
    first_order_ms: Option<u64>,
    last_off_ms: u64,
}

impl Checks {
    /// Somebody took nodes down; none of them means all.
    pub(super) fn asked(&mut self, nodes: &[NodeName], hosts: &[Host]) {
        if nodes.is_empty() {
            self.asked.extend(hosts.iter().map(|host| host.plan.name.clone()));
        }
        self.asked.extend(nodes.iter().cloned());
    }

    /// A crash kept these from being done.
    pub(super) fn lost(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Tell { node: Some(node), .. } => drop(self.lines.remove(node)),
                Action::Begun { kind: Kind::Mains, number } => {
                    self.outages += u64::from(self.seen.insert(*number));
                }
                _ => {}
            }
        }
    }
}

impl World<'_> {
    fn outage(&self) -> Option<&Outage> {
        self.control.as_ref()?.core.state().outage.as_ref()
    }

    /// What is to be done has a reason, and its turn.
    pub(super) fn check_action(&mut self, action: &Action) {
        self.checks.actions += 1;
        match action {
            Action::Begun { kind: Kind::Mains, number } if self.checks.seen.insert(*number) => {
                self.checks.outages += 1;
                let seen = |at_ms: Option<u64>| at_ms.is_some_and(|at_ms| self.now_ms - at_ms <= SEEN_MS);
                if !(seen(self.checks.dark_ms) || seen(self.checks.forced_ms)) {
                    self.fail("an outage begins, and there was none".to_owned());
                }
            }
            Action::Order { node, .. } => {
                self.checks.first_order_ms.get_or_insert(self.now_ms);
                if let Err(why) = self.order_has_its_turn(node) {
                    self.fail(why);
                }
            }
            Action::Tell { node: Some(node), kind, .. } => self.check_line(node, kind),
            _ => {}
        }
    }

    fn order_has_its_turn(&self, node: &NodeName) -> Result<(), String> {
        let Some(control) = &self.control else { return Ok(()) };
        let Some(outage) = self.outage() else { return Err(format!("{node} is told to go, and there is no outage")) };
        let Some((track, member)) = outage.nodes.get(node).zip(self.scenario.roster.members.get(node)) else {
            return Err(format!("{node} is told to go, and is not known"));
        };
        if !outage.goes(node) {
            return Err(format!("{node} is told to go, and need not"));
        }
        if track.ordered_ms != self.now_ms {
            return Ok(());
        }
        let mains = outage.kind == Kind::Mains;
        let honest = self.scenario.honest && mains && !self.mains && outage.cause != Some(Cause::Forced);
        if honest && self.checks.asked.is_empty() && self.now_ms - self.mains_since_ms < self.scenario.policy.hold_ms {
            return Err(format!("{node} is told to go at a blip"));
        }
        if outage.direction != Direction::Down || (mains && outage.goal.contains(node)) {
            return Ok(());
        }
        let scenario = self.scenario;
        let context = Context { policy: &scenario.policy, roster: &scenario.roster, now_ms: self.now_ms, wall_ms: 0 };
        // It counts itself and the stages after its own.
        let rest_ms: u64 = (member.stage..scenario.roster.stages.len())
            .map(|stage| control.core.stage_expected_ms(&context, stage))
            .sum();
        let hurry =
            control.core.runtime_left_ms(&context).is_some_and(|left| left <= rest_ms + scenario.policy.margin_ms);
        let before = scenario.roster.members.iter().filter(|(_, other)| other.stage < member.stage);
        for (other, _) in before.filter(|(other, _)| outage.goes(other)) {
            // One that cannot be switched off is not waited for either.
            let phase = outage.nodes.get(other).filter(|track| !track.failed).map(|track| track.phase);
            let drilled = outage.kind == Kind::Drill && phase == Some(Phase::Back);
            if !hurry && !drilled && phase.is_some_and(|phase| !phase.settled()) {
                return Err(format!("{node} is told to go before {other}, which is {phase:?}"));
            }
        }
        Ok(())
    }

    fn check_line(&mut self, node: &NodeName, kind: &'static str) {
        let before = self.checks.lines.get(node).copied();
        let wrong = match (kind, before) {
            (_, None) => false,
            // One that was out of reach, and taken for off, may be seen to go later.
            ("node.powering-off" | "node.off", Some("node.returning" | "node.back")) => true,
            ("node.off", Some("node.ordered")) => true,
            _ => false,
        };
        if wrong {
            self.fail(format!("{node}: {kind} after {before:?}"));
        }
        let kind = if kind == "master.ordered" { "node.ordered" } else { kind };
        if kind != "node.step" {
            self.checks.lines.insert(node.clone(), kind);
        }
    }

    /// Nobody is waited for beyond its time.
    pub(super) fn check_state(&mut self) {
        if !self.mains {
            self.checks.dark_ms = Some(self.now_ms);
        }
        if self.ups.forced {
            self.checks.forced_ms = Some(self.now_ms);
        }
        let Some(outage) = self.outage().filter(|outage| outage.direction == Direction::Down) else { return };
        let cap_ms = self.scenario.policy.cap_ms() + LATE_MS;
        let late = outage.nodes.iter().find(|(node, track)| {
            let stage = self.scenario.roster.members.get(*node).map(|member| member.stage);
            let begun = stage.and_then(|at| self.scenario.roster.stages.get(at)).map(|stage| &stage.name);
            let begun = begun.is_some_and(|name| outage.stages.contains_key(name));
            begun && outage.goes(node) && track.phase.going() && self.now_ms.saturating_sub(track.ordered_ms) > cap_ms
        });
        if let Some((node, track)) = late {
            let why = format!("{node} is still waited for, as {:?}", track.phase);
            self.fail(why);
        }
    }

    /// An agent switches its host off.
    pub(super) fn check_power_off(&mut self, at: usize) {
        let boots = &self.hosts[at].power_offs;
        let twice = boots.iter().rev().skip(1).any(|boot| Some(boot) == boots.last());
        if twice {
            self.fail(format!("host {at} is switched off twice in a boot"));
        }
        self.checks.last_off_ms = self.now_ms;
        let reason = self.checks.dark_ms.is_some() || self.checks.forced_ms.is_some() || !self.checks.asked.is_empty();
        if !reason {
            self.fail(format!("host {at} is switched off, and there was no reason"));
        }
    }

    /// The UPS gives no power any more.
    pub(super) fn check_power_lost(&mut self) {
        if self.outage().is_none() {
            // Nobody saw it come, and nobody knows who was up.
            self.checks.unseen = true;
        }
        if !self.scenario.honest || self.aborted_on_battery() {
            return;
        }
        let running = self.hosts.iter().find(|host| matches!(host.machine, Machine::Up | Machine::GoingOff));
        if let Some(host) = running {
            let why = format!("{} loses its power while it is {:?}", host.plan.name, host.machine);
            self.fail(why);
        }
    }

    fn aborted_on_battery(&self) -> bool {
        use super::scenario::{Ask, Turn};
        self.scenario.turns.iter().any(|(_, turn)| *turn == Turn::Ask(Ask::Abort))
    }

    fn can_cut(&self) -> bool {
        let ups = &self.scenario.ups;
        self.scenario.policy.cut
            && ups.cut_works
            && ups.cut.is_some_and(|(delay_s, settable)| settable || delay_s >= 100)
    }

    /// Somebody has to start the master.
    pub(super) fn check_master_left_off(&mut self) {
        if self.scenario.honest && self.can_cut() && self.checks.asked.is_empty() && !self.aborted_on_battery() {
            self.fail("the master stays off, although the UPS could have been told to cut".to_owned());
        }
    }

    /// Whether a host must be up in the end.
    fn must_be_up(&self, host: &Host) -> bool {
        let Some(member) = self.scenario.roster.members.get(&host.plan.name) else { return false };
        if self.checks.asked.contains(&host.plan.name) {
            return false;
        }
        let shed = self.scenario.roster.stages[member.stage].shed.is_some();
        match member.wake {
            _ if member.master => true,
            Wake::WakeOnLan => !self.checks.unseen,
            Wake::PowerCycle => {
                let undisturbed = self.checks.asked.is_empty() && !self.aborted_on_battery();
                self.scenario.honest && self.can_cut() && !shed && undisturbed
            }
            Wake::ByHand => false,
        }
    }

    /// What is not as it should be in the end.
    pub(super) fn unsettled(&self) -> Option<String> {
        let Some(control) = &self.control else { return Some("the controller is not there".to_owned()) };
        let state = control.core.state();
        if let Some(outage) = &state.outage {
            let nodes: Vec<_> = outage.nodes.iter().map(|(node, track)| format!("{node} {:?}", track.phase)).collect();
            return Some(format!("outage {} is open: {:?}, {}", outage.number, outage.direction, nodes.join(", ")));
        }
        for (at, host) in self.hosts.iter().enumerate() {
            let name = &host.plan.name;
            if host.machine == Machine::Off && !self.must_be_up(host) {
                continue;
            }
            if host.machine != Machine::Up || !self.wires[at].control_has {
                return Some(format!("{name} is {:?}", host.machine));
            }
            let active = host.agent.as_ref().is_none_or(|agent| agent.is_active());
            if active && self.checks.asked.contains(name) {
                // Somebody took it down, it can't be, and it tries again.
                continue;
            }
            if active {
                return Some(format!("{name} is on its way down"));
            }
            if self.cordoned.contains(name) && self.needs_are_met(name) {
                return Some(format!("{name} is cordoned"));
            }
            if (host.k3s_held || state.held.contains(name)) && self.needs_are_met(name) {
                let by = if state.held.contains(name) { "the controller" } else { "its agent alone" };
                return Some(format!("K3s is held on {name} by {by}"));
            }
        }
        None
    }

    fn needs_are_met(&self, node: &NodeName) -> bool {
        let roster = &self.scenario.roster;
        let Some(member) = roster.members.get(node) else { return true };
        roster.stages[member.stage].needs.iter().all(|need| match need {
            Need::Mount(_) => member.mounts_ready,
            Need::Node(other) => {
                self.index(other).is_some_and(|at| self.hosts[at].machine == Machine::Up && self.wires[at].control_has)
            }
        })
    }

    /// When all is well nothing more is done.
    pub(super) fn check_quiet(&self) -> Result<(), String> {
        // Those that are left behind are woken once a minute.
        let stubborn = |host: &Host| {
            let hangs = host.plan.step_ms.get(&StepKind::PowerOff).is_none_or(Option::is_none);
            self.checks.asked.contains(&host.plan.name) && (hangs || host.plan.power_off_fails > 0)
        };
        if self.hosts.iter().any(stubborn) {
            // Somebody took it down, it can't be, and it tries again.
            return Ok(());
        }
        let most = 4 * self.hosts.len() as u64 + 4;
        match self.checks.actions {
            actions if actions > most => Err(format!("{actions} things are done while nothing goes on")),
            _ => Ok(()),
        }
    }

    pub(super) fn outcome(self) -> Outcome {
        let up = self.hosts.iter().filter(|host| host.machine == Machine::Up);
        Outcome {
            outages: self.checks.outages,
            up: up.map(|host| host.plan.name.clone()).collect(),
            power_offs: self.hosts.iter().map(|it| (it.plan.name.clone(), it.power_offs.clone())).collect(),
            control_writes: self.control_writes,
            agent_writes: self.hosts.iter().map(|host| host.writes).collect(),
            down_ms: self.checks.last_off_ms.saturating_sub(self.checks.first_order_ms.unwrap_or(0)),
            by_hand: self.checks.by_hand,
        }
    }
}
