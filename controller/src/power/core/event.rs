//! What goes into the core, and what comes out of it.

use rackhaven_proto::model::{NodeName, OrderId, Severity, ShutdownOrder, ShutdownProgress};

use super::state::Kind;
use super::supply::{Cause, Observation};
use crate::power::policy::{Policy, Roster};

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
    /// Tell a node that its power-off is understood.
    Heard {
        /// Which.
        node: NodeName,
        /// Its order.
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
