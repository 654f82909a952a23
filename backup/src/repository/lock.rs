//! One run at a time for each job.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;

use super::RepositoryError;

/// The file that is locked.
const LOCK: &str = ".lock";

/// A lock that lasts as long as this value, or the process.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Option<OwnedFd>,
}

impl Lock {
    /// Locks a folder of the node's own.
    pub(super) fn of_state(folder: &Path) -> Result<Self, RepositoryError> {
        let opened = File::open(folder).map_err(|error| opening(folder, error))?;
        take(opened.as_fd(), folder, false)
    }

    /// Locks a folder in the repository. On file systems that know no locks, the node's own has to do.
    pub(super) fn of_repository(dir: impl AsFd, folder: &Path) -> Result<Self, RepositoryError> {
        take(dir, folder, true)
    }
}

fn take(dir: impl AsFd, folder: &Path, may_lack: bool) -> Result<Lock, RepositoryError> {
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = openat(dir, LOCK, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|error| opening(&folder.join(LOCK), std::io::Error::from(error)))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock { _file: Some(file) }),
        Err(Errno::WOULDBLOCK) => Err(RepositoryError::Busy(folder.display().to_string())),
        Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) if may_lack => Ok(Lock { _file: None }),
        Err(error) => Err(RepositoryError::io(format!("locking {}", folder.join(LOCK).display()), error)),
    }
}

fn opening(path: &Path, error: std::io::Error) -> RepositoryError {
    RepositoryError::io(format!("opening {}", path.display()), error)
}
