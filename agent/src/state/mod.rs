//! What the agent keeps on its disk: small versioned files, each replaced as a whole. A damaged one is set aside, said
//! so, and done without; nothing is written while nothing happens.

mod backups;
mod identity;
mod journal;
mod runs;
mod shutdown;
mod spool;

use std::path::{Path, PathBuf};

use rackhaven_pki::durable::{self, StateError};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use backups::{load_backups, save_backups};
pub use identity::{
    IdentityError, PendingKey, forget_pending_key, load_identity, load_pending_key, save_identity, save_pending_key,
};
pub use journal::{Entry, Journal};
pub use runs::{Began, RunRecord, begin_run, end_run, record_stop};
pub use shutdown::{load_shutdown, save_shutdown};
pub use spool::{Kept, Spool};

/// The state folder.
#[derive(Debug, Clone)]
pub struct StateFolder(PathBuf);

impl StateFolder {
    /// Opens it; made if it is not there, for root only.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Self(path.to_owned()))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Reads a file as JSON; none if it is not there. One that is damaged is set aside and reported as its second part.
    fn read<T: DeserializeOwned>(&self, name: &str, version: u32) -> (Option<T>, Option<String>) {
        let path = self.file(name);
        let read = durable::read_checked(&path, name, version).and_then(|bytes| {
            let parsed = bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose();
            parsed.map_err(|error| StateError::Corrupt { path: path.clone(), reason: error.to_string() })
        });
        match read {
            Ok(value) => (value, None),
            Err(StateError::Io { source, .. }) => (None, Some(format!("{} cannot be read: {source}", path.display()))),
            Err(StateError::Corrupt { reason, .. }) => (None, Some(set_aside(&path, &reason))),
        }
    }

    /// Replaces a file by JSON.
    fn write<T: Serialize>(&self, name: &str, version: u32, value: &T) -> Result<(), StateError> {
        let path = self.file(name);
        let bytes = serde_json::to_vec(value)
            .map_err(|error| StateError::Corrupt { path: path.clone(), reason: error.to_string() })?;
        durable::replace_checked(&path, name, version, &bytes, 0o600)
    }

    /// The latest moment that a controller vouched for, seconds since 1970-01-01 UTC.
    pub fn clock_floor(&self) -> Option<i64> {
        let (floor, damaged) = self.read("clock-floor", 1);
        if let Some(damaged) = damaged {
            tracing::warn!("{damaged}");
        }
        floor
    }

    /// Keeps that moment.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn save_clock_floor(&self, unix_s: i64) -> Result<(), StateError> {
        self.write("clock-floor", 1, &unix_s)
    }
}

/// Sets a damaged file aside; what to tell of it.
fn set_aside(path: &Path, reason: &str) -> String {
    match durable::set_aside(path) {
        Ok(kept) => format!("{}: {reason}; set aside as {}", path.display(), kept.display()),
        Err(error) => format!("{}: {reason}; it could not be set aside: {error}", path.display()),
    }
}
