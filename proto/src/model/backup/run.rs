use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::{Invalid, JobName, NodeName};

/// The id of one run, by which it is begun once however often its order comes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupRunId(Box<str>);

impl BackupRunId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BackupRunId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
            return Err(Invalid::new("run_id", "is not 1 to 64 letters, digits and hyphens"));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for BackupRunId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<BackupRunId> for String {
    fn from(id: BackupRunId) -> Self {
        id.0.into()
    }
}

impl fmt::Display for BackupRunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an archive in its repository. It becomes a part of a path, so it holds nothing that leads elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArchiveName(Box<str>);

impl ArchiveName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ArchiveName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if text.is_empty() || text.len() > 128 || text.starts_with(['.', '-']) || !text.bytes().all(allowed) {
            return Err(Invalid::new("archive", format!("{text:?} is no archive's name")));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for ArchiveName {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<ArchiveName> for String {
    fn from(name: ArchiveName) -> Self {
        name.0.into()
    }
}

impl fmt::Display for ArchiveName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a run does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupAction {
    /// Makes an archive.
    Save {
        /// A full one, even if an increment would do.
        full: bool,
    },
    /// Reads an archive back and compares it with what it says of itself.
    Verify {
        /// None for the newest.
        archive: Option<ArchiveName>,
        /// How much of its data, 1 to 100.
        percent: u8,
    },
    /// Brings files back.
    Restore(Restore),
    /// Removes what retention does not keep.
    Prune {
        /// Only say what would be removed.
        dry_run: bool,
    },
    /// Tells which archives there are.
    List,
}

impl BackupAction {
    /// The action's word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Save { .. } => "save",
            Self::Verify { .. } => "verify",
            Self::Restore(_) => "restore",
            Self::Prune { .. } => "prune",
            Self::List => "list",
        }
    }
}

/// What is brought back, and where to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// From which archive; none for the newest, or the newest before a moment.
    pub archive: Option<ArchiveName>,
    /// That moment, milliseconds since 1970-01-01 UTC.
    pub before_unix_ms: Option<i64>,
    /// Which paths, as they were when they were saved; none for all.
    pub paths: Vec<PathBuf>,
    /// Into which folder.
    pub to: PathBuf,
    /// Only say what would be done.
    pub dry_run: bool,
    /// The folder may be the root of the running system.
    pub in_place: bool,
    /// Whose archive it is; none for this node's own.
    pub of_node: Option<NodeName>,
}

/// An order to begin a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupOrder {
    /// Unique.
    pub run_id: BackupRunId,
    /// Of which job.
    pub job: JobName,
    /// What to do.
    pub action: BackupAction,
    /// Not to be begun later than this after it was received, milliseconds.
    pub expires_in_ms: u32,
    /// Who asked.
    pub requested_by: String,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupOutcome {
    /// All went well.
    Ok,
    /// All is there, but files changed while they were read.
    Warn,
    /// Not all could be read.
    Partial,
    /// It did not do what it was to do.
    Failed,
    /// Ended before its time, by order or for a shutdown.
    Stopped,
    /// Not begun.
    Refused,
}

impl BackupOutcome {
    /// The outcome's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Refused => "refused",
        }
    }

    /// Whether there is an archive that can be relied on.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Ok | Self::Warn)
    }
}

/// Why a run was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupTrigger {
    /// Its time had come.
    Schedule,
    /// Its time had passed while the node could not run it.
    CatchUp,
    /// Somebody asked.
    Order,
}

impl BackupTrigger {
    /// The trigger's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::CatchUp => "catch-up",
            Self::Order => "order",
        }
    }
}
