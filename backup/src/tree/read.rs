//! Reading a tree: what its manifest says of it, and the way to what is in it.

use std::fs::File;
use std::io::BufReader;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, openat};

use crate::manifest::{Manifest, ManifestError};
use crate::repository::{Local, MANIFEST, RepositoryError};

/// Why a tree cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The repository refused.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// Its manifest is damaged or missing.
    #[error("the manifest of {name}: {source}")]
    Manifest {
        /// The tree.
        name: String,
        /// What is wrong.
        source: ManifestError,
    },
    /// The folder to write to cannot be used.
    #[error("{0}")]
    Target(String),
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
}

/// A tree that is open.
pub(super) struct Tree {
    pub(super) name: String,
    pub(super) root: Arc<OwnedFd>,
    pub(super) manifest: Manifest<BufReader<File>>,
}

impl Tree {
    /// Opens it; the manifest is checked as a whole.
    pub(super) fn open(local: &Local, name: &str) -> Result<Self, ReadError> {
        let opening = |what: &str, error: rustix::io::Errno| {
            RepositoryError::io(format!("opening {}", local.folder().join(what).display()), error)
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = openat(local.dir(), name, flags | OFlags::DIRECTORY, Mode::empty())
            .map_err(|error| opening(name, error))?;
        let beside = format!("{name}{MANIFEST}");
        let file =
            openat(local.dir(), beside.as_str(), flags, Mode::empty()).map_err(|error| opening(&beside, error))?;
        let wrong = |source| ReadError::Manifest { name: name.to_owned(), source };
        let mut manifest = Manifest::open(BufReader::new(File::from(file))).map_err(wrong)?;
        manifest.check().map_err(wrong)?;
        Ok(Self { name: name.to_owned(), root: Arc::new(root), manifest })
    }

    /// Names the tree that is damaged.
    pub(super) fn wrong(&self) -> impl Fn(ManifestError) -> ReadError + use<> {
        let name = self.name.clone();
        move |source| ReadError::Manifest { name: name.clone(), source }
    }
}
