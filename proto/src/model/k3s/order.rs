use std::fmt;
use std::str::FromStr;

use super::{Artifact, ArtifactKind, K3sSecret, K3sSettings, K3sVersion};
use crate::model::Invalid;

/// Most files of an order: the program and its images.
const MOST_ARTIFACTS: usize = 2;

/// By what an order and what is said of it belong together: 1 to 64 letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct K3sOrderId(Box<str>);

impl K3sOrderId {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for K3sOrderId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if text.is_empty() || text.len() > 64 || text.starts_with('-') || !text.bytes().all(allowed) {
            return Err(Invalid::new("order.id", "is not 1 to 64 letters, digits and hyphens"));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for K3sOrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is to be done about K3s on a node. Safe to be carried out again, wholly or in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct K3sOrder {
    /// By what the news are known.
    pub id: K3sOrderId,
    /// Who asked.
    pub requested_by: String,
    /// The files that it needs.
    pub artifacts: Vec<Artifact>,
    /// What is to be done.
    pub task: K3sTask,
}

impl K3sOrder {
    /// The file of this kind that it names.
    pub fn program(&self) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| artifact.kind == ArtifactKind::Program)
    }

    /// The images that it names.
    pub fn images(&self) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| artifact.kind != ArtifactKind::Program)
    }

    /// Refuses files that do not go with the task, or with one another.
    ///
    /// # Errors
    /// The first field that is wrong, by its name in the contract.
    pub fn checked(self) -> Result<Self, Invalid> {
        let refuse = |reason: String| Err(Invalid::new("order.artifacts", reason));
        let count = self.artifacts.len();
        let K3sTask::Install { version, .. } = &self.task else {
            return if count == 0 { Ok(self) } else { refuse("are none of what this task needs".to_owned()) };
        };
        if count > MOST_ARTIFACTS {
            return refuse(format!("are {count}, at most {MOST_ARTIFACTS} belong to a node"));
        }
        let Some(program) = self.program() else { return refuse("hold no program".to_owned()) };
        if count == MOST_ARTIFACTS && self.images().is_none() {
            return refuse("hold two programs".to_owned());
        }
        if let Some(other) = self.artifacts.iter().find(|other| other.version != *version || other.arch != program.arch)
        {
            return refuse(format!("hold {other}, which is not {version} {}", program.arch));
        }
        Ok(self)
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum K3sTask {
    /// Looks whether K3s can run.
    Check {
        /// As what.
        settings: K3sSettings,
        /// Puts right what can be.
        fix: bool,
    },
    /// Brings K3s to this version and these settings.
    Install {
        /// These.
        settings: K3sSettings,
        /// This one.
        version: K3sVersion,
        /// Puts right what can be.
        fix: bool,
    },
    /// Ends K3s and removes it.
    Remove,
    /// Saves the cluster's state.
    Snapshot {
        /// How it is called.
        name: SnapshotName,
        /// So many of ours are kept; at least 1.
        keep: u32,
    },
    /// Makes another token for servers.
    NewToken {
        /// The one until now.
        old: K3sSecret,
        /// The one from now on.
        new: K3sSecret,
    },
}

/// How a snapshot is called: lower-case letters, digits and hyphens between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotName(Box<str>);

impl SnapshotName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SnapshotName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let refused = text.is_empty() || text.len() > 63 || text.starts_with('-') || text.ends_with('-');
        if refused || !text.bytes().all(allowed) {
            let reason = format!("{text:?} is not 1 to 63 lower-case letters, digits and inner hyphens");
            return Err(Invalid::new("snapshot.name", reason));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
