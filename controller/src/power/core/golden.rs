//! Whole outages, written out: what happens when, and what the core has done by then.

use rackhaven_proto::model::{NodeName, ProgressState, ShutdownProgress, StepKind};

use super::state::{Direction, Phase, State};
use super::supply::{CutDelay, Observation};
use super::{Action, Context, Core, Event};
use crate::power::policy::{Policy, Roster, Wake};
use crate::power::testing::{policy, roster};

/// A core with its fleet, all up and on mains, and a clock that the test moves.
struct Rack {
    policy: Policy,
    roster: Roster,
    core: Core,
    now_ms: u64,
}

impl Rack {
    fn new(wake: Wake) -> Self {
        let policy = policy();
        let core = Core::new(State::new(1, 0), &policy, 0);
        let mut rack = Self { policy, roster: roster(wake), core, now_ms: 0 };
        for node in ["pi-1", "pi-2", "nas", "rack"] {
            rack.tell(Event::NodeUp { node: name(node), boot_id: "boot-1".to_owned() });
        }
        rack.tell(read("OL"));
        rack
    }

    fn tell(&mut self, event: Event) -> Vec<Action> {
        let context = Context { policy: &self.policy, roster: &self.roster, now_ms: self.now_ms, wall_ms: 1000 };
        self.core.step(&context, [event])
    }

    fn tell_at(&mut self, now_ms: u64, event: Event) -> Vec<Action> {
        self.now_ms = now_ms;
        self.tell(event)
    }

    /// Tells of a node how far it is with its order.
    fn progress(&mut self, now_ms: u64, node: &str, state: ProgressState, current: Option<StepKind>) -> Vec<Action> {
        let outage = self.core.state().outage.as_ref().unwrap();
        let order_id = outage.nodes.get(&name(node)).unwrap().order.clone().unwrap();
        let progress =
            ShutdownProgress { order_id, state, steps: Vec::new(), current, alone: false, message: String::new() };
        self.tell_at(now_ms, Event::Progress { node: name(node), progress })
    }

    fn phase(&self, node: &str) -> Option<Phase> {
        Some(self.core.state().outage.as_ref()?.nodes.get(&name(node))?.phase)
    }
}

fn name(node: &str) -> NodeName {
    node.parse().unwrap()
}

fn read(words: &str) -> Event {
    let has = |word: &str| words.split(' ').any(|w| w == word);
    let seen = Observation { on_line: has("OL"), on_battery: has("OB"), low: has("LB"), ..Observation::default() };
    Event::Read { ups: 0, seen }
}

#[test]
fn a_low_battery_begins_the_first_stage() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.now_ms = 1000;
    rack.tell(read("OB LB"));
    rack.now_ms = 2900;
    assert!(!rack.tell(Event::Tick).iter().any(|action| matches!(action, Action::Order { .. })));
    rack.now_ms = 3000;
    let orders = rack.tell(Event::Tick);
    let ordered = orders.iter().filter_map(|action| match action {
        Action::Order { node, .. } => Some(node.as_str()),
        _ => None,
    });
    assert_eq!(ordered.collect::<Vec<_>>(), ["pi-1", "pi-2"]);
    assert_eq!((rack.phase("pi-1"), rack.phase("nas")), (Some(Phase::Ordered), Some(Phase::Running)));
}

/// The order to stay crosses the word that a node switches itself off, and only a power cycle brings that one back.
#[test]
fn a_node_that_goes_while_it_is_told_to_stay_is_not_left_behind() {
    let read = |words: &str| match read(words) {
        Event::Read { ups, seen } => {
            let cut = Some(CutDelay { delay_s: None, settable: true });
            Event::Read { ups, seen: Observation { cut, ..seen } }
        }
        other => other,
    };
    let mut rack = Rack::new(Wake::PowerCycle);
    rack.tell_at(1000, read("OB LB"));
    rack.tell_at(3000, Event::Tick);
    for node in ["pi-1", "pi-2"] {
        rack.progress(3100, node, ProgressState::Running, Some(StepKind::Sync));
    }
    rack.tell_at(4000, read("OL"));
    let aborts = rack.tell_at(7000, Event::Tick);
    assert_eq!(aborts.iter().filter(|action| matches!(action, Action::Abort { .. })).count(), 2);
    rack.progress(7010, "pi-1", ProgressState::Aborted, None);
    assert_eq!((rack.phase("pi-1"), rack.core.direction()), (Some(Phase::Back), Some(Direction::Up)));
    let orders = rack.progress(7020, "pi-2", ProgressState::PoweringOff, Some(StepKind::PowerOff));
    assert_eq!((rack.phase("pi-2"), rack.core.direction()), (Some(Phase::PoweringOff), Some(Direction::Down)));
    let again = |action: &Action| matches!(action, Action::Order { node, .. } if node.as_str() == "pi-1");
    assert!(orders.iter().any(again), "{orders:?}");
}

/// Somebody who ends a shutdown wants nobody to go, whoever is lost by that.
#[test]
fn an_abort_is_not_undone_for_a_node_that_crosses_it() {
    let mut rack = Rack::new(Wake::PowerCycle);
    rack.tell_at(1000, read("OB LB"));
    rack.tell_at(3000, Event::Tick);
    rack.progress(3100, "pi-2", ProgressState::Running, Some(StepKind::Sync));
    rack.tell_at(4000, read("OL"));
    let context = Context { policy: &rack.policy, roster: &rack.roster, now_ms: 4100, wall_ms: 1000 };
    rack.core.abort(&context).unwrap();
    rack.progress(4200, "pi-2", ProgressState::PoweringOff, Some(StepKind::PowerOff));
    rack.tell_at(9000, Event::Tick);
    assert_eq!(rack.core.direction(), Some(Direction::Up));
}

/// The roster is looked at each second: a node may have a session before it is in it.
#[test]
fn a_node_that_enrols_as_mains_fails_goes_with_the_others() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    let later = rack.roster.members.remove(&name("pi-2")).unwrap();
    rack.tell_at(1000, read("OB LB"));
    assert_eq!(rack.phase("pi-2"), None);
    rack.roster.members.insert(name("pi-2"), later);
    rack.tell_at(3000, Event::Tick);
    assert_eq!((rack.phase("pi-1"), rack.phase("pi-2")), (Some(Phase::Ordered), Some(Phase::Ordered)));
}
