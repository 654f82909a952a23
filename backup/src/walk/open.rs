//! Opening what is to be saved, without leaving a trace and without being led astray.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, Stat, openat};
use rustix::io::Errno;

use crate::entry::{Entry, FileTime, Kind};

/// Opens a folder for listing. A symbolic link is refused.
///
/// # Errors
/// As the kernel says.
pub fn open_dir(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    open(parent, name, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Opens a file for reading. A symbolic link is refused, and a pipe that took the file's place keeps nobody waiting.
///
/// # Errors
/// As the kernel says.
pub fn open_file(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    open(parent, name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
}

fn open(parent: impl AsFd, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Only the owner and root may leave the time of access alone.
    match openat(&parent, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(&parent, name, flags, Mode::empty()),
        other => other,
    }
}

/// What tells a file from all others: its file system and its number there.
pub fn id_of(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// What `stat` says, as an entry without its path and links.
#[expect(clippy::unnecessary_cast, reason = "the fields' types differ between processors")]
pub fn entry_of(path: Vec<u8>, stat: &Stat) -> Entry {
    let mode = stat.st_mode as u32;
    let kind = match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::Directory => Kind::Dir,
        rustix::fs::FileType::Symlink => Kind::Symlink,
        rustix::fs::FileType::Fifo => Kind::Fifo,
        rustix::fs::FileType::CharacterDevice => Kind::Char,
        rustix::fs::FileType::BlockDevice => Kind::Block,
        rustix::fs::FileType::Socket => Kind::Socket,
        _ => Kind::File,
    };
    let device = matches!(kind, Kind::Char | Kind::Block);
    Entry {
        path,
        kind,
        mode: mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: if kind == Kind::File { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 },
        mtime: time(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
        ctime: time(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        ino: stat.st_ino,
        dev: stat.st_dev,
        rdev: if device { (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) } else { (0, 0) },
        links: stat.st_nlink as u64,
        target: None,
        hard_link: None,
    }
}

fn time(seconds: i64, nanoseconds: u64) -> FileTime {
    FileTime { seconds, nanoseconds: u32::try_from(nanoseconds).unwrap_or(0) }
}
