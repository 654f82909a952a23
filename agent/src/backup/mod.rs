//! Backups of this node: its jobs run by themselves, with the controller or without. The engine, a program of its own,
//! does the work and knows the calendar; here it is decided what runs when, and watched.

pub mod core;
mod driver;
mod engine;
mod given;
mod missing;
pub mod report;
mod reports;
mod stop;

pub use driver::{Backups, Ends, FromBackups, ToBackups};
pub use engine::Paths;
pub use stop::StoppedByShutdown;
