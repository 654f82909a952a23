use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Repository, Schedule};

/// How a job's archives are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupEngine {
    /// Compressed archives that plain `zstd` and `tar` open.
    Tar,
    /// Trees that can be browsed, in which what did not change is shared by hard links.
    Rsync,
}

impl BackupEngine {
    /// The engine's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::Rsync => "rsync",
        }
    }
}

impl fmt::Display for BackupEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One backup job of a node, as its admin wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// How its archives are made.
    pub engine: BackupEngine,
    /// What is saved.
    pub selection: Selection,
    /// Where to.
    pub repository: Repository,
    /// What must be a mount point for the repository to be there.
    pub requires_mount: Option<PathBuf>,
    /// When it runs by itself; none for by hand only.
    pub schedule: Option<Schedule>,
    /// Up to so long later, by chance, so that not all nodes begin at once, seconds.
    pub random_delay_s: u32,
    /// Whether a run that was missed, because the node was off, is made up for.
    pub catch_up: bool,
    /// After so many increments comes a full archive; 0 makes full ones only. For the tar engine.
    pub full_every: u32,
    /// zstd's level, 1 to 19. For the tar engine.
    pub compression_level: i32,
    /// age recipients who alone can read the archives; none leaves them readable. For the tar engine.
    pub encrypt_to: Vec<String>,
    /// Which archives stay.
    pub keep: Keep,
    /// What is done before and after.
    pub hooks: Hooks,
    /// What it may take of the node.
    pub limits: Limits,
    /// What becomes of it while the rack is on battery.
    pub on_battery: OnBattery,
    /// When archives are read back: as `schedule`; none for by hand only.
    pub verify_schedule: Option<Schedule>,
    /// How much of the data is read back then, percent.
    pub verify_percent: u8,
}

/// What is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Absolute paths, each with all that is below it.
    pub sources: Vec<PathBuf>,
    /// Patterns as in .gitignore: what matches is left out. One that begins with / is matched from the root.
    pub exclude: Vec<String>,
    /// Whether folders with a valid CACHEDIR.TAG are left out, but for the tag.
    pub exclude_caches: bool,
    /// A folder that holds a file of one of these names is left out, but for the file.
    pub exclude_if_present: Vec<String>,
    /// Whether what is mounted below a source is left out.
    pub one_file_system: bool,
}

/// How many archives stay: the newest of so many hours, days and so on, each that has one. All zero keeps everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// The newest ones.
    pub last: u32,
    /// One an hour.
    pub hourly: u32,
    /// One a day.
    pub daily: u32,
    /// One a week (ISO 8601).
    pub weekly: u32,
    /// One a month.
    pub monthly: u32,
    /// One a year.
    pub yearly: u32,
}

/// What is done before and after. Programs are named, and live in a folder of the node's where only root can put them:
/// a job may come from the controller, and no command ever does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Run in this order before anything is read; one that fails fails the run.
    pub before: Vec<String>,
    /// Run in this order afterwards, whatever came of it.
    pub after: Vec<String>,
    /// How long each may take, seconds.
    pub timeout_s: u32,
    /// SQLite databases of which a consistent copy is saved.
    pub sqlite: Vec<PathBuf>,
    /// Whether a snapshot of K3s's etcd, and the server's token, are saved.
    pub k3s_etcd: bool,
}

/// What a run may take of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Read at most at this pace.
    pub bytes_per_second: Option<u64>,
    /// Threads that compress; none takes one a core, and leaves one core free where there are more than two.
    pub threads: Option<u32>,
    /// The niceness of its processes, 0 to 19.
    pub nice: u8,
    /// Where systemd runs it: more memory than this it never gets, MiB.
    pub memory_mib: u32,
}

/// What becomes of a job while the rack is on battery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnBattery {
    /// It is not started, and stopped cleanly when a shutdown says so.
    Wait,
    /// It is started all the same; a shutdown stops it too.
    Start,
}
