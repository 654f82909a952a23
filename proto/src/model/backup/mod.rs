//! Backups: what is saved, where to, when, and how long it is kept.

mod job;
mod raw;
mod repository;

pub use job::{BackupEngine, Hooks, Job, Keep, Limits, OnBattery, Selection};
pub use raw::RawJob;
pub use repository::{Remote, Repository};
