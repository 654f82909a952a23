//! Alerts: what an admin must know, from firing to resolved, and the ways to reach them. A core without clock or I/O
//! decides; what it decided is on the disk before anybody is told.

pub mod channel;
/// The `[alerts]` table.
pub mod config;
/// What stands and what is to be told.
pub mod core;
pub mod deadman;
mod desk;
mod driver;
/// From what the controller knows to what is wrong.
pub mod facts;
/// When disks will be full.
pub mod forecast;
mod gather;
/// What waits to be told, and how it is handed over.
mod outbox;
/// What counts as wrong, from when on, and how much it matters.
pub mod rules;

pub use desk::{Ask, Desk, Look};
pub use driver::drive;
pub use outbox::{deliver, test_notification};
