//! Reads a tree back and compares it with what was written of it.

use std::cmp::Ordering;
use std::io::{Read, Seek};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags, openat, statat};

use super::attributes::{Attributes, Hold};
use super::copy::{BUFFER_BYTES, CopyError, hash_file};
use super::folders::Folders;
use super::read::{ReadError, Tree};
use crate::entry::{Entry, Kind, path_order};
use crate::manifest::{Item, Manifest, ManifestError, Record};
use crate::outcome::{ProblemKind, Problems};
use crate::progress::Progress;
use crate::repository::Local;
use crate::stop::Stop;
use crate::walk::entry_of;

/// What is checked, and how.
pub struct Check<'a> {
    /// The content of so many files of 100 is read; what the others are is always compared.
    pub percent: u8,
    /// Which files are chosen.
    pub seed: u64,
    /// Threads that read.
    pub threads: usize,
    /// What is not as it was written.
    pub problems: &'a Problems,
    /// How far it is.
    pub progress: &'a Progress,
    /// Asks to end early.
    pub stop: &'a Stop,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many things were compared.
    pub entries: u64,
    /// How many files were read.
    pub files_read: u64,
    /// How many things are missing or not as they were written.
    pub damaged: u64,
}

/// Checks a tree: that everything that was written is there and as it was.
///
/// # Errors
/// When it cannot be opened, or its manifest is damaged.
pub fn verify(local: &Local, name: &str, check: &Check<'_>) -> Result<Checked, ReadError> {
    let mut tree = Tree::open(local, name)?;
    let wrong = tree.wrong();
    check.progress.entries_expected.store(tree.manifest.footer.entries, std::sync::atomic::Ordering::Relaxed);
    let checked = Mutex::new(Checked::default());
    let root = Arc::clone(&tree.root);
    let hashed = is_hashed(&mut tree.manifest).map_err(&wrong)?;
    let (work, takes_work) = sync_channel::<Look>(4 * check.threads.max(1));
    let takes_work = Mutex::new(takes_work);
    std::thread::scope(|scope| {
        for _ in 0..check.threads.max(1) {
            scope.spawn(|| look_at_all(&takes_work, check, &checked));
        }
        let mut folders = Folders::new(root);
        let mut counted = Counted { entries: 0, hashed };
        for item in tree.manifest.records().map_err(&wrong)? {
            if check.stop.is_requested() {
                return Err(ReadError::Stopped);
            }
            if let Item::Entry(record) = item.map_err(&wrong)? {
                send(&mut folders, record, check, &checked, &work, &mut counted);
            }
        }
        drop(work);
        Ok(())
    })?;
    if check.stop.is_requested() {
        return Err(ReadError::Stopped);
    }
    Ok(checked.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// One thing to look at.
struct Look {
    folder: Arc<OwnedFd>,
    record: Box<Record>,
    /// The number of the file whose further name it is.
    first: Option<u64>,
    read: bool,
    /// Whether the hash of its attributes was written.
    hashed: bool,
}

struct Counted {
    entries: u64,
    hashed: bool,
}

/// Whether the manifest has hashes. That of a tree which rsync made on another machine has none, neither of content nor of
/// attributes.
fn is_hashed<R: Read + Seek>(manifest: &mut Manifest<R>) -> Result<bool, ManifestError> {
    for item in manifest.records()? {
        if let Item::Entry(record) = item?
            && record.entry.kind == Kind::File
            && record.entry.hard_link.is_none()
        {
            return Ok(record.content.is_some());
        }
    }
    Ok(false)
}

fn send(
    folders: &mut Folders,
    record: Box<Record>,
    check: &Check<'_>,
    checked: &Mutex<Checked>,
    work: &SyncSender<Look>,
    counted: &mut Counted,
) {
    let path = &record.entry.path;
    let first = record.entry.hard_link.as_deref().map(|first| {
        let (folder, name) = folders.parent(first)?;
        statat(&*folder, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| entry_of(Vec::new(), &stat).ino)
    });
    let found = first.transpose().and_then(|first| Ok((first, folders.parent(path)?.0)));
    match found {
        Ok((first, folder)) => {
            counted.entries += 1;
            let chosen = chosen(check.seed.wrapping_add(counted.entries), check.percent);
            let read = chosen && record.content.is_some();
            // Whoever takes it lives as long as this.
            let _ = work.send(Look { folder, record, first, read, hashed: counted.hashed });
        }
        Err(error) => damaged(check, checked, path, &format!("it is missing: {error}")),
    }
}

fn look_at_all(takes_work: &Mutex<Receiver<Look>>, check: &Check<'_>, checked: &Mutex<Checked>) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let taken = takes_work.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(look) = taken else { return };
        if check.stop.is_requested() {
            continue;
        }
        let path = &look.record.entry.path;
        check.progress.at(path);
        Progress::count(&check.progress.entries, 1);
        if let Err(why) = look_at(&look, &mut buffer, check) {
            damaged(check, checked, path, &why);
        }
        let mut checked = checked.lock().unwrap_or_else(PoisonError::into_inner);
        checked.entries += 1;
        checked.files_read += u64::from(look.read);
    }
}

fn damaged(check: &Check<'_>, checked: &Mutex<Checked>, path: &[u8], why: &str) {
    check.problems.add(path, ProblemKind::Unreadable, why);
    checked.lock().unwrap_or_else(PoisonError::into_inner).damaged += 1;
}

fn look_at(look: &Look, buffer: &mut [u8], check: &Check<'_>) -> Result<(), String> {
    let record = &look.record;
    let name = match record.entry.path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) if record.entry.path.len() > 1 => record.entry.path.get(slash + 1..).unwrap_or_default(),
        _ => b".",
    };
    let stat =
        statat(&*look.folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| format!("it is missing: {error}"))?;
    let mut there = entry_of(Vec::new(), &stat);
    if there.kind == Kind::Symlink {
        let target = rustix::fs::readlinkat(&*look.folder, name, Vec::new());
        there.target = Some(target.map_err(|error| format!("reading where it points: {error}"))?.into_bytes());
    }
    if let Some(difference) = difference(&record.entry, &there) {
        return Err(format!("its {difference} is not what was written"));
    }
    if look.first.is_some_and(|first| first != there.ino) {
        return Err("it is not another name of the same file any more".to_owned());
    }
    let (flags, hold) = match there.kind {
        Kind::File | Kind::Dir => (OFlags::RDONLY | OFlags::NONBLOCK, Hold::Open),
        _ => (OFlags::PATH, Hold::Place),
    };
    let opened = openat(&*look.folder, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| format!("opening: {error}"))?;
    let attributes = Attributes::read(&opened, hold).map_err(|error| format!("reading its attributes: {error}"))?;
    // Further names have the first one's.
    if look.hashed && look.first.is_none() && attributes.hash() != record.attributes {
        return Err("its attributes are not what was written".to_owned());
    }
    if let Some(expected) = record.content.filter(|_| look.read) {
        let note = |bytes| Progress::count(&check.progress.bytes_read, bytes);
        match hash_file(&opened, record.entry.size, buffer, check.stop, note) {
            Ok(Some(hash)) if hash == expected => {}
            Ok(_) => return Err("its content is not what was written".to_owned()),
            Err(CopyError::Stopped) => {}
            Err(CopyError::Reading(error) | CopyError::Writing(error)) => return Err(format!("reading: {error}")),
        }
    }
    Ok(())
}

/// What differs of what a file system can keep. It may keep whole seconds only.
fn difference(written: &Entry, there: &Entry) -> Option<&'static str> {
    let is_link = written.kind == Kind::Symlink;
    let table = [
        ("kind", written.kind == there.kind),
        ("length", written.size == there.size),
        ("owner", (written.uid, written.gid) == (there.uid, there.gid)),
        ("mode", is_link || written.mode == there.mode),
        ("time", written.mtime.seconds == there.mtime.seconds),
        ("device", written.rdev == there.rdev),
        ("target", written.target == there.target),
    ];
    table.iter().find(|(_, same)| !same).map(|(what, _)| *what)
}

/// Chooses about so many of 100, others for each seed.
fn chosen(number: u64, percent: u8) -> bool {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 32) % 100 < u64::from(percent)
}

/// Whether one path is at or below another, for trees of paths in the walk's order.
pub(super) fn is_at_or_below(path: &[u8], above: &[u8]) -> bool {
    path_order(path, above) == Ordering::Equal || crate::walk::is_below(path, above)
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn a_sample_is_about_as_large_as_was_asked_for() {
        for percent in [0_u8, 1, 5, 50, 99, 100] {
            let count = (0..10_000).filter(|number| chosen(7_000_000 + number, percent)).count();
            assert!(count.abs_diff(usize::from(percent) * 100) <= 200, "{percent}: {count}");
        }
    }
}
