//! Wall clocks that are wrong, for one process.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// A wall clock that is wrong in the way that a file says, so that it can jump while a process runs. The monotonic clock
/// stays right, as on a board whose wall clock is set.
#[derive(Debug, Clone)]
pub struct FakeTime {
    file: PathBuf,
    library: PathBuf,
}

impl FakeTime {
    /// A clock that `reading` describes as `faketime(1)` takes it, such as `@1970-01-02 00:00:00` or `+40d`; it is kept
    /// in `file`.
    ///
    /// # Errors
    /// When libfaketime is not installed, or the file cannot be written.
    pub fn new(file: &Path, reading: &str) -> anyhow::Result<Self> {
        let clock = Self { file: file.to_owned(), library: library()? };
        clock.set(reading)?;
        Ok(clock)
    }

    /// Lets the clock jump.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set(&self, reading: &str) -> anyhow::Result<()> {
        std::fs::write(&self.file, format!("{reading}\n")).with_context(|| format!("writing {}", self.file.display()))
    }

    /// What a process finds in its environment that lives by this clock.
    pub fn environment(&self) -> Vec<(String, String)> {
        let file = self.file.display().to_string();
        let library = self.library.display().to_string();
        [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", file.as_str()),
            ("FAKETIME_NO_CACHE", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
            ("TZ", "UTC"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }
}

/// Debian keeps it in a folder that is named after the architecture.
fn library() -> anyhow::Result<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").context("reading /usr/lib")?;
    let found =
        folders.flatten().map(|folder| folder.path().join("faketime/libfaketime.so.1")).find(|path| path.exists());
    match found {
        Some(path) => Ok(path),
        None => bail!("libfaketime is not there: install the Debian package faketime, as tests/run does"),
    }
}
