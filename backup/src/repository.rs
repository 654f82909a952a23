//! Where archives live. A repository is a folder with a marker file; each job of each node has a folder in it.
//!
//! Whatever kind it is, these hold: nothing bears its final name before it is whole and on the disk; a record beside each
//! archive says what it is, and is there first; and a repository that was there once must be found again by its marker,
//! or nothing is written at all.

pub mod archive;
pub mod daemon;
mod leftovers;
pub mod local;
mod lock;
mod marker;
mod mounts;
pub mod prune;
mod seen;
pub mod ssh;

use std::io::{self, Read, Write};

pub use archive::{Archive, Form, Record, Verified};
pub use daemon::Daemon;
pub use local::Local;
pub use mounts::MountTables;
pub use ssh::{Ssh, SshPlace};

/// The marker in the repository's top folder.
pub const MARKER: &str = "rackhaven-repository";
/// What is being written bears this at the end of its name.
pub const PARTIAL: &str = ".partial";
/// What is being removed bears this at the end of its name.
pub const REMOVING: &str = ".removing";
/// What is known of an archive stands beside it, in a file of its name with this at the end.
pub const RECORD: &str = ".record.json";
/// The manifest of a tree stands beside it, in a file of its name with this at the end.
pub const MANIFEST: &str = ".manifest.zst";
/// The longest record that is read, bytes.
pub const MAX_RECORD_BYTES: u64 = 64 * 1024;

/// Why something could not be done with a repository.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// It is not where it should be: not mounted, another disk, or gone. Nothing was written.
    #[error("the repository is not there: {0}")]
    NotThere(String),
    /// Another run of the same job has it.
    #[error("another run of this job is using {0}")]
    Busy(String),
    /// There is no room.
    #[error("the repository has no room: {0}")]
    Full(String),
    /// An operation of the system's failed.
    #[error("{operation}: {source}")]
    Io {
        /// What was done to which object.
        operation: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The other side said no, or something that cannot be understood.
    #[error("{0}")]
    Remote(String),
}

impl RepositoryError {
    /// Names the operation. A full disk is told apart.
    pub fn io(operation: impl Into<String>, source: impl Into<io::Error>) -> Self {
        let (operation, source) = (operation.into(), source.into());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(format!("{operation}: {source}")),
            _ => Self::Io { operation, source },
        }
    }
}

/// One job's archives that are single files.
pub trait Store: Send + Sync {
    /// All that are published, oldest first by the repository's own order.
    ///
    /// # Errors
    /// When the repository cannot be read.
    fn list(&self) -> Result<Vec<Archive>, RepositoryError>;

    /// How much can be written yet, bytes; `None` if nobody can tell.
    ///
    /// # Errors
    /// When the repository cannot be asked.
    fn available_bytes(&self) -> Result<Option<u64>, RepositoryError>;

    /// Begins an archive of this name.
    ///
    /// # Errors
    /// When that cannot be written.
    fn begin(&self, name: &str) -> Result<Box<dyn Upload>, RepositoryError>;

    /// Opens an archive to be read.
    ///
    /// # Errors
    /// When it is not there.
    fn open(&self, name: &str) -> Result<Box<dyn Stored>, RepositoryError>;

    /// Replaces what is known of an archive.
    ///
    /// # Errors
    /// When that cannot be written.
    fn write_record(&self, record: &Record) -> Result<(), RepositoryError>;

    /// Removes an archive: at any instant it is either whole or not there any more.
    ///
    /// # Errors
    /// When that is not permitted.
    fn remove(&self, name: &str) -> Result<(), RepositoryError>;

    /// Removes what killed runs left behind: what was being removed, what was being written, records of nothing. To be
    /// called by whoever holds the job, before anything new begins.
    ///
    /// # Errors
    /// When that is not permitted.
    fn clean(&self) -> Result<(), RepositoryError>;
}

/// An archive that is being written. To drop it gives it up: nothing of it stays.
pub trait Upload: Write + Send {
    /// Makes it durable, and gives it its name. The record's sequence and time of receipt are filled in by the
    /// repository.
    ///
    /// # Errors
    /// When any of that fails; there is no archive then.
    fn publish(self: Box<Self>, record: Record) -> Result<Record, RepositoryError>;
}

/// An archive to be read.
pub trait Stored: Send + Sync {
    /// How long it is, bytes.
    fn len_bytes(&self) -> u64;

    /// Reads from there on. Fewer bytes than asked for mean that it ends there.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Reads so many bytes from there on, as a stream.
    ///
    /// # Errors
    /// When it cannot be read.
    fn stream(&self, offset: u64, length: u64) -> io::Result<Box<dyn Read + Send>>;
}
