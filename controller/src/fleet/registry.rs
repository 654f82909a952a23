use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rackhaven_proto::model::{Hello, Labels, LastRun, NodeFacts, NodeName, NodeState, Sample};
use rackhaven_proto::v1;

use super::session::Slot;
use super::{Liveness, Outbox, Reading, SessionId, Thresholds};
use crate::history::{MinuteRow, MinuteSum, point};
use crate::store::NodeRow;

/// A node that changed into a state that is worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// Which node.
    pub node: NodeName,
    /// The state it was last told to be in.
    pub before: NodeState,
    /// The state it is in now.
    pub now: NodeState,
    /// For how long it was silent before, milliseconds; none if it was not heard in this run.
    pub silent_ms: Option<u64>,
}

/// Another live session has the node's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConflict {
    /// Address of the session that is kept.
    pub kept: String,
}

/// A new session was taken up.
#[derive(Debug)]
pub struct Attached {
    /// Its number.
    pub id: SessionId,
    /// The session it took the place of.
    pub replaced: Option<Outbox>,
    /// Whether facts or version differ from what is stored.
    pub facts_changed: bool,
}

/// A copy of what is known of one node.
#[derive(Debug, Clone)]
pub struct NodeView {
    /// Its name.
    pub name: NodeName,
    /// Its labels.
    pub labels: Labels,
    /// When it enrolled, milliseconds since 1970-01-01 UTC.
    pub enrolled_ms: i64,
    /// Its state.
    pub state: NodeState,
    /// How long it is in it, milliseconds.
    pub state_for_ms: u64,
    /// How long ago it was heard, milliseconds.
    pub heard_ms_ago: Option<u64>,
    /// Empty if it never connected.
    pub agent_version: String,
    /// What it said of itself.
    pub facts: Option<Arc<NodeFacts>>,
    /// How its agent's last run ended.
    pub last_run: Option<LastRun>,
    /// Its clock minus the controller's, milliseconds.
    pub skew_ms: Option<i64>,
    /// The newest sample.
    pub reading: Option<Arc<Reading>>,
    /// Its age, milliseconds.
    pub sample_age_ms: Option<u64>,
    /// Address of the open session's peer; empty without one.
    pub peer_address: String,
}

#[derive(Debug)]
struct Node {
    labels: Labels,
    enrolled_ms: i64,
    liveness: Liveness,
    told: NodeState,
    /// The wall clock's view of the last run of the controller, until the node is heard in this one.
    heard_before_ms: Option<i64>,
    state_before_ms: Option<i64>,
    agent_version: String,
    facts: Option<Arc<NodeFacts>>,
    last_run: Option<LastRun>,
    skew_ms: Option<i64>,
    reading: Option<Arc<Reading>>,
    sample_ms: u64,
    recent: VecDeque<v1::Point>,
    minute: MinuteSum,
    slot: Option<Slot>,
}

/// All nodes, in memory. Times named `now_ms` are the controller's monotonic milliseconds.
#[derive(Debug)]
pub struct Registry {
    nodes: Mutex<Nodes>,
    recent_points: usize,
}

#[derive(Debug, Default)]
struct Nodes {
    by_name: HashMap<NodeName, Node>,
    last_session: u64,
}

impl Registry {
    /// The nodes of the store, not heard of yet. Of each, `recent_points` samples are kept as points.
    pub fn load(rows: Vec<NodeRow>, recent_points: usize, now_ms: u64) -> Self {
        let by_name = rows.into_iter().map(|row| (row.name.clone(), Node::from_row(row, now_ms))).collect();
        Self { nodes: Mutex::new(Nodes { by_name, last_session: 0 }), recent_points }
    }

    fn lock(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up a node that has just enrolled; one that is there already (it rejoined) stays as it is.
    pub fn add(&self, name: NodeName, labels: Labels, enrolled_ms: i64, now_ms: u64) {
        self.lock().by_name.entry(name.clone()).or_insert_with(|| {
            let row = NodeRow {
                name,
                labels,
                enrolled_ms,
                state: NodeState::Unknown,
                state_ms: enrolled_ms,
                heard_ms: None,
                agent_version: String::new(),
                facts: None,
                last_run: None,
            };
            Node::from_row(row, now_ms)
        });
    }

    /// The names of all nodes, in order.
    pub fn names(&self) -> Vec<NodeName> {
        let mut names: Vec<_> = self.lock().by_name.keys().cloned().collect();
        names.sort();
        names
    }

    /// Whether there is such a node.
    pub fn contains(&self, name: &str) -> bool {
        name.parse::<NodeName>().is_ok_and(|name| self.lock().by_name.contains_key(&name))
    }

    /// Forgets a node; its outbox, if it had a session.
    pub fn remove(&self, name: &NodeName) -> Option<Option<Outbox>> {
        let node = self.lock().by_name.remove(name)?;
        Some(node.slot.map(|slot| slot.outbox))
    }

    /// Replaces a node's labels; false if there is no such node.
    pub fn set_labels(&self, name: &NodeName, labels: Labels) -> bool {
        self.lock().by_name.get_mut(name).map(|node| node.labels = labels).is_some()
    }

    /// A node's labels.
    pub fn labels(&self, name: &NodeName) -> Option<Labels> {
        self.lock().by_name.get(name).map(|node| node.labels.clone())
    }

    /// Opens a session. One of the same run of the agent takes the place of the one before (a broken connection that
    /// has not been noticed yet); one of another run does so only if the one before has gone silent.
    ///
    /// # Errors
    /// [`SessionConflict`] when two live agents have the same name: a cloned disk. `None` if the node is not known.
    pub fn attach(
        &self,
        hello: &Hello,
        outbox: Outbox,
        peer_address: String,
        now_ms: u64,
        thresholds: &Thresholds,
    ) -> Option<Result<Attached, SessionConflict>> {
        let mut nodes = self.lock();
        let id = SessionId(nodes.last_session + 1);
        let node = nodes.by_name.get_mut(&hello.node)?;
        if let Some(slot) = &node.slot {
            let silent =
                node.liveness.heard_ms().is_none_or(|heard| now_ms.saturating_sub(heard) >= thresholds.suspect_ms);
            if slot.run_id != hello.run_id && !silent && !slot.outbox.is_closed() {
                return Some(Err(SessionConflict { kept: slot.peer_address.clone() }));
            }
        }
        let facts_changed = node.agent_version != hello.agent_version
            || node.facts.as_deref() != Some(&hello.facts)
            || node.last_run != hello.last_run;
        if facts_changed {
            node.agent_version.clone_from(&hello.agent_version);
            node.facts = Some(Arc::new(hello.facts.clone()));
            node.last_run.clone_from(&hello.last_run);
        }
        let slot = Slot { id, run_id: hello.run_id, outbox, peer_address };
        let replaced = node.slot.replace(slot).map(|slot| slot.outbox);
        nodes.last_session = id.0;
        Some(Ok(Attached { id, replaced, facts_changed }))
    }

    /// The session has ended; false if another has taken its place.
    pub fn detach(&self, name: &NodeName, id: SessionId, now_ms: u64) -> bool {
        if let Some(node) = self.lock().by_name.get_mut(name)
            && node.slot.as_ref().is_some_and(|slot| slot.id == id)
        {
            node.slot = None;
            node.liveness.session_ended(now_ms);
            return true;
        }
        false
    }

    /// A node was heard, with its wall clock's time if it told it.
    pub fn heard(&self, name: &NodeName, skew_ms: Option<i64>, now_ms: u64, new_session: bool) {
        if let Some(node) = self.lock().by_name.get_mut(name) {
            node.liveness.heard(now_ms, new_session);
            node.heard_before_ms = None;
            node.state_before_ms = None;
            if skew_ms.is_some() {
                node.skew_ms = skew_ms;
            }
        }
    }

    /// Takes in a sample. With `wall_ms` it also goes into the points and the minute's averages; the minute that it
    /// completes, if it does, comes back.
    pub fn sample(&self, name: &NodeName, sample: &Sample, now_ms: u64, wall_ms: Option<i64>) -> Option<MinuteRow> {
        let reading = Arc::new(Reading::new(sample));
        let mut nodes = self.lock();
        let node = nodes.by_name.get_mut(name)?;
        let mut complete = None;
        if let Some(wall_ms) = wall_ms {
            let point = point(sample, wall_ms);
            complete = node.minute.add(name, &point);
            if self.recent_points > 0 {
                if node.recent.len() >= self.recent_points {
                    node.recent.pop_front();
                }
                node.recent.push_back(point);
            }
        }
        node.reading = Some(reading);
        node.sample_ms = now_ms;
        complete
    }

    /// The minutes of all nodes that are over, `current` being the one that is not.
    pub fn end_minutes(&self, current: i64) -> Vec<MinuteRow> {
        self.lock().by_name.iter_mut().filter_map(|(name, node)| node.minute.end(name, current)).collect()
    }

    /// A node has said that it goes off.
    pub fn goes_off(&self, name: &NodeName) {
        if let Some(node) = self.lock().by_name.get_mut(name) {
            node.liveness.goes_off();
        }
    }

    /// Lets time pass for all nodes.
    pub fn tick(&self, now_ms: u64, thresholds: &Thresholds) {
        for node in self.lock().by_name.values_mut() {
            node.liveness.tick(now_ms, thresholds);
        }
    }

    /// The changes of state since they were last taken that are worth telling: into up, down and off.
    pub fn take_changes(&self, now_ms: u64) -> Vec<StateChange> {
        let mut changes = Vec::new();
        for (name, node) in &mut self.lock().by_name {
            let now = node.liveness.state();
            if node.told == now || !matches!(now, NodeState::Up | NodeState::Down | NodeState::Off) {
                continue;
            }
            let silent_ms = node.liveness.heard_ms().map(|heard| now_ms.saturating_sub(heard));
            changes.push(StateChange { node: name.clone(), before: node.told, now, silent_ms });
            node.told = now;
        }
        changes.sort_by(|a, b| a.node.cmp(&b.node));
        changes
    }

    /// Where a node's messages go in, if it has a session.
    pub fn outbox(&self, name: &NodeName) -> Option<Outbox> {
        self.lock().by_name.get(name)?.slot.as_ref().map(|slot| slot.outbox.clone())
    }

    /// Where all nodes' messages go in.
    pub fn outboxes(&self) -> Vec<Outbox> {
        self.lock().by_name.values().filter_map(|node| node.slot.as_ref().map(|slot| slot.outbox.clone())).collect()
    }

    /// A copy of what is known of one node.
    pub fn view(&self, name: &NodeName, now_ms: u64, wall_ms: i64) -> Option<NodeView> {
        self.lock().by_name.get(name).map(|node| node.view(name, now_ms, wall_ms))
    }

    /// A copy of what is known of all nodes, in no order.
    pub fn views(&self, now_ms: u64, wall_ms: i64) -> Vec<NodeView> {
        self.lock().by_name.iter().map(|(name, node)| node.view(name, now_ms, wall_ms)).collect()
    }

    /// The recent points of a node, oldest first.
    pub fn recent(&self, name: &NodeName) -> Vec<v1::Point> {
        self.lock().by_name.get(name).map_or_else(Vec::new, |node| node.recent.iter().copied().collect())
    }
}

impl Node {
    fn from_row(row: NodeRow, now_ms: u64) -> Self {
        Self {
            labels: row.labels,
            enrolled_ms: row.enrolled_ms,
            liveness: Liveness::new(row.state, now_ms),
            told: row.state,
            heard_before_ms: row.heard_ms,
            state_before_ms: (row.state == NodeState::Off).then_some(row.state_ms),
            agent_version: row.agent_version,
            facts: row.facts.map(Arc::new),
            last_run: row.last_run,
            skew_ms: None,
            reading: None,
            sample_ms: 0,
            recent: VecDeque::new(),
            minute: MinuteSum::default(),
            slot: None,
        }
    }

    fn view(&self, name: &NodeName, now_ms: u64, wall_ms: i64) -> NodeView {
        let since_wall = |then: i64| u64::try_from(wall_ms.saturating_sub(then)).unwrap_or(0);
        NodeView {
            name: name.clone(),
            labels: self.labels.clone(),
            enrolled_ms: self.enrolled_ms,
            state: self.liveness.state(),
            state_for_ms: self
                .state_before_ms
                .map_or_else(|| now_ms.saturating_sub(self.liveness.since_ms()), since_wall),
            heard_ms_ago: match self.liveness.heard_ms() {
                Some(heard) => Some(now_ms.saturating_sub(heard)),
                None => self.heard_before_ms.map(since_wall),
            },
            agent_version: self.agent_version.clone(),
            facts: self.facts.clone(),
            last_run: self.last_run.clone(),
            skew_ms: self.skew_ms,
            reading: self.reading.clone(),
            sample_age_ms: self.reading.as_ref().map(|_| now_ms.saturating_sub(self.sample_ms)),
            peer_address: self.slot.as_ref().map_or_else(String::new, |slot| slot.peer_address.clone()),
        }
    }
}
