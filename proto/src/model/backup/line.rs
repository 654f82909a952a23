use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::OnBattery;
use crate::model::JobName;

/// One job, as the engine tells the agent of it, in JSON: the agent reads no jobs and knows no calendar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLine {
    /// Its name: that of its file.
    pub name: JobName,
    /// Its file.
    pub file: PathBuf,
    /// It came from the controller: it is in another than the first of the folders.
    pub given: bool,
    /// tar, rsync; empty if it cannot be read.
    pub engine: String,
    /// What is saved.
    pub sources: Vec<String>,
    /// Where to.
    pub repository: String,
    /// As it was written; empty if it has none.
    pub schedule: String,
    /// When it is to be saved next, milliseconds since 1970-01-01 UTC; a moment that has passed was missed, and is made
    /// up for.
    pub next_unix_ms: Option<i64>,
    /// When it is to be verified next.
    pub verify_next_unix_ms: Option<i64>,
    /// How much is read then, percent.
    pub verify_percent: u8,
    /// It begins up to so much later.
    pub random_delay_seconds: u32,
    /// What becomes of it on battery.
    pub on_battery: OnBattery,
    /// The niceness of its runs.
    pub nice: u8,
    /// What they may take of memory.
    pub memory_mib: u32,
    /// Why it cannot be used; empty if it can.
    pub problem: String,
}

impl JobLine {
    /// A job of which nothing is known but that it is there, and why it cannot be used.
    pub fn unusable(name: JobName, file: PathBuf, given: bool, problem: String) -> Self {
        Self {
            name,
            file,
            given,
            engine: String::new(),
            sources: Vec::new(),
            repository: String::new(),
            schedule: String::new(),
            next_unix_ms: None,
            verify_next_unix_ms: None,
            verify_percent: 1,
            random_delay_seconds: 0,
            on_battery: OnBattery::Wait,
            nice: 0,
            memory_mib: 0,
            problem,
        }
    }
}
