//! Power: the one moment when everything goes off, and everything comes back.

/// The `[power]` table.
pub mod config;
/// The policy core.
pub mod core;
mod driver;
/// The state on the disk.
pub mod memory;
mod notices;
/// Outages that were.
pub mod past;
mod perform;
/// What an admin decided, and the fleet as the plan sees it.
pub mod policy;
mod probes;
mod record;
mod roster;
mod saver;
mod served;
/// What K3s asks of the order of stages.
pub mod servers;
mod sources;
#[cfg(test)]
pub(crate) mod testing;
/// What people see of it.
pub mod view;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rackhaven_proto::model::{NodeName, ShutdownProgress};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

pub use driver::{Started, drive, start};
pub use roster::roster;

use self::core::supply::Cause;
use self::core::{Aborted, Core, Event, Refused, Targets};
use self::memory::{Moment, PowerClock};
use self::policy::Roster;
use crate::nut::{UpsIndex, UpsReading, UpsReport};
use crate::store::TimelineRow;

/// Inputs that wait for the driver.
const QUEUE_LENGTH: usize = 4096;
/// Lines of a timeline that a slow follower may be behind.
const FEED_LENGTH: usize = 1024;

/// What somebody asks of the driver.
#[derive(Debug)]
pub enum Ask {
    /// Take nodes down.
    Shutdown(Targets, Cause, oneshot::Sender<Result<u64, Refused>>),
    /// Rehearse it.
    Drill(Targets, Cause, oneshot::Sender<Result<u64, Refused>>),
    /// End it: who stays, who comes back.
    Abort(oneshot::Sender<Result<Aborted, Refused>>),
}

/// What comes to the driver.
#[derive(Debug)]
enum Input {
    Event(Event),
    /// A node has a session again, at this address.
    Up(NodeName, String, Option<IpAddr>),
    Report(UpsIndex, UpsReport),
    /// Whether a witness is there, and whether it has just answered.
    Witness(usize, bool, bool),
    Probed(NodeName, bool),
    Ask(Ask),
}

/// What is known of one UPS besides what the core keeps.
#[derive(Debug, Clone, Default)]
pub struct UpsView {
    /// As it was read last.
    pub reading: Option<UpsReading>,
    /// All of its variables.
    pub vars: std::sync::Arc<BTreeMap<String, String>>,
    /// When, the core's milliseconds.
    pub read_ms: u64,
    /// Why it cannot be read; empty if it can.
    pub problem: String,
}

/// What is known of one witness of mains.
#[derive(Debug, Clone, Default)]
pub struct WitnessView {
    /// Whether it answers; none before the first look.
    pub answering: Option<bool>,
    /// When it answered last, the core's milliseconds.
    pub heard_ms: Option<u64>,
}

/// All that can be looked at.
#[derive(Debug)]
pub struct Shared {
    /// The core.
    pub core: Core,
    /// The fleet as the core was told last.
    pub roster: Roster,
    /// The UPSes, in the configuration's order.
    pub upses: Vec<UpsView>,
    /// The witnesses, likewise.
    pub witnesses: Vec<WitnessView>,
    /// The timeline of the outage that goes on, or was last.
    pub timeline: Vec<TimelineRow>,
    /// Whether the state could not be written down.
    pub unsaved: bool,
}

/// The way to the driver, and a look at what it knows.
#[derive(Debug)]
pub struct Power {
    inputs: mpsc::Sender<Input>,
    shared: Mutex<Shared>,
    feed: broadcast::Sender<TimelineRow>,
    changes: watch::Sender<u64>,
    clock: PowerClock,
    boot_id: String,
}

impl Power {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what the driver knows.
    pub fn look<T>(&self, at: impl FnOnce(&Shared) -> T) -> T {
        at(&self.lock())
    }

    /// Whether an outage, shutdown or drill goes on.
    pub fn goes_on(&self) -> bool {
        self.look(|shared| shared.core.state().outage.is_some())
    }

    /// The lines of timelines from now on.
    pub fn follow(&self) -> broadcast::Receiver<TimelineRow> {
        self.feed.subscribe()
    }

    /// Rung at each change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The core's time when the host is up for `boot_ms`.
    pub fn now_ms(&self, boot_ms: u64) -> u64 {
        self.clock.now_ms(boot_ms)
    }

    /// A node has opened a session, from `address`.
    pub async fn node_up(&self, node: NodeName, boot_id: String, address: Option<IpAddr>) {
        self.put(Input::Up(node, boot_id, address)).await;
    }

    /// A node's session has ended.
    pub async fn node_gone(&self, node: NodeName) {
        self.put(Input::Event(Event::NodeGone { node })).await;
    }

    /// A node tells how far it is with an order.
    pub async fn progress(&self, node: NodeName, progress: ShutdownProgress) {
        self.put(Input::Event(Event::Progress { node, progress })).await;
    }

    /// Asks something of the driver.
    pub async fn ask(&self, ask: Ask) {
        self.put(Input::Ask(ask)).await;
    }

    async fn put(&self, input: Input) {
        // The driver ends with the controller only.
        let _ = self.inputs.send(input).await;
    }
}

/// A moment by the host's clocks.
fn moment(clock: &crate::clock::Clock, boot_id: &str) -> Moment {
    Moment { boot_id: boot_id.to_owned(), boot_ms: clock.boot_ms(), wall_ms: clock.wall_ms() }
}
