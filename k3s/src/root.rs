//! The node's files, below a folder that is `/` outside of tests.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Where the node's files are.
#[derive(Debug, Clone)]
pub struct Root(PathBuf);

impl Root {
    /// Below this folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// The place of an absolute path.
    #[must_use]
    pub fn at(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// The path that this place has on the node, if it is one of it.
    #[must_use]
    pub fn name_of(&self, place: &Path) -> Option<String> {
        place.strip_prefix(&self.0).ok().map(|path| format!("/{}", path.display()))
    }

    /// A whole file; none if there is none.
    ///
    /// # Errors
    /// When it cannot be read; the error names it.
    pub fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.at(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(named("reading", path, &error)),
        }
    }

    /// What the kernel says in a file; empty if it says nothing.
    #[must_use]
    pub fn told(&self, path: &str) -> String {
        fs::read(self.at(path)).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether there is anything, a dangling link too.
    #[must_use]
    pub fn is_there(&self, path: &str) -> bool {
        fs::symlink_metadata(self.at(path)).is_ok()
    }

    /// The names in a folder, sorted; none if there is none.
    #[must_use]
    pub fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// An error that says what was done to what.
pub fn named(doing: &str, path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{doing} {path}: {error}"))
}
