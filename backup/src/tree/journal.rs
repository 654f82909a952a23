//! A tree's manifest while the tree is made: what it lists is on the disk, even after a power cut, so that another run can
//! go on from there.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::fs::syncfs;

/// How often what was done is put on the disk.
const PERIOD: Duration = Duration::from_secs(10);
/// How much of the manifest is held back at most, bytes.
const MAX_HELD_BYTES: usize = 1024 * 1024;

/// Holds back what it is given until the tree's data is on the disk.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    held: Vec<u8>,
    due: Instant,
}

impl Journal {
    /// Into a file that is in the same file system as the tree.
    pub(super) fn new(file: File, now: Instant) -> Self {
        Self { file, held: Vec::new(), due: now + PERIOD }
    }

    /// Whether it is time for [`Self::put_down`].
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.due || self.held.len() >= MAX_HELD_BYTES
    }

    /// Puts the file system's data on the disk, and then writes what was held back.
    pub(super) fn put_down(&mut self, now: Instant) -> io::Result<()> {
        syncfs(self.file.as_fd())?;
        self.file.write_all(&self.held)?;
        self.held.clear();
        self.due = now + PERIOD;
        Ok(())
    }

    /// As [`Self::put_down`], and puts the manifest on the disk too.
    pub(super) fn finish(mut self, footer: &[u8], now: Instant) -> io::Result<()> {
        self.held.extend_from_slice(footer);
        self.put_down(now)?;
        self.file.sync_all()
    }
}

impl Write for Journal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
