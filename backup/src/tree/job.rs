//! What a worker does with one thing that the walk came by.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, linkat, openat, statat};
use rustix::io::Errno;

use super::attributes::{Attributes, Hold};
use super::copy::{self, BUFFER_BYTES, CopyError, Means};
use super::place;
use crate::entry::Kind;
use crate::manifest::{Item, Place, Record};
use crate::outcome::{ProblemKind, Problems};
use crate::progress::Progress;
use crate::walk::{Visit, open_file};

/// One thing to do.
pub(super) struct Job {
    pub(super) visit: Visit,
    /// The folder in the new tree.
    pub(super) target: Arc<OwnedFd>,
    /// The folder in an earlier tree in which it is as it is now, and what was written of it then.
    pub(super) same: Option<(Arc<OwnedFd>, Box<Record>)>,
}

/// What is there now.
pub(super) struct Done {
    pub(super) item: Item,
    /// Of folders, which get theirs when all that is in them is there.
    pub(super) attributes: Attributes,
}

/// A worker's own things.
pub(super) struct Worker<'a> {
    pub(super) means: Means<'a>,
    pub(super) problems: &'a Problems,
    /// Whose a new file in the tree is.
    born_to: Option<(u32, u32)>,
    buffer: Vec<u8>,
}

/// A tree that cannot be written to any more.
#[derive(Debug, thiserror::Error)]
#[error("writing {path}: {source}")]
pub(super) struct Broken {
    pub(super) path: String,
    pub(super) source: Errno,
}

impl<'a> Worker<'a> {
    pub(super) fn new(means: Means<'a>, problems: &'a Problems, born_to: Option<(u32, u32)>) -> Self {
        Self { means, problems, born_to, buffer: vec![0; BUFFER_BYTES] }
    }

    /// Does it. `None` if it is not in the tree.
    pub(super) fn perform(&mut self, job: Job) -> Result<Option<Done>, Broken> {
        let name = job.visit.name.as_bytes();
        Progress::count(&self.means.progress.entries, 1);
        if let Some((folder, record)) = &job.same
            && link(folder, &job.target, name, record)
        {
            let record = Record { entry: job.visit.entry, ..(**record).clone() };
            return Ok(Some(Done { item: Item::Entry(Box::new(record)), attributes: Attributes::default() }));
        }
        if job.visit.entry.hard_link.is_none() && job.visit.entry.kind != Kind::Dir {
            Progress::count(&self.means.progress.entries_changed, 1);
        }
        self.means.progress.at(&job.visit.entry.path);
        match job.visit.entry.kind {
            Kind::Dir => Ok(Some(self.folder(job.visit))),
            // Its first name may not be there yet: it is linked when everything before it is.
            _ if job.visit.entry.hard_link.is_some() => Ok(Some(done(job.visit, Attributes::default(), None))),
            Kind::File => self.file(&job.visit, &job.target),
            _ => self.special(job.visit, &job.target),
        }
    }

    fn folder(&self, visit: Visit) -> Done {
        let read = visit.dir.as_ref().map(|dir| Attributes::read(&**dir, Hold::Open));
        let attributes = read.transpose().unwrap_or_else(|error| {
            self.unreadable(&visit.entry.path, "reading its attributes", error);
            None
        });
        done(visit, attributes.unwrap_or_default(), None)
    }

    fn file(&mut self, visit: &Visit, target: &OwnedFd) -> Result<Option<Done>, Broken> {
        let path = &visit.entry.path;
        let source = match open_file(&*visit.parent, &visit.name) {
            Ok(source) => source,
            Err(error) => {
                self.unreadable(path, "opening", error);
                return Ok(None);
            }
        };
        let attributes = match Attributes::read(&source, Hold::Open) {
            Ok(attributes) => attributes,
            Err(error) => {
                self.unreadable(path, "reading its attributes", error);
                Attributes::default()
            }
        };
        let name = visit.name.as_bytes();
        let file = match place::make_file(target, name) {
            Ok(file) => file,
            Err(error) => return self.untaken(path, error),
        };
        let copied = match copy::copy(&source, &file, path, &mut self.buffer, &self.means) {
            Ok(copied) => copied,
            Err(CopyError::Stopped) => return Ok(None),
            Err(CopyError::Writing(error)) => {
                place::clear(target, name).map_err(|source| broken(path, source))?;
                return self.untaken(path, error);
            }
            Err(CopyError::Reading(error)) => {
                self.unreadable(path, "reading", error);
                place::clear(target, name).map_err(|source| broken(path, source))?;
                return Ok(None);
            }
        };
        if copied.entry.kind != Kind::File {
            self.problems.add(path, ProblemKind::Vanished, "something else took its place");
            place::clear(target, name).map_err(|source| broken(path, source))?;
            return Ok(None);
        }
        if copied.changed {
            self.problems.add(path, ProblemKind::Changed, "it changed each time that it was read");
        }
        if let Some(lacking) = place::finish(&file, &copied.entry, &attributes, self.born_to) {
            self.problems.add(path, ProblemKind::Unreadable, lacking);
        }
        let record = Record {
            entry: copied.entry,
            attributes: attributes.hash(),
            content: Some(copied.hash),
            place: Place::default(),
        };
        Ok(Some(Done { item: Item::Entry(Box::new(record)), attributes }))
    }

    fn special(&self, visit: Visit, target: &OwnedFd) -> Result<Option<Done>, Broken> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let read = openat(&*visit.parent, &visit.name, flags, Mode::empty())
            .and_then(|place| Attributes::read(place, Hold::Place));
        let attributes = match read {
            Ok(attributes) => attributes,
            Err(error) => {
                self.unreadable(&visit.entry.path, "reading its attributes", error);
                return Ok(None);
            }
        };
        match place::make_special(target, visit.name.as_bytes(), &visit.entry, &attributes) {
            Ok(None) => {}
            Ok(Some(lacking)) => self.problems.add(&visit.entry.path, ProblemKind::Unreadable, lacking),
            Err(error) => return self.untaken(&visit.entry.path, error),
        }
        let hash = attributes.hash();
        Ok(Some(done(visit, attributes, hash)))
    }

    /// Many shares take no devices, some names or very large files not either: the rest is saved. But a repository that
    /// takes nothing any more ends the run.
    fn untaken(&self, path: &[u8], error: Errno) -> Result<Option<Done>, Broken> {
        if !concerns_one_thing(error) {
            return Err(broken(path, error));
        }
        self.problems.add(path, ProblemKind::Unreadable, format_args!("the repository does not take it: {error}"));
        Ok(None)
    }

    fn unreadable(&self, path: &[u8], doing: &str, error: Errno) {
        self.problems.add(path, ProblemKind::of(error), format_args!("{doing}: {error}"));
    }
}

/// Whether another thing may be taken all the same.
pub(super) fn concerns_one_thing(error: Errno) -> bool {
    let of_one = [
        Errno::PERM,
        Errno::ACCESS,
        Errno::OPNOTSUPP,
        Errno::NOSYS,
        Errno::INVAL,
        Errno::NAMETOOLONG,
        Errno::ILSEQ,
        Errno::FBIG,
        Errno::NOENT,
        Errno::NOTDIR,
    ];
    of_one.contains(&error)
}

fn done(visit: Visit, attributes: Attributes, hash: Option<[u8; 16]>) -> Done {
    let hash = hash.or_else(|| attributes.hash());
    let record = Record { entry: visit.entry, attributes: hash, content: None, place: Place::default() };
    Done { item: Item::Entry(Box::new(record)), attributes }
}

fn broken(path: &[u8], source: Errno) -> Broken {
    Broken { path: crate::outcome::shown(path), source }
}

/// Shares what an earlier tree has, if that is still what it was.
fn link(earlier: &OwnedFd, target: &OwnedFd, name: &[u8], record: &Record) -> bool {
    let Ok(stat) = statat(earlier, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
    let there = crate::walk::entry_of(Vec::new(), &stat);
    let entry = &record.entry;
    // The repository's file system may keep whole seconds only.
    let as_it_was = (there.kind, there.size, there.mtime.seconds) == (entry.kind, entry.size, entry.mtime.seconds);
    as_it_was && linkat(earlier, name, target, name, AtFlags::empty()).is_ok()
}
