//! The only place of the agent that touches the board: one narrow trait for each outside power, what stands behind
//! them on Linux, and a fake with failure switches.
//!
//! All three traits are object safe, so that the agent takes `Arc<dyn Clock>`, `Box<dyn Probe>` and
//! `Arc<dyn PowerSwitch>`, and generic code may take `impl Clock` just as well.

use std::future::Future;
use std::pin::Pin;
use std::process::ExitStatus;

use rackhaven_proto::model::NodeFacts;
use rackhaven_proto::v1;

pub mod fake;
pub mod inhibit;
pub mod linux;
#[cfg(test)]
mod own_bus;
mod sys;
pub mod units;

/// The board's two clocks.
pub trait Clock: Send + Sync {
    /// Wall clock, milliseconds since 1970-01-01 UTC. May jump, and starts in 1970 on a board without a battery.
    fn wall_unix_ms(&self) -> i64;

    /// Milliseconds since boot. Never jumps, and goes on while the board is suspended.
    fn monotonic_ms(&self) -> u64;

    /// Whether the kernel holds the wall clock to be right, because something disciplines it.
    fn synchronised(&self) -> bool;
}

/// What can be measured of the board.
pub trait Probe: Send {
    /// What does not change while the node runs. A few file reads.
    fn facts(&self) -> NodeFacts;

    /// Measures everything but `sequence`, which the session counts. Does not block on disks or on the network.
    fn sample(&mut self) -> v1::Sample;

    /// Sets what the samples from now on say of what is asked about beside the sampling: a measurement must not wait
    /// for an answer of systemd's or of a disk.
    fn take(&mut self, told: AskedBeside);
}

/// What is asked at its own pace.
#[derive(Debug, Clone, PartialEq)]
pub enum AskedBeside {
    /// systemd's units, by [`units::UnitsWatch`].
    Units(units::UnitStates),
    /// Disks and cards, by [`linux::StorageWatch`].
    Storage(Vec<v1::StorageHealth>),
}

/// An attempt to switch the board.
pub type Switching<'a> = Pin<Box<dyn Future<Output = Result<(), ChildError>> + Send + 'a>>;

/// Takes the board down. Success means that the service manager has taken the order, not that the board is off.
pub trait PowerSwitch: Send + Sync {
    /// Restarts the board.
    fn reboot(&self) -> Switching<'_>;

    /// Switches the board off.
    fn power_off(&self) -> Switching<'_>;
}

/// Why a child did not do what it was to do, such as to switch the board.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The command could not be started.
    #[error("starting {command:?}")]
    Start {
        /// The whole command line.
        command: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The command ended without success.
    #[error("{command:?} ended with {status}{}{said}", if said.is_empty() { "" } else { ": " })]
    Failed {
        /// The whole command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of what it said; may be empty.
        said: String,
    },
    /// The command was still running when its time was over, and was killed.
    #[error("{command:?} was not done after {timeout_ms} ms")]
    TimedOut {
        /// The whole command line.
        command: String,
        /// How long it was given.
        timeout_ms: u64,
    },
}
