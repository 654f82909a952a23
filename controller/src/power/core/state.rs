//! What the policy core remembers across restarts.

use std::collections::{BTreeMap, BTreeSet};

use rackhaven_proto::Invalid;
use rackhaven_proto::model::{NodeName, OrderId};
use serde::{Deserialize, Serialize};

use super::learnt::Learnt;
use super::supply::{Cause, RackSupply, UpsTrack};
pub use super::track::{Phase, Track};

/// All that must survive a kill at any instant. Times are the core's own milliseconds, which go on across restarts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The UPSes, in the configuration's order.
    pub upses: Vec<UpsTrack>,
    /// Since when all witnesses of mains are silent.
    pub witnesses_silent_since_ms: Option<u64>,
    /// The rack's supply.
    pub supply: RackSupply,
    /// Since when.
    pub supply_since_ms: u64,
    /// The outage, shutdown or drill that goes on.
    pub outage: Option<Outage>,
    /// The next one's number.
    pub next_number: u64,
    /// How long nodes take down.
    pub learnt: BTreeMap<NodeName, Learnt>,
    /// Nodes on which K3s is to wait.
    pub held: BTreeSet<NodeName>,
    /// Nodes that had not come back when their outage was over, and when they were sent a wake-up last.
    pub to_wake: BTreeMap<NodeName, u64>,
    /// When the last loss of mains was over, and who was there then.
    pub unproven: Option<(u64, BTreeSet<NodeName>)>,
    /// Nodes that were asked to be drained, and have not been made welcome since.
    pub cordoned: BTreeSet<NodeName>,
    /// What the last step asked for once only: done again if the controller was killed before it was done.
    pub once: Vec<Once>,
}

/// What is asked for once, and must not be lost in a crash. Doing it twice is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Once {
    /// Make a node's workloads welcome again.
    Uncordon(NodeName),
    /// Write down that an outage has ended.
    Ended {
        /// Its number.
        number: u64,
        /// Why nodes went down, if they did.
        cause: Option<Cause>,
    },
}

impl State {
    /// One that has seen nothing yet.
    pub fn new(ups_count: usize, now_ms: u64) -> Self {
        Self {
            upses: vec![UpsTrack::new(now_ms); ups_count],
            witnesses_silent_since_ms: None,
            supply: RackSupply::Unknown,
            supply_since_ms: now_ms,
            outage: None,
            next_number: 1,
            learnt: BTreeMap::new(),
            held: BTreeSet::new(),
            to_wake: BTreeMap::new(),
            unproven: None,
            cordoned: BTreeSet::new(),
            once: Vec::new(),
        }
    }
}

/// What an outage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A loss of mains.
    Mains,
    /// Somebody takes nodes down.
    Manual,
    /// Somebody rehearses it.
    Drill,
}

impl Kind {
    /// The kind's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mains => "mains",
            Self::Manual => "manual",
            Self::Drill => "drill",
        }
    }
}

/// Where an outage is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// On battery; nobody goes but stages that are shed.
    Watching,
    /// Nodes go down.
    Down,
    /// Nodes are kept or come back.
    Up,
}

/// One outage, manual shutdown or drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// Unique for ever.
    pub number: u64,
    /// What it is.
    pub kind: Kind,
    /// When it began.
    pub begun_ms: u64,
    /// The same by the wall clock, milliseconds since 1970-01-01 UTC.
    pub begun_wall_ms: i64,
    /// Why nodes go down; none as long as none does.
    pub cause: Option<Cause>,
    /// Where it is going.
    pub direction: Direction,
    /// Since when.
    pub direction_since_ms: u64,
    /// Whether all nodes go, or only those of `goal`.
    pub everything: bool,
    /// Nodes that go.
    pub goal: BTreeSet<NodeName>,
    /// Each node of the fleet.
    pub nodes: BTreeMap<NodeName, Track>,
    /// Stages that have begun, by name.
    pub stages: BTreeMap<String, StageTrack>,
    /// Since when the supply is good again.
    pub relief_since_ms: Option<u64>,
    /// Nothing said that it is on battery; witnesses of mains fell silent.
    pub dark: bool,
    /// Mains is back, but what is off comes back by a power cycle only: it goes on to its end.
    pub finish: bool,
    /// Whether the UPSes were told to cut the load.
    pub cut: Cut,
    /// Somebody ended it on battery: no stage is shed any more.
    pub no_shed: bool,
}

/// One stage on its way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTrack {
    /// When it began.
    pub begun_ms: u64,
    /// When all of its nodes were off or given up.
    pub ended_ms: Option<u64>,
}

/// How far the command to the UPSes is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// Not told.
    Not,
    /// About to be told: not known whether it was.
    Wanted {
        /// Since when.
        at_ms: u64,
        /// Between the command and the cut, seconds.
        delay_s: u32,
    },
    /// At least one has taken the command.
    Told {
        /// When.
        at_ms: u64,
        /// Between the command and the cut, seconds.
        delay_s: u32,
    },
    /// None has taken it.
    Failed,
}

/// After the UPS was to cut the load, so long is waited for that before mains counts again, milliseconds.
const CUT_SLACK_MS: u64 = 60_000;

/// When a UPS that was told to cut has done so, or will not any more.
pub(super) fn cut_over_ms(at_ms: u64, delay_s: u32) -> u64 {
    at_ms.saturating_add(u64::from(delay_s) * 1000).saturating_add(CUT_SLACK_MS)
}

impl Outage {
    /// The id of a node's order of this attempt. Holds the time of the beginning, so that it is new even to nodes that
    /// remember a controller whose count was lost.
    ///
    /// # Errors
    /// Never in practice: all parts are letters and digits.
    pub fn order_id(&self, attempt: u32) -> Result<OrderId, Invalid> {
        format!("{}-{}-{attempt}-{:x}", self.kind.as_str(), self.number, self.begun_wall_ms.unsigned_abs()).parse()
    }

    /// Whether the load has been cut, if the UPS did as it was told.
    pub fn has_cut(&self, now_ms: u64) -> bool {
        match self.cut {
            Cut::Told { at_ms, delay_s } => now_ms >= at_ms.saturating_add(u64::from(delay_s) * 1000),
            Cut::Not | Cut::Wanted { .. } | Cut::Failed => false,
        }
    }

    /// Whether the load is being cut, and brought back: who boots then has come to stay.
    pub fn cut_goes_on(&self, now_ms: u64) -> bool {
        let over = matches!(self.cut, Cut::Told { at_ms, delay_s } if now_ms >= cut_over_ms(at_ms, delay_s));
        self.has_cut(now_ms) && !over
    }

    /// Whether a node may have gone for it: in a loss of mains each may have, by itself.
    pub fn concerns(&self, node: &NodeName) -> bool {
        self.kind == Kind::Mains || self.goes(node)
    }

    /// Nobody is to go yet, or any more.
    pub fn watch_anew(&mut self) {
        self.everything = false;
        let taken_down = self.nodes.iter().filter(|(_, track)| track.keep_off && track.phase.going());
        self.goal = taken_down.map(|(node, _)| node.clone()).collect();
        self.stages.clear();
        self.finish = false;
        self.cut = Cut::Not;
    }

    /// Whether a node is to go.
    pub fn goes(&self, node: &NodeName) -> bool {
        self.everything || self.goal.contains(node)
    }
}
