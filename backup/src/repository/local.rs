//! A repository in a folder of this node's, mostly below a mount point.

mod store;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, fsync, linkat, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use super::lock::Lock;
use super::marker::{Known, Marker};
use super::{MARKER, MountTables, RepositoryError};

const FOLDER_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Where a job's archives are, and what must be so for them to be written.
#[derive(Debug, Clone)]
pub struct Place {
    /// The repository's top folder.
    pub repository: PathBuf,
    /// What must be a mount point.
    pub requires_mount: Option<PathBuf>,
    /// The node's name.
    pub node: String,
    /// The job's name.
    pub job: String,
    /// Where the job keeps its state on the node; made if it is not there.
    pub state: PathBuf,
    /// What says what is mounted.
    pub mounts: MountTables,
}

/// A job's folder in such a repository, and the right to be the only one who writes to it.
///
/// Everything is done relative to folders that are held open: should the mount go away, nothing can be written to what
/// lies below it.
#[derive(Debug)]
pub struct Local {
    inner: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    place: Place,
    folder: PathBuf,
    root: OwnedFd,
    dir: OwnedFd,
    _locks: [Lock; 2],
}

impl Local {
    /// Opens the repository, and takes the job for this process. At a job's first run there, what is missing is made;
    /// afterwards it must be as it was.
    ///
    /// # Errors
    /// When it is not there, is another one, or another run has the job. Nothing is written then.
    pub fn open(place: Place, now_unix_ms: i64) -> Result<Self, RepositoryError> {
        fs::create_dir_all(&place.state)
            .map_err(|error| RepositoryError::io(format!("making {}", place.state.display()), error))?;
        let own_lock = Lock::of_state(&place.state)?;
        let location = place.repository.display().to_string();
        let known = Known::read(&place.state, &location)?;
        // To open it makes an automounter mount it.
        let there = openat(CWD, &place.repository, dir_flags(), Mode::empty());
        refuse_unmounted(&place)?;
        let root = match there {
            Ok(root) => root,
            Err(Errno::NOENT) if known.is_none() => {
                fs::create_dir_all(&place.repository)
                    .map_err(|error| RepositoryError::io(format!("making {location}"), error))?;
                open_dir(CWD, &place.repository, &place.repository)?
            }
            Err(Errno::NOENT) => return Err(RepositoryError::NotThere(format!("there is no {location}"))),
            Err(error) => return Err(RepositoryError::io(format!("opening {location}"), error)),
        };
        let marker = read_marker(&root, &place.repository)?;
        Known::check(known.as_deref(), marker.as_ref(), &location, &place.state)?;
        let marker = match marker {
            Some(marker) => marker,
            None => make_marker(&root, &place.repository, now_unix_ms)?,
        };
        let node = make_dir(&root, &place.node, &place.repository)?;
        let of_node = place.repository.join(&place.node);
        let dir = make_dir(&node, &place.job, &of_node)?;
        let folder = of_node.join(&place.job);
        let lock = Lock::of_repository(&dir, &folder)?;
        if known.as_deref() != Some(&marker.id) {
            Known::write(&place.state, &location, &marker.id)?;
        }
        let local = Self { inner: Arc::new(Held { place, folder, root, dir, _locks: [own_lock, lock] }) };
        local.check_there()?;
        Ok(local)
    }

    /// The job's folder, for messages: whoever writes does so relative to [`Self::dir`].
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// The job's folder, held open.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.inner.dir.as_fd()
    }

    /// The type of file system that it is on, such as `nfs4`, as far as the system says.
    pub fn file_system(&self) -> Option<String> {
        self.inner.place.mounts.file_system(&self.inner.place.repository)
    }

    /// Whether what is held open is still what the path leads to. To be asked before anything gets its final name.
    ///
    /// # Errors
    /// When it was unmounted, or something else was mounted over it.
    pub fn check_there(&self) -> Result<(), RepositoryError> {
        self.inner.check_there()
    }
}

impl Held {
    fn check_there(&self) -> Result<(), RepositoryError> {
        refuse_unmounted(&self.place)?;
        for (path, held) in [(&self.place.repository, &self.root), (&self.folder, &self.dir)] {
            let gone = |why: &str| RepositoryError::NotThere(format!("{} {why} during the run", path.display()));
            let here = fs::metadata(path).map_err(|_| gone("went away"))?;
            let held =
                fstat(held).map_err(|error| RepositoryError::io(format!("examining {}", path.display()), error))?;
            use std::os::unix::fs::MetadataExt;
            if (here.dev(), here.ino()) != (held.st_dev, held.st_ino) {
                return Err(gone("was replaced by another folder"));
            }
        }
        Ok(())
    }
}

fn refuse_unmounted(place: &Place) -> Result<(), RepositoryError> {
    let refusal = place.mounts.refusal(&place.repository, place.requires_mount.as_deref());
    match refusal.map_err(|error| RepositoryError::io("reading what is mounted", error))? {
        Some(why) => Err(RepositoryError::NotThere(why)),
        None => Ok(()),
    }
}

fn dir_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn open_dir(at: impl AsFd, name: &Path, shown: &Path) -> Result<OwnedFd, RepositoryError> {
    openat(at, name, dir_flags(), Mode::empty())
        .map_err(|error| RepositoryError::io(format!("opening {}", shown.display()), error))
}

fn make_dir(at: &OwnedFd, name: &str, parent: &Path) -> Result<OwnedFd, RepositoryError> {
    let path = parent.join(name);
    match mkdirat(at, name, FOLDER_MODE) {
        Ok(()) => sync_dir(at, parent)?,
        Err(Errno::EXIST) => {}
        Err(error) => return Err(RepositoryError::io(format!("making {}", path.display()), error)),
    }
    let opened = openat(at, name, dir_flags() | OFlags::NOFOLLOW, Mode::empty());
    opened.map_err(|error| RepositoryError::io(format!("opening {}", path.display()), error))
}

/// Puts a folder's names on the disk. File systems that cannot say that they did it are believed.
fn sync_dir(dir: impl AsFd, path: &Path) -> Result<(), RepositoryError> {
    match fsync(dir) {
        Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(RepositoryError::io(format!("writing {} to the disk", path.display()), error)),
    }
}

fn read_marker(root: &OwnedFd, repository: &Path) -> Result<Option<Marker>, RepositoryError> {
    let path = repository.join(MARKER);
    match read_small(root, MARKER, &path)? {
        Some(text) => Marker::parse(&text, &path.display().to_string()).map(Some),
        None => Ok(None),
    }
}

/// Reads a small file; `None` if it is not there.
fn read_small(at: impl AsFd, name: &str, path: &Path) -> Result<Option<Vec<u8>>, RepositoryError> {
    let reading = |error: std::io::Error| RepositoryError::io(format!("reading {}", path.display()), error);
    let file = match openat(at, name, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(file) => fs::File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(reading(error.into())),
    };
    let mut text = Vec::new();
    file.take(super::MAX_RECORD_BYTES).read_to_end(&mut text).map_err(reading)?;
    Ok(Some(text))
}

/// Two jobs may come at once: whoever is first makes it.
fn make_marker(root: &OwnedFd, repository: &Path, now_unix_ms: i64) -> Result<Marker, RepositoryError> {
    let path = repository.join(MARKER);
    let writing = |error: std::io::Error| RepositoryError::io(format!("writing {}", path.display()), error);
    let marker = Marker::new(now_unix_ms)?;
    let temporary = format!("{MARKER}.{}", marker.id);
    write_small(root, &temporary, marker.text().as_bytes()).map_err(writing)?;
    let linked = linkat(root, temporary.as_str(), root, MARKER, AtFlags::empty());
    let made = match linked {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        // No hard links there.
        Err(_) => rustix::fs::renameat(root, temporary.as_str(), root, MARKER),
    };
    made.map_err(|error| writing(error.into()))?;
    match unlinkat(root, temporary.as_str(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(writing(error.into())),
    }
    sync_dir(root, repository)?;
    read_marker(root, repository)?.ok_or_else(|| writing(ErrorKind::NotFound.into()))
}

/// Writes a file that is not there yet, or is of no worth, to the disk.
fn write_small(at: impl AsFd, name: &str, text: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut file = fs::File::from(openat(at, name, flags, FILE_MODE)?);
    file.write_all(text)?;
    file.sync_all()
}
