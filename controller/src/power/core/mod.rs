//! The policy core: what happens to the supply and the nodes goes in with the time, what is to be done comes out. Pure:
//! no clock, no I/O, no randomness. The driver keeps [`State`] on the disk before it performs what came out.

mod down;
pub mod learnt;
mod plan;
mod progress;
mod requests;
pub mod state;
pub mod supply;
mod turn;
mod up;

#[cfg(test)]
mod golden;

use std::collections::{BTreeMap, BTreeSet};

use rackhaven_proto::model::{NodeName, OrderId, Severity, ShutdownOrder, ShutdownProgress};

pub use requests::{Aborted, Refused, Targets};
use state::{Direction, Kind, Outage, Phase, State, Track};
use supply::{Cause, Observation, UpsTrack};

use super::policy::{Policy, Roster};

/// What the core is told with each step besides the event.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What the admin decided.
    pub policy: &'a Policy,
    /// The nodes and stages.
    pub roster: &'a Roster,
    /// The core's time: milliseconds that never jump and go on across restarts.
    pub now_ms: u64,
    /// Wall clock, milliseconds since 1970-01-01 UTC; for people and for the ids of orders.
    pub wall_ms: i64,
}

/// What happens.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The controller has started with the state of an earlier run.
    Restarted {
        /// Whether its host has not been off since.
        same_boot: bool,
    },
    /// A UPS was read.
    Read {
        /// Which, in the configuration's order.
        ups: usize,
        /// What it said.
        seen: Observation,
    },
    /// A UPS cannot be read.
    Lost {
        /// Which.
        ups: usize,
    },
    /// Whether there are witnesses of mains and all of them are silent.
    Witnesses {
        /// All of them.
        silent: bool,
    },
    /// A node has opened a session.
    NodeUp {
        /// Which.
        node: NodeName,
        /// Its boot.
        boot_id: String,
    },
    /// A node's session has ended.
    NodeGone {
        /// Which.
        node: NodeName,
    },
    /// A node without a session answers nothing else either.
    NodeSilent {
        /// Which.
        node: NodeName,
    },
    /// A node tells how far it is.
    Progress {
        /// Which.
        node: NodeName,
        /// How far.
        progress: ShutdownProgress,
    },
    /// The NUT clients of a stage have all logged out, or some have logged in.
    Clients {
        /// The stage's name.
        stage: String,
        /// Whether some are there.
        present: bool,
    },
    /// Whether at least one UPS took the command to cut.
    CutEnded {
        /// One did.
        told: bool,
        /// For a person.
        message: String,
    },
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send a node its order.
    Order {
        /// Which.
        node: NodeName,
        /// What.
        order: ShutdownOrder,
    },
    /// Tell a node to end an order.
    Abort {
        /// Which.
        node: NodeName,
        /// The order.
        order_id: OrderId,
    },
    /// Drain a node and say so to it.
    Drain {
        /// Which.
        node: NodeName,
        /// For the answer.
        order_id: OrderId,
    },
    /// Make a node's workloads welcome again.
    Uncordon {
        /// Which.
        node: NodeName,
    },
    /// Wake a node.
    Wake {
        /// Which.
        node: NodeName,
    },
    /// Tell the UPSes that can to cut the load and to bring it back with mains.
    Cut {
        /// Between the command and the cut, seconds.
        delay_s: u32,
    },
    /// Write a line into the timeline, and tell it as an event.
    Tell {
        /// Of which outage; 0 for none.
        outage: u64,
        /// About whom; none for the fleet.
        node: Option<NodeName>,
        /// A stable word.
        kind: &'static str,
        /// How much it matters.
        severity: Severity,
        /// For a person.
        message: String,
    },
    /// An outage has begun.
    Begun {
        /// Its number.
        number: u64,
        /// What it is.
        kind: Kind,
    },
    /// An outage has ended.
    Ended {
        /// Its number.
        number: u64,
        /// Why nodes went down, if they did.
        cause: Option<Cause>,
    },
}

/// The core with what it need not remember.
#[derive(Debug, Clone)]
pub struct Core {
    state: State,
    /// Nodes with a session, and their boots.
    present: BTreeMap<NodeName, String>,
    /// Stages with NUT clients that are logged in.
    clients: BTreeSet<String>,
    /// Whether the state on the disk is no longer the state.
    dirty: bool,
    actions: Vec<Action>,
}

impl Core {
    /// Goes on from a state.
    pub fn new(mut state: State, policy: &Policy, now_ms: u64) -> Self {
        state.upses.resize(policy.ups_count, UpsTrack::new(now_ms));
        Self { state, present: BTreeMap::new(), clients: BTreeSet::new(), dirty: true, actions: Vec::new() }
    }

    /// What is to be remembered.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The nodes with a session.
    pub fn present(&self) -> impl Iterator<Item = &NodeName> {
        self.present.keys()
    }

    /// Whether what is to be remembered has changed since this was last asked.
    pub fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }

    /// Takes in what happened; what is to be done, once the state is on the disk.
    pub fn step(&mut self, context: &Context<'_>, events: impl IntoIterator<Item = Event>) -> Vec<Action> {
        for event in events {
            self.take_in(context, event);
        }
        self.advance(context);
        std::mem::take(&mut self.actions)
    }

    fn take_in(&mut self, context: &Context<'_>, event: Event) {
        let now_ms = context.now_ms;
        match event {
            Event::Restarted { same_boot } => self.restarted(context, same_boot),
            Event::Read { ups, seen } => {
                if let Some(track) = self.state.upses.get_mut(ups) {
                    let before = (track.feed, track.low_since_ms, track.forced);
                    track.read(seen, now_ms);
                    self.dirty |= before != (track.feed, track.low_since_ms, track.forced);
                }
            }
            Event::Lost { ups } => {
                if let Some(track) = self.state.upses.get_mut(ups) {
                    let before = track.feed;
                    track.lost(now_ms);
                    self.dirty |= before != track.feed;
                }
            }
            Event::Witnesses { silent } => {
                if silent != self.state.witnesses_silent_since_ms.is_some() {
                    self.state.witnesses_silent_since_ms = silent.then_some(now_ms);
                    self.dirty = true;
                }
            }
            Event::NodeUp { node, boot_id } => self.node_up(context, node, boot_id),
            Event::NodeGone { node } => drop(self.present.remove(&node)),
            Event::NodeSilent { node } => self.node_silent(context, &node),
            Event::Progress { node, progress } => self.progress(context, &node, &progress),
            Event::Clients { stage, present } => {
                if present {
                    self.clients.insert(stage);
                } else {
                    self.clients.remove(&stage);
                }
            }
            Event::CutEnded { told, message } => self.cut_ended(context, told, message),
            Event::Tick => {}
        }
    }

    /// Nodes past their point of no return without a session: does anything else there still answer?
    pub fn to_probe(&self) -> Vec<NodeName> {
        let Some(outage) = &self.state.outage else { return Vec::new() };
        let fading = outage
            .nodes
            .iter()
            .filter(|(node, track)| track.phase == Phase::PoweringOff && !self.present.contains_key(*node));
        fading.map(|(node, _)| node.clone()).collect()
    }

    /// The stages whose NUT clients are to go.
    pub fn stages_down(&self) -> BTreeSet<String> {
        match &self.state.outage {
            Some(outage) if outage.kind == Kind::Mains && outage.direction != Direction::Up => {
                outage.stages.keys().cloned().collect()
            }
            _ => BTreeSet::new(),
        }
    }

    fn tell(&mut self, node: Option<&NodeName>, kind: &'static str, severity: Severity, message: impl Into<String>) {
        let outage = self.state.outage.as_ref().map_or(0, |outage| outage.number);
        self.actions.push(Action::Tell { outage, node: node.cloned(), kind, severity, message: message.into() });
    }

    /// Puts a node into another phase.
    fn set_phase(&mut self, node: &NodeName, phase: Phase, now_ms: u64) {
        if let Some(track) = self.track(node)
            && track.phase != phase
        {
            track.phase = phase;
            track.since_ms = now_ms;
            track.was_gone |= phase.gone();
            self.dirty = true;
        }
    }

    fn track(&mut self, node: &NodeName) -> Option<&mut Track> {
        self.state.outage.as_mut()?.nodes.get_mut(node)
    }

    fn phase(&self, node: &NodeName) -> Option<Phase> {
        Some(self.state.outage.as_ref()?.nodes.get(node)?.phase)
    }

    fn direction(&self) -> Option<Direction> {
        self.state.outage.as_ref().map(|outage| outage.direction)
    }

    /// Opens an outage with all nodes of the roster.
    fn open(&mut self, context: &Context<'_>, kind: Kind, direction: Direction) {
        let now_ms = context.now_ms;
        let number = self.state.next_number;
        self.state.next_number += 1;
        let members = context.roster.members.keys();
        let nodes = members.map(|node| (node.clone(), Track::new(self.present.contains_key(node), now_ms))).collect();
        self.state.outage = Some(Outage {
            number,
            kind,
            begun_ms: now_ms,
            begun_wall_ms: context.wall_ms,
            cause: None,
            direction,
            direction_since_ms: now_ms,
            everything: false,
            goal: BTreeSet::new(),
            nodes,
            stages: BTreeMap::new(),
            relief_since_ms: None,
            dark: false,
            finish: false,
            cut: state::Cut::Not,
        });
        self.dirty = true;
        self.actions.push(Action::Begun { number, kind });
    }

    /// Closes the outage.
    fn close(&mut self, severity: Severity, message: impl Into<String>) {
        self.tell(None, "outage.ended", severity, message);
        if let Some(outage) = self.state.outage.take() {
            self.actions.push(Action::Ended { number: outage.number, cause: outage.cause });
            self.dirty = true;
        }
    }

    fn set_direction(&mut self, direction: Direction, now_ms: u64) {
        if let Some(outage) = &mut self.state.outage
            && outage.direction != direction
        {
            outage.direction = direction;
            outage.direction_since_ms = now_ms;
            self.dirty = true;
        }
    }
}
