//! Whole outages, written out: what happens when, and what the core has done by then.

use rackhaven_proto::model::NodeName;

use super::state::{Phase, State};
use super::supply::Observation;
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
