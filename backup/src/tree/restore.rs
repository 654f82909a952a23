//! Gives back what is in a tree.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, linkat, open, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use super::attributes::{Attributes, Hold};
use super::copy::{BUFFER_BYTES, CopyError, Means, copy};
use super::folders::Folders;
use super::place;
use super::read::{ReadError, Tree};
use super::verify::is_at_or_below;
use crate::entry::{Entry, Kind, path_order};
use crate::manifest::{Item, Record};
use crate::outcome::{ProblemKind, Problems};
use crate::pace::Pace;
use crate::progress::Progress;
use crate::repository::Local;
use crate::stop::Stop;
use crate::walk::is_below;

/// What is being written, until it takes its place: that never holds half of it.
const TEMPORARY: &[u8] = b".rackhaven-restore.new";

/// What is given back, and where to.
pub struct Restore<'a> {
    /// The folder to put it in; everything keeps its whole path below it.
    pub to: &'a Path,
    /// Only these, with all that is below them; none for everything.
    pub paths: &'a [PathBuf],
    /// Whether the root of the running system may be written over.
    pub in_place: bool,
    /// Nothing is written.
    pub dry_run: bool,
    /// What could not be given back.
    pub problems: &'a Problems,
    /// How far it is.
    pub progress: &'a Progress,
    /// Asks to end early.
    pub stop: &'a Stop,
}

/// What was given back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    /// Files, folders and others.
    pub entries: u64,
    /// Content of files, bytes.
    pub bytes: u64,
}

/// Gives back what a tree holds. `told` hears of each thing.
///
/// # Errors
/// When the tree or the target cannot be used, or a path is not there. What goes wrong with single things becomes a
/// problem instead.
pub fn restore(
    local: &Local,
    name: &str,
    how: &Restore<'_>,
    told: &mut dyn FnMut(&Record),
) -> Result<Restored, ReadError> {
    let mut tree = Tree::open(local, name)?;
    let target = if how.dry_run { None } else { Some(open_target(how)?) };
    let wrong = tree.wrong();
    let pace = Pace::new(None);
    let mut run = Run {
        how,
        pace: &pace,
        source: Folders::new(Arc::clone(&tree.root)),
        target: target.map(Folders::new),
        filling: Vec::new(),
        given: HashMap::new(),
        buffer: vec![0; BUFFER_BYTES],
        restored: Restored::default(),
        told,
    };
    if how.paths.is_empty() {
        for item in tree.manifest.records().map_err(&wrong)? {
            run.item(item.map_err(&wrong)?)?;
        }
    }
    let mut paths: Vec<&[u8]> = how.paths.iter().map(|path| path.as_os_str().as_bytes()).collect();
    paths.sort_by(|a, b| path_order(a, b));
    paths.dedup_by(|below, above| is_at_or_below(below, above));
    for path in paths {
        let mut found = false;
        for item in tree.manifest.records_from(path).map_err(&wrong)? {
            let item = item.map_err(&wrong)?;
            if is_at_or_below(item.path(), path) {
                found = true;
                run.item(item)?;
            } else if path_order(item.path(), path).is_gt() {
                break;
            }
        }
        if !found {
            return Err(ReadError::Target(format!("{} is not in {name}", crate::outcome::shown(path))));
        }
    }
    run.leave_but(b"");
    if let Some(target) = &mut run.target {
        let synced = target.folder(b"/").and_then(|root| rustix::fs::syncfs(&*root));
        synced.map_err(|error| ReadError::Target(format!("writing {} to the disk: {error}", how.to.display())))?;
    }
    Ok(run.restored)
}

/// Opens the folder to write to; the running system's root only if that was meant.
pub(super) fn open_target(how: &Restore<'_>) -> Result<Arc<OwnedFd>, ReadError> {
    let failed = |error: std::io::Error| ReadError::Target(format!("opening {}: {error}", how.to.display()));
    std::fs::create_dir_all(how.to).map_err(failed)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(how.to, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
    let id = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let is_running_root = match (fstat(&root), statat(CWD, "/", AtFlags::empty())) {
        (Ok(target), Ok(root)) => id(target) == id(root),
        _ => true,
    };
    if is_running_root && !how.in_place {
        let reason = "is the root of the running system; say --in-place to write over it";
        return Err(ReadError::Target(format!("{} {reason}", how.to.display())));
    }
    Ok(Arc::new(root))
}

struct Run<'a> {
    how: &'a Restore<'a>,
    pace: &'a Pace,
    source: Folders,
    /// None for a dry run.
    target: Option<Folders>,
    filling: Vec<(Entry, Attributes)>,
    /// First names of files that were not asked for by these, and the names under which they are there now.
    given: HashMap<Vec<u8>, Vec<u8>>,
    buffer: Vec<u8>,
    restored: Restored,
    told: &'a mut dyn FnMut(&Record),
}

/// Why one thing was not given back.
enum Failed {
    Stopped,
    Because(String),
}

impl From<Errno> for Failed {
    fn from(error: Errno) -> Self {
        Self::Because(error.to_string())
    }
}

impl Run<'_> {
    fn item(&mut self, item: Item) -> Result<(), ReadError> {
        if self.how.stop.is_requested() {
            return Err(ReadError::Stopped);
        }
        let Item::Entry(record) = item else { return Ok(()) };
        (self.told)(&record);
        self.how.progress.at(&record.entry.path);
        self.leave_but(&record.entry.path);
        match self.one(&record) {
            Ok(()) => {
                self.restored.entries += 1;
                self.restored.bytes += record.content.map_or(0, |_| record.entry.size);
                Progress::count(&self.how.progress.entries, 1);
            }
            Err(Failed::Stopped) => return Err(ReadError::Stopped),
            Err(Failed::Because(why)) => self.how.problems.add(&record.entry.path, ProblemKind::Unreadable, why),
        }
        Ok(())
    }

    fn one(&mut self, record: &Record) -> Result<(), Failed> {
        let entry = &record.entry;
        let Some(target) = &mut self.target else { return Ok(()) };
        let (source, name) = self.source.parent(&entry.path)?;
        if entry.kind == Kind::Dir {
            let (folder, _) = target.make_parent(&entry.path)?;
            make_way(&folder, name, true)?;
            target.make_folder(&entry.path)?;
            let there = openat(&*source, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            self.filling.push((entry.clone(), Attributes::read(&there, Hold::Open)?));
            return Ok(());
        }
        let (folder, _) = target.make_parent(&entry.path)?;
        place::clear(&*folder, TEMPORARY)?;
        let first = entry.hard_link.as_ref().map(|first| self.given.get(first).unwrap_or(first).clone());
        if let Some(first) = &first {
            let linked = target
                .parent(first)
                .and_then(|(of_first, first)| linkat(&*of_first, first, &*folder, TEMPORARY, AtFlags::empty()));
            if linked.is_ok() {
                return take_place(&folder, name);
            }
            // The first name was not asked for: this one stands for it.
            self.given.insert(entry.hard_link.clone().unwrap_or_default(), entry.path.clone());
        }
        if entry.kind == Kind::File {
            self.file(record, &source, &folder, name, first.is_some())?;
        } else {
            let place = openat(&*source, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            let attributes = Attributes::read(&place, Hold::Place)?;
            if let Some(lacking) = place::make_special(&*folder, TEMPORARY, entry, &attributes)? {
                self.how.problems.add(&entry.path, ProblemKind::Unreadable, lacking);
            }
        }
        take_place(&folder, name)
    }

    fn file(
        &mut self,
        record: &Record,
        source: &OwnedFd,
        folder: &OwnedFd,
        name: &[u8],
        further_name: bool,
    ) -> Result<(), Failed> {
        let path = &record.entry.path;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let there = openat(source, name, flags, Mode::empty())?;
        let attributes = Attributes::read(&there, Hold::Open)?;
        let file = place::make_file(folder, TEMPORARY)?;
        let means = Means { pace: self.pace, progress: self.how.progress, stop: self.how.stop };
        let copied = copy(&there, &file, path, &mut self.buffer, &means).map_err(|error| match error {
            CopyError::Stopped => Failed::Stopped,
            CopyError::Reading(error) => Failed::Because(format!("reading it from the tree: {error}")),
            CopyError::Writing(error) => Failed::Because(format!("writing: {error}")),
        })?;
        if !further_name && record.content != Some(copied.hash) {
            let reason = "what the tree holds is not what was saved; it was given back all the same";
            self.how.problems.add(path, ProblemKind::Changed, reason);
        }
        if let Some(lacking) = place::finish(&file, &record.entry, &attributes, None) {
            self.how.problems.add(path, ProblemKind::Unreadable, lacking);
        }
        Ok(())
    }

    /// Finishes the folders in which `path` does not lie.
    fn leave_but(&mut self, path: &[u8]) {
        let Some(target) = &mut self.target else { return };
        while let Some((folder, attributes)) = self.filling.pop_if(|(folder, _)| !is_below(path, &folder.path)) {
            let lacking = match target.folder(&folder.path) {
                Ok(fd) => place::finish(&*fd, &folder, &attributes, None),
                Err(error) => Some(format!("finding it again: {error}")),
            };
            if let Some(lacking) = lacking {
                self.how.problems.add(&folder.path, ProblemKind::Unreadable, lacking);
            }
        }
    }
}

fn take_place(folder: &OwnedFd, name: &[u8]) -> Result<(), Failed> {
    make_way(folder, name, false)?;
    renameat(folder, TEMPORARY, folder, name)?;
    // Two names of one file: nothing was renamed.
    Ok(place::clear(folder, TEMPORARY)?)
}

/// A folder and something else cannot take each other's place: what is empty, or no folder, goes.
fn make_way(folder: &OwnedFd, name: &[u8], for_folder: bool) -> Result<(), Failed> {
    let Ok(stat) = statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) else { return Ok(()) };
    let is_folder = crate::walk::entry_of(Vec::new(), &stat).kind == Kind::Dir;
    let flags = if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    if is_folder == for_folder {
        return Ok(());
    }
    unlinkat(folder, name, flags)
        .map_err(|error| Failed::Because(format!("something else is in its place, and cannot be removed: {error}")))
}
