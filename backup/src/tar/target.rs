//! The tree that is written to: every folder is opened from the one above it and never through a symbolic link, so that
//! nothing is written outside of it, whatever is planted there.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chmod, chownat, fchmod, fchown,
    fstat, futimens, linkat, mkdirat, mknodat, open, openat, renameat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::attributes::{Attributes, Bearer};
use crate::entry::{Entry, FileTime, Kind};
use crate::walk::{id_of, open_dir};

/// How many folders are held open.
const MAX_OPEN: usize = 48;
/// Something is put beside its place first, under this name, so that its place never holds half of it.
const TEMPORARY: &CStr = c".rackhaven-restore.new";

/// Something of an entry's metadata that could not be given back.
pub(super) type Refused = (String, Errno);

/// The tree, and how far down it is being written.
pub(super) struct Target {
    root: Arc<OwnedFd>,
    levels: Vec<Level>,
    /// Metadata of folders is given back when nothing is written into them any more; what was refused there.
    pub(super) refused: Vec<(Vec<u8>, Refused)>,
}

struct Level {
    name: Vec<u8>,
    /// None while it is closed.
    dir: Option<Arc<OwnedFd>>,
    id: (u64, u64),
    /// What to give back at the end.
    metadata: Option<(Box<Entry>, Attributes)>,
}

impl Target {
    /// At a folder, which is made if it is not there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let root = open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { root: Arc::new(root), levels: Vec::new(), refused: Vec::new() })
    }

    /// Whether this is the root of the running system.
    pub(super) fn is_running_root(&self) -> bool {
        match (fstat(&self.root), statat(CWD, "/", AtFlags::empty())) {
            (Ok(target), Ok(root)) => id_of(&target) == id_of(&root),
            _ => true,
        }
    }

    /// Writes what is done to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.root)?)
    }

    /// The open folder that holds `path`, made if it is not there, and the name in it. None for the root itself.
    fn folder_of(&mut self, path: &[u8]) -> io::Result<Option<(Arc<OwnedFd>, CString)>> {
        let mut names: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
        let Some(name) = names.pop() else {
            self.leave_to(0);
            return Ok(None);
        };
        let shared = self.levels.iter().zip(&names).take_while(|(level, name)| level.name == **name).count();
        self.leave_to(shared);
        for name in names.into_iter().skip(shared) {
            self.enter(&CString::new(name)?)?;
        }
        Ok(Some((self.innermost()?, CString::new(name)?)))
    }

    fn innermost(&mut self) -> io::Result<Arc<OwnedFd>> {
        match self.levels.last() {
            None => Ok(Arc::clone(&self.root)),
            Some(level) => level.dir.clone().ok_or_else(|| io::Error::other("the folder was moved meanwhile")),
        }
    }

    /// Goes into a folder, which takes the place of anything else of its name.
    fn enter(&mut self, name: &CStr) -> io::Result<()> {
        let above = self.innermost()?;
        let dir = match open_dir(&above, name) {
            Err(Errno::NOTDIR | Errno::LOOP) => {
                unlinkat(&above, name, AtFlags::empty())?;
                make_dir(&above, name)?
            }
            Err(Errno::NOENT) => make_dir(&above, name)?,
            other => other?,
        };
        let stat = fstat(&dir)?;
        let id = id_of(&stat);
        let name = name.to_bytes().to_vec();
        self.levels.push(Level { name, dir: Some(Arc::new(dir)), id, metadata: None });
        if let Some(far) = self.levels.len().checked_sub(MAX_OPEN)
            && let Some(level) = self.levels.get_mut(far)
        {
            level.dir = None;
        }
        Ok(())
    }

    /// Leaves the innermost folders until so many are left.
    fn leave_to(&mut self, count: usize) {
        while self.levels.len() > count {
            let path = self.levels.iter().flat_map(|level| [b"/", level.name.as_slice()]).flatten().copied().collect();
            let Some(left) = self.levels.pop() else { return };
            if let (Some(dir), Some(outer)) = (&left.dir, self.levels.last_mut())
                && outer.dir.is_none()
            {
                outer.dir = reopened(dir, outer.id).map(Arc::new);
            }
            let Some((entry, attributes)) = left.metadata else { continue };
            let given = match &left.dir {
                Some(dir) => give_open(dir, &entry, &attributes),
                None => vec![("the folder".to_owned(), Errno::STALE)],
            };
            self.refused.extend(given.into_iter().map(|refused| (<Vec<u8>>::clone(&path), refused)));
        }
    }

    /// Gives all folders back what is left to give.
    pub(super) fn finish(&mut self) {
        self.leave_to(0);
    }

    /// A folder. Its metadata follows when it is left.
    pub(super) fn dir(&mut self, entry: &Entry, attributes: Attributes) -> io::Result<Vec<Refused>> {
        match self.folder_of(&entry.path)? {
            None => return Ok(give_open(&self.root, entry, &attributes)),
            Some((_, name)) => self.enter(&name)?,
        }
        if let Some(level) = self.levels.last_mut() {
            level.metadata = Some((Box::new(entry.clone()), attributes));
        }
        Ok(Vec::new())
    }

    /// A file, whose content `fill` writes.
    pub(super) fn file(
        &mut self,
        entry: &Entry,
        attributes: &Attributes,
        fill: impl FnOnce(&mut std::fs::File) -> io::Result<()>,
    ) -> io::Result<Vec<Refused>> {
        let (folder, name) = self.place(&entry.path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || openat(&folder, TEMPORARY, flags, Mode::RUSR | Mode::WUSR);
        let mut file = std::fs::File::from(in_free_place(&folder, create)?);
        let filled = fill(&mut file);
        if filled.is_err() {
            let _ = unlinkat(&folder, TEMPORARY, AtFlags::empty());
        }
        filled?;
        let refused = give_open(&file, entry, attributes);
        put_in_place(&folder, &name)?;
        Ok(refused)
    }

    /// Anything that has no content: a symbolic link, a pipe, a device.
    pub(super) fn node(&mut self, entry: &Entry, attributes: &Attributes) -> io::Result<Vec<Refused>> {
        let (folder, name) = self.place(&entry.path)?;
        let kind = match entry.kind {
            Kind::Fifo => FileType::Fifo,
            Kind::Char => FileType::CharacterDevice,
            Kind::Block => FileType::BlockDevice,
            _ => FileType::Symlink,
        };
        let device = rustix::fs::makedev(entry.rdev.0, entry.rdev.1);
        in_free_place(&folder, || match (&entry.target, kind) {
            (Some(target), FileType::Symlink) => symlinkat(target.as_slice(), &folder, TEMPORARY),
            (_, FileType::Symlink) => Err(Errno::INVAL),
            _ => mknodat(&folder, TEMPORARY, kind, Mode::RUSR | Mode::WUSR, device),
        })?;
        let mut refused = Vec::new();
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        let (uid, gid) = owner(entry);
        note(&mut refused, "owner", chownat(&folder, TEMPORARY, uid, gid, nofollow));
        refused.extend(attributes.write(Bearer::Named(folder.as_fd(), TEMPORARY)).err());
        if kind != FileType::Symlink {
            note(&mut refused, "permissions", permit(&folder, entry.mode));
        }
        note(&mut refused, "time", utimensat(&folder, TEMPORARY, &times(entry.mtime), nofollow));
        put_in_place(&folder, &name)?;
        Ok(refused)
    }

    /// A further name of a file that was written before.
    pub(super) fn link(&mut self, path: &[u8], first: &[u8]) -> io::Result<()> {
        let (folder, name) = self.place(path)?;
        let (first_folder, first_name) = self.find(first)?;
        in_free_place(&folder, || linkat(&first_folder, &first_name, &folder, TEMPORARY, AtFlags::empty()))?;
        put_in_place(&folder, &name)?;
        // If both were the same file already, nothing was renamed.
        let _ = unlinkat(&folder, TEMPORARY, AtFlags::empty());
        Ok(())
    }

    /// The open folder that holds something that was written before. Nothing is made on the way.
    fn find(&self, path: &[u8]) -> io::Result<(Arc<OwnedFd>, CString)> {
        let mut names: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
        let name = names.pop().ok_or(Errno::ISDIR)?;
        let mut folder = Arc::clone(&self.root);
        for name in names {
            folder = Arc::new(open_dir(&folder, &CString::new(name)?)?);
        }
        Ok((folder, CString::new(name)?))
    }

    fn place(&mut self, path: &[u8]) -> io::Result<(Arc<OwnedFd>, CString)> {
        self.folder_of(path)?.ok_or_else(|| Errno::ISDIR.into())
    }
}

fn make_dir(above: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    mkdirat(above, name, Mode::RWXU)?;
    open_dir(above, name)
}

/// The folder above an open one, if it is the one that it was.
fn reopened(dir: &OwnedFd, id: (u64, u64)) -> Option<OwnedFd> {
    let above = open_dir(dir, c"..").ok()?;
    let stat = fstat(&above).ok()?;
    (id_of(&stat) == id).then_some(above)
}

/// Makes something under the temporary name; what a run that was killed left there goes away.
fn in_free_place<T>(folder: &OwnedFd, make: impl Fn() -> Result<T, Errno>) -> Result<T, Errno> {
    match make() {
        Err(Errno::EXIST) => {
            unlinkat(folder, TEMPORARY, AtFlags::empty())?;
            make()
        }
        other => other,
    }
}

/// Gives what is there under the temporary name its permissions. It is held while that is done, for it cannot be opened,
/// and a name could be turned into a symbolic link.
fn permit(folder: &OwnedFd, mode: u32) -> Result<(), Errno> {
    let held = openat(folder, TEMPORARY, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    chmod(format!("/proc/self/fd/{}", held.as_raw_fd()), Mode::from_raw_mode(mode))
}

fn put_in_place(folder: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    let renamed = renameat(folder, TEMPORARY, folder, name);
    if renamed.is_err() {
        let _ = unlinkat(folder, TEMPORARY, AtFlags::empty());
    }
    renamed
}

/// Gives something open its owner, attributes, permissions and time, in the order in which none undoes another.
fn give_open(fd: impl AsFd, entry: &Entry, attributes: &Attributes) -> Vec<Refused> {
    let mut refused = Vec::new();
    let (uid, gid) = owner(entry);
    note(&mut refused, "owner", fchown(&fd, uid, gid));
    refused.extend(attributes.write(Bearer::open(&fd)).err());
    note(&mut refused, "permissions", fchmod(&fd, Mode::from_raw_mode(entry.mode)));
    note(&mut refused, "time", futimens(&fd, &times(entry.mtime)));
    refused
}

fn note(refused: &mut Vec<Refused>, what: &str, result: Result<(), Errno>) {
    refused.extend(result.err().map(|error| (what.to_owned(), error)));
}

fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    // The highest number means nobody to the kernel, and no file is owned by it.
    let (uid, gid) = (entry.uid, entry.gid);
    ((uid != u32::MAX).then(|| Uid::from_raw(uid)), (gid != u32::MAX).then(|| Gid::from_raw(gid)))
}

fn times(mtime: FileTime) -> Timestamps {
    let last_modification = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() };
    Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification }
}
