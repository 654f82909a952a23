//! The policy core: what happens to the supply and the nodes goes in with the time, what is to be done comes out. Pure:
//! no clock, no I/O, no randomness. The driver keeps its state on the disk before it performs what came out.

mod cut;
mod down;
mod event;
mod late;
pub mod learnt;
mod plan;
mod progress;
mod requests;
mod restart;
pub mod state;
pub mod supply;
mod track;
mod turn;
mod up;

#[cfg(test)]
mod golden;

use std::collections::{BTreeMap, BTreeSet};

use rackhaven_proto::model::{NodeName, Severity};

pub use event::{Action, Context, Event};
pub use requests::{Aborted, Refused, Targets};
use state::{Direction, Kind, Once, Outage, Phase, State, Track};
use supply::UpsTrack;
pub use up::Wait;

use super::policy::Policy;

/// A node whose session ended so shortly before an outage may have lost it by the same cause, milliseconds.
const RECENT_MS: u64 = 60_000;

/// The core with what it need not remember.
#[derive(Debug, Clone)]
pub struct Core {
    state: State,
    /// Nodes with a session, and their boots.
    present: BTreeMap<NodeName, String>,
    /// Since when the others have none. Whoever is not in it has had none since this run began.
    away_since_ms: BTreeMap<NodeName, u64>,
    /// When this run began.
    begun_ms: u64,
    /// Its host has just booted: whoever was off may have done so too.
    booted: bool,
    /// Stages with NUT clients that are logged in.
    clients: BTreeSet<String>,
    /// Since when stages have a reason to be shed.
    shed_since_ms: BTreeMap<String, u64>,
    /// When nodes were told last to end an order of an outage that is over.
    strays: BTreeMap<NodeName, u64>,
    /// Whether the state on the disk is no longer the state.
    dirty: bool,
    actions: Vec<Action>,
}

impl Core {
    /// Goes on from a state.
    pub fn new(mut state: State, policy: &Policy, now_ms: u64) -> Self {
        state.upses.resize(policy.ups_count, UpsTrack::new(now_ms));
        Self {
            state,
            present: BTreeMap::new(),
            away_since_ms: BTreeMap::new(),
            begun_ms: now_ms,
            booted: false,
            clients: BTreeSet::new(),
            shed_since_ms: BTreeMap::new(),
            strays: BTreeMap::new(),
            dirty: true,
            actions: Vec::new(),
        }
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
        let mut events = events.into_iter().peekable();
        if !matches!(events.peek(), Some(Event::Restarted { .. })) {
            self.forget_once();
        }
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
            Event::NodeGone { node } => {
                if self.present.remove(&node).is_some() {
                    self.away_since_ms.retain(|_, since_ms| now_ms.saturating_sub(*since_ms) < RECENT_MS);
                    self.away_since_ms.insert(node, now_ms);
                }
            }
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
        let fading =
            outage.nodes.iter().filter(|(node, track)| track.fades(outage) && !self.present.contains_key(*node));
        fading.map(|(node, _)| node.clone()).collect()
    }

    /// What the step before asked for has been done: the driver performs one step's actions before it takes the next.
    fn forget_once(&mut self) {
        self.dirty |= !self.state.once.is_empty();
        self.state.once.clear();
    }

    /// How long a node has had no session, more than 0; 0 for one that has.
    fn away_ms(&self, context: &Context<'_>, node: &NodeName) -> u64 {
        if self.present.contains_key(node) {
            return 0;
        }
        let since_ms = self.away_since_ms.get(node).copied().unwrap_or(self.begun_ms);
        context.now_ms.saturating_sub(since_ms).max(1)
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
        self.state.next_number = number.saturating_add(1);
        let members = context.roster.members.keys();
        let unproven = if kind == Kind::Mains { self.state.unproven.take() } else { None };
        let track = |node: &NodeName| {
            let left_ms = self.away_since_ms.get(node).map(|since| now_ms.saturating_sub(*since));
            let unproven = unproven.iter().any(|(_, nodes)| nodes.contains(node));
            let was_here = kind == Kind::Mains && (unproven || left_ms.is_some_and(|left_ms| left_ms < RECENT_MS));
            Track { was_here, ..Track::new(self.present.get(node), now_ms) }
        };
        let nodes = members.map(|node| (node.clone(), track(node))).collect();
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
            no_shed: false,
        });
        self.shed_since_ms.clear();
        self.dirty = true;
        self.actions.push(Action::Begun { number, kind });
    }

    /// Closes the outage.
    fn close(&mut self, now_ms: u64, severity: Severity, message: impl Into<String>) {
        self.tell(None, "outage.ended", severity, message);
        if let Some(outage) = self.state.outage.take() {
            if outage.kind == Kind::Manual {
                // Whoever was taken down did not lose its session by chance.
                self.away_since_ms.retain(|node, _| !outage.goes(node));
            }
            if outage.kind == Kind::Mains {
                self.state.unproven = Some((now_ms, self.present.keys().cloned().collect()));
            }
            let (number, cause) = (outage.number, outage.cause);
            self.state.once.push(Once::Ended { number, cause: cause.clone() });
            self.actions.push(Action::Ended { number, cause });
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
