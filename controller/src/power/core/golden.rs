//! What comes of what, written out: each phase with each event, and whole outages with their moments.

mod causes;
mod requests;
mod restarts;
mod returns;
mod supplies;
mod table;
mod turns;

use std::collections::BTreeSet;

use rackhaven_proto::model::{NodeName, ProgressState, ShutdownProgress, StepKind, StepOutcome, StepResult};

use super::state::{Phase, State, Track};
use super::supply::{CutDelay, Observation};
use super::{Action, Context, Core, Event};
use crate::power::policy::{Policy, Roster, Wake};
use crate::power::testing::{policy, roster};

/// Between two looks of the core at the time, milliseconds.
const TICK_MS: u64 = 100;
/// Between two readings of the UPSes, milliseconds.
const READ_MS: u64 = 500;

/// A core with its fleet, all up and on mains, a clock that the story moves, and a log of what is done.
struct Rack {
    policy: Policy,
    roster: Roster,
    core: Core,
    now_ms: u64,
    /// What each UPS says; none cannot be read.
    upses: Vec<Option<Observation>>,
    log: Vec<String>,
    /// What was said to nodes already, and whether the log holds it again when it is repeated.
    said: BTreeSet<String>,
    repeats: bool,
}

impl Rack {
    fn new(wake: Wake) -> Self {
        Self::of(policy(), roster(wake))
    }

    fn of(policy: Policy, roster: Roster) -> Self {
        let core = Core::new(State::new(policy.ups_count, 0), &policy, 0);
        let upses = vec![Some(words("OL")); policy.ups_count];
        let mut rack =
            Self { policy, roster, core, now_ms: 0, upses, log: Vec::new(), said: BTreeSet::new(), repeats: false };
        for node in rack.names() {
            rack.up(&node, "boot-1");
        }
        rack.read();
        rack.log.clear();
        rack
    }

    fn names(&self) -> Vec<String> {
        self.roster.members.keys().map(ToString::to_string).collect()
    }

    fn context(&self) -> Context<'_> {
        Context { policy: &self.policy, roster: &self.roster, now_ms: self.now_ms, wall_ms: 1000 }
    }

    fn tell(&mut self, events: impl IntoIterator<Item = Event>) {
        let context = Context { policy: &self.policy, roster: &self.roster, now_ms: self.now_ms, wall_ms: 1000 };
        let before: Vec<Phase> = self.phases();
        self.core.take_dirty();
        let actions = self.core.step(&context, events);
        assert!(self.core.take_dirty() || before == self.phases(), "a phase is not to be written down");
        self.note(&actions);
    }

    fn phases(&self) -> Vec<Phase> {
        self.core.state().outage.iter().flat_map(|outage| outage.nodes.values()).map(|track| track.phase).collect()
    }

    fn note(&mut self, actions: &[Action]) {
        let at = format!("{}.{}", self.now_ms / 1000, self.now_ms % 1000 / 100);
        for action in actions {
            let Some(line) = brief(action) else { continue };
            let said = match action {
                Action::Order { node, order } => format!("order {node} {}", order.id),
                Action::Abort { node, order_id } => format!("abort {node} {order_id}"),
                Action::Wake { .. } => line.clone(),
                Action::Tell { kind: "node.returning", node: Some(node), .. } => {
                    self.said.remove(&format!("wake {node}"));
                    String::new()
                }
                _ => String::new(),
            };
            if said.is_empty() || self.said.insert(said) || self.repeats {
                self.log.push(format!("{at} {line}"));
            }
        }
    }

    /// Lets time pass up to a moment, in tenths of seconds.
    fn until(&mut self, tenths: u64) -> &mut Self {
        while self.now_ms < tenths * 100 {
            self.now_ms += TICK_MS;
            if self.now_ms.is_multiple_of(READ_MS) {
                self.read();
            } else {
                self.tell([Event::Tick]);
            }
        }
        self
    }

    fn read(&mut self) {
        let event = |(ups, seen): (usize, &Option<Observation>)| match seen {
            Some(seen) => Event::Read { ups, seen: *seen },
            None => Event::Lost { ups },
        };
        let events: Vec<_> = self.upses.iter().enumerate().map(event).collect();
        self.tell(events);
    }

    /// The first UPS says something else from now on.
    fn ups(&mut self, seen: Option<Observation>) -> &mut Self {
        self.upses[0] = seen;
        self.read();
        self
    }

    fn says(&mut self, text: &str) -> &mut Self {
        self.ups(Some(words(text)))
    }

    fn up(&mut self, node: &str, boot_id: &str) -> &mut Self {
        self.tell([Event::NodeUp { node: name(node), boot_id: boot_id.to_owned() }]);
        self
    }

    fn gone(&mut self, node: &str) -> &mut Self {
        self.tell([Event::NodeGone { node: name(node) }]);
        self
    }

    fn silent(&mut self, node: &str) -> &mut Self {
        self.tell([Event::NodeSilent { node: name(node) }]);
        self
    }

    /// A node tells how far it is with its order.
    fn at(&mut self, node: &str, state: ProgressState) -> &mut Self {
        let Some(order_id) = self.track(node).and_then(|track| track.order.clone()) else {
            panic!("{node} has no order");
        };
        self.tell([Event::Progress { node: name(node), progress: progress(order_id.as_str(), state) }]);
        self
    }

    /// A node takes its order, switches itself off, and is silent, all at once.
    fn goes(&mut self, node: &str) -> &mut Self {
        self.at(node, ProgressState::Running).at(node, ProgressState::PoweringOff).gone(node).silent(node)
    }

    fn track(&self, node: &str) -> Option<&Track> {
        self.core.state().outage.as_ref()?.nodes.get(&name(node))
    }

    fn phase(&self, node: &str) -> Option<Phase> {
        self.track(node).map(|track| track.phase)
    }

    /// The controller is killed, and another one goes on with what is on the disk, which knows nobody yet.
    fn restart(&mut self, same_boot: bool) -> &mut Self {
        let text = serde_json::to_string(self.core.state()).unwrap();
        let state: State = serde_json::from_str(&text).unwrap();
        assert_eq!(&state, self.core.state());
        self.core = Core::new(state, &self.policy, self.now_ms);
        self.tell([Event::Restarted { same_boot }]);
        self
    }

    /// What was done since this was last asked.
    #[track_caller]
    fn did(&mut self, expected: &[&str]) -> &mut Self {
        let log = std::mem::take(&mut self.log);
        assert!(log == expected, "it did\n{}", log.iter().map(|line| format!("    {line:?},\n")).collect::<String>());
        self
    }
}

fn name(node: &str) -> NodeName {
    node.parse().unwrap()
}

/// What a UPS says with these words, whose cut can be set.
fn words(text: &str) -> Observation {
    let has = |word: &str| text.split(' ').any(|w| w == word);
    Observation {
        on_line: has("OL"),
        on_battery: has("OB"),
        low: has("LB"),
        forced: has("FSD"),
        calibrating: has("CAL"),
        testing: has("TEST"),
        cut: Some(CutDelay { delay_s: None, settable: true }),
        ..Observation::default()
    }
}

fn progress(order_id: &str, state: ProgressState) -> ShutdownProgress {
    let drained =
        StepResult { kind: StepKind::Drain, outcome: StepOutcome::Done, duration_ms: 1000, message: String::new() };
    ShutdownProgress {
        order_id: order_id.parse().unwrap(),
        state,
        steps: vec![drained],
        current: None,
        alone: false,
        message: String::new(),
    }
}

/// An action in a few words; the steps of nodes are left out.
fn brief(action: &Action) -> Option<String> {
    Some(match action {
        Action::Order { node, .. } => format!("order {node}"),
        Action::Abort { node, .. } => format!("abort {node}"),
        Action::Drain { node, .. } => format!("drain {node}"),
        Action::Heard { .. } => return None,
        Action::Uncordon { node } => format!("uncordon {node}"),
        Action::Wake { node } => format!("wake {node}"),
        Action::Cut { delay_s } => format!("cut in {delay_s} s"),
        Action::Begun { number, kind } => format!("begun {number} {}", kind.as_str()),
        Action::Ended { number, .. } => format!("ended {number}"),
        Action::Tell { kind: "node.step", .. } => return None,
        Action::Tell { node: Some(node), kind, .. } => format!("{kind} {node}"),
        Action::Tell { node: None, kind, .. } => (*kind).to_owned(),
    })
}
