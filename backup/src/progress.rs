//! How far a run is, for whoever watches.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::outcome::shown;

/// How often the status file is written anew.
const PERIOD: Duration = Duration::from_millis(500);

/// Counters that the engine's threads move on. Reading them never waits for work.
#[derive(Debug, Default)]
pub struct Progress {
    /// Files, folders and others that were looked at.
    pub entries: AtomicU64,
    /// Of those, how many were read because they are new or changed.
    pub entries_changed: AtomicU64,
    /// Read from the sources, bytes.
    pub bytes_read: AtomicU64,
    /// Written to the repository, bytes.
    pub bytes_stored: AtomicU64,
    /// How many entries there were the last time; 0 when nobody knows.
    pub entries_expected: AtomicU64,
    /// How many bytes were there the last time; 0 when nobody knows.
    pub bytes_expected: AtomicU64,
    current: Mutex<Vec<u8>>,
}

impl Progress {
    /// Moves a counter on.
    pub fn count(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }

    /// Says how much there was the last time.
    pub fn expect(&self, entries: u64, bytes: u64) {
        self.entries_expected.store(entries, Ordering::Relaxed);
        self.bytes_expected.store(bytes, Ordering::Relaxed);
    }

    /// Says what is being worked on.
    pub fn at(&self, path: &[u8]) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.clear();
        current.extend_from_slice(path);
    }

    /// How far it is now.
    pub fn status(&self) -> Status {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Status {
            entries: read(&self.entries),
            entries_changed: read(&self.entries_changed),
            bytes_read: read(&self.bytes_read),
            bytes_stored: read(&self.bytes_stored),
            entries_expected: read(&self.entries_expected),
            bytes_expected: read(&self.bytes_expected),
            current: shown(&self.current.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

/// How far a run is, as it stands in the status file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Files, folders and others that were looked at.
    pub entries: u64,
    /// Of those, how many were read because they are new or changed.
    pub entries_changed: u64,
    /// Read from the sources, bytes.
    pub bytes_read: u64,
    /// Written to the repository, bytes.
    pub bytes_stored: u64,
    /// How many entries there were the last time; 0 when nobody knows.
    pub entries_expected: u64,
    /// How many bytes were there the last time; 0 when nobody knows.
    pub bytes_expected: u64,
    /// What is being worked on.
    pub current: String,
}

/// Writes the progress into a file, twice a second, until it is dropped; then once more.
#[derive(Debug)]
pub struct StatusFile {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl StatusFile {
    /// Begins to write `path`, each time as a whole by way of a temporary file beside it. That a write fails does not
    /// disturb the run.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(path: &Path, progress: Arc<Progress>) -> std::io::Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let (told, path) = (Arc::clone(&stop), path.to_owned());
        let write = move || {
            let temporary = temporary(&path);
            let (stopped, changed) = &*told;
            let mut stopped = stopped.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                write_status(&progress, &temporary, &path);
                if *stopped {
                    return;
                }
                stopped = changed.wait_timeout(stopped, PERIOD).unwrap_or_else(PoisonError::into_inner).0;
            }
        };
        let thread = std::thread::Builder::new().name("status".to_owned()).spawn(write)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for StatusFile {
    fn drop(&mut self) {
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic in it has been said; there is nothing to do about it here.
            let _ = thread.join();
        }
    }
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn write_status(progress: &Progress, temporary: &Path, path: &Path) {
    let Ok(text) = serde_json::to_vec(&progress.status()) else { return };
    // Whoever watches reads it the next time.
    let _ = fs::write(temporary, text).and_then(|()| fs::rename(temporary, path));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Progress, Status, StatusFile};

    #[test]
    fn the_last_state_is_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status");
        let progress = Arc::new(Progress::default());
        let file = StatusFile::start(&path, Arc::clone(&progress)).unwrap();
        Progress::count(&progress.bytes_read, 7);
        progress.at(b"/etc/x\n");
        drop(file);
        let status: Status = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(status, Status { bytes_read: 7, current: "/etc/x\\n".to_owned(), ..Status::default() });
    }
}
