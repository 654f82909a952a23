//! The node's way down: orders, steps, acting alone, and what is told of it. The core decides and is pure; the driver
//! writes down what it decided, and only then does it.

pub mod core;
mod driver;
mod event;
mod flow;
#[cfg(test)]
mod golden;
mod orders;
mod record;
mod restored;
mod steps;

pub use driver::{Ends, FromShutdown, Shutdown, ToShutdown};
pub use event::{Action, Event, StepJob};
pub use flow::{POWER_OFF_PAUSE_MS, STILL_HERE_MS};
pub use record::Record;
pub use steps::{RunningBackups, Setup, unmount_all};
