//! Backups: what is saved, where to, when, and how long it is kept.

mod job;
mod line;
mod raw;
mod repository;
mod run;
mod schedule;

pub use job::{BackupEngine, Hooks, Job, Keep, Limits, OnBattery, Selection};
pub use line::JobLine;
pub use raw::RawJob;
pub use repository::{Remote, Repository};
pub use run::{ArchiveName, BackupAction, BackupOrder, BackupOutcome, BackupRunId, BackupTrigger, Restore};
pub use schedule::{Civil, Schedule};
