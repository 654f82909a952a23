//! Puts one thing into a tree: what it is, whose it is, and when it changed.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, chownat, fchmod, fchown, futimens, makedev,
    mknodat, openat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::attributes::{Attributes, Hold};
use crate::entry::{Entry, FileTime, Kind};

/// What could not be written back about a thing that is there all the same.
pub(super) type Lacking = Option<String>;

/// Makes an empty file that only its owner may read yet.
pub(super) fn make_file(folder: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::RUSR | Mode::WUSR)
}

/// Gives an open file or folder what its entry says. The time comes last: by it a finished file is known.
///
/// `born_to` is whose it is already, if that is known.
pub(super) fn finish(fd: impl AsFd, entry: &Entry, attributes: &Attributes, born_to: Option<(u32, u32)>) -> Lacking {
    let fd = fd.as_fd();
    let mut lacking = Vec::new();
    // Whoever gives a file away takes its capabilities and its set-user-ID bit: the owner comes first.
    if born_to != Some((entry.uid, entry.gid))
        && let Err(error) = fchown(fd, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
    {
        lacking.push(format!("its owner: {error}"));
    }
    if let Err(error) = fchmod(fd, Mode::from_raw_mode(entry.mode)) {
        lacking.push(format!("its permissions: {error}"));
    }
    if let Err((name, error)) = attributes.write(fd, Hold::Open) {
        lacking.push(format!("its attribute {name}: {error}"));
    }
    if let Err(error) = futimens(fd, &times(entry.mtime)) {
        lacking.push(format!("its time: {error}"));
    }
    told(&lacking)
}

/// Makes a symbolic link, a pipe or a device.
pub(super) fn make_special(
    folder: impl AsFd,
    name: &[u8],
    entry: &Entry,
    attributes: &Attributes,
) -> Result<Lacking, Errno> {
    let folder = folder.as_fd();
    let no_one_else = Mode::RUSR | Mode::WUSR;
    let (kind, device) = match entry.kind {
        Kind::Symlink => (None, 0),
        Kind::Fifo => (Some(FileType::Fifo), 0),
        Kind::Char => (Some(FileType::CharacterDevice), makedev(entry.rdev.0, entry.rdev.1)),
        Kind::Block => (Some(FileType::BlockDevice), makedev(entry.rdev.0, entry.rdev.1)),
        Kind::File | Kind::Dir | Kind::Socket => return Err(Errno::INVAL),
    };
    match kind {
        None => symlinkat(entry.target.as_deref().unwrap_or_default(), folder, name)?,
        Some(kind) => mknodat(folder, name, kind, no_one_else, device)?,
    }
    let mut lacking = Vec::new();
    let owner = (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)));
    if let Err(error) = chownat(folder, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW) {
        lacking.push(format!("its owner: {error}"));
    }
    if kind.is_some() {
        let changed = rustix::fs::chmodat(folder, name, Mode::from_raw_mode(entry.mode), AtFlags::empty());
        if let Err(error) = changed {
            lacking.push(format!("its permissions: {error}"));
        }
    }
    if !attributes.is_empty() {
        let place = openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        let written =
            place.map_err(|error| (String::new(), error)).and_then(|place| attributes.write(place, Hold::Place));
        if let Err((name, error)) = written {
            lacking.push(format!("its attribute {name}: {error}"));
        }
    }
    if let Err(error) = utimensat(folder, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW) {
        lacking.push(format!("its time: {error}"));
    }
    Ok(told(&lacking))
}

/// Removes what is in the way; nothing may be there.
pub(super) fn clear(folder: impl AsFd, name: &[u8]) -> Result<(), Errno> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

fn told(lacking: &[String]) -> Lacking {
    (!lacking.is_empty()).then(|| format!("not written back: {}", lacking.join(", ")))
}

fn times(mtime: FileTime) -> Timestamps {
    let time = |tv_nsec| Timespec { tv_sec: mtime.seconds, tv_nsec };
    Timestamps { last_access: time(mtime.nanoseconds.into()), last_modification: time(mtime.nanoseconds.into()) }
}
