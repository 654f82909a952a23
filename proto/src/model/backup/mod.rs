//! Backups: what is saved, where to, when, and how long it is kept.

mod job;
mod raw;
mod repository;
mod schedule;

pub use job::{BackupEngine, Hooks, Job, Keep, Limits, OnBattery, Selection};
pub use raw::RawJob;
pub use repository::{Remote, Repository};
pub use schedule::{Civil, Schedule};
