//! Goes through the sources in one order, whatever is in them.

mod left_out;
mod levels;
mod names;
mod open;
mod rules;

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, fstat, open as open_path, readlinkat, statat};
use rustix::io::Errno;

use crate::entry::{Entry, Kind};
use crate::outcome::{ProblemKind, Problems};
pub use left_out::LeftOut;
use left_out::LeftOuts;
use levels::Levels;
use names::Names;
pub use open::{entry_of, id_of, open_dir, open_file};
pub use rules::is_below;
pub use rules::{BadPattern, Rules};

/// The longest path that is saved, bytes. The kernel's own limit is that of one call, not that of a tree.
pub const MAX_PATH_BYTES: usize = 256 * 1024;

/// One thing that the walk came by, and the way to it.
#[derive(Debug)]
pub struct Visit {
    /// What it is.
    pub entry: Entry,
    /// Its name in its folder.
    pub name: CString,
    /// Its folder, open.
    pub parent: Arc<OwnedFd>,
    /// The folder itself, open, if it is one that could be opened.
    pub dir: Option<Arc<OwnedFd>>,
    /// A folder of which nobody knows what is in it, because it could not be read.
    pub unlisted: bool,
}

/// A walk through all sources: folders before their content, names by their bytes, as [`crate::entry::path_order`].
/// Symbolic links are never followed. What cannot be read becomes a problem, and the walk goes on.
#[derive(Debug)]
pub struct Walk<'a> {
    rules: &'a Rules,
    problems: &'a Problems,
    /// How many roots were begun.
    begun: usize,
    levels: Levels,
    /// The path of the innermost folder.
    path: Vec<u8>,
    /// Files with several names that are not all found yet, by device and number.
    links: HashMap<(u64, u64), FirstName>,
    /// Sources that could not be opened, and folders that were lost on the way.
    lost: Vec<Vec<u8>>,
    left_out: LeftOuts,
}

#[derive(Debug)]
struct FirstName {
    path: Box<[u8]>,
    missing: u64,
}

impl<'a> Walk<'a> {
    /// Begins one.
    pub fn new(rules: &'a Rules, problems: &'a Problems) -> Self {
        Self {
            rules,
            problems,
            begun: 0,
            levels: Levels::default(),
            path: Vec::new(),
            links: HashMap::new(),
            lost: Vec::new(),
            left_out: LeftOuts::default(),
        }
    }

    /// Lets it note what it leaves out, if that is not more than so many things.
    #[must_use]
    pub fn noting_left_out(mut self, at_most: usize) -> Self {
        self.left_out = LeftOuts::at_most(at_most);
        self
    }

    /// The sources that were begun.
    pub fn roots(&self) -> &'a [Vec<u8>] {
        &self.rules.roots
    }

    /// What was left out so far. `None` if it was more than what was to be noted.
    pub fn left_out(&self) -> Option<&[LeftOut]> {
        self.left_out.all()
    }

    /// The places so far of which nobody knows what is there: sources that could not be opened, and folders that went
    /// away under the walk.
    pub fn lost(&self) -> &[Vec<u8>] {
        &self.lost
    }

    fn begin_root(&mut self, root: &[u8]) {
        let path = Path::new(OsStr::from_bytes(root));
        let (folder, name) = match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) => (folder, name.as_bytes()),
            _ => (path, &b"."[..]),
        };
        let opened = open_path(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let begun = opened.and_then(|dir| {
            let name = CString::new(name).map_err(|_| Errno::INVAL)?;
            let stat = statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            Ok((dir, name, entry_of(Vec::new(), &stat)))
        });
        match begun {
            Ok((dir, name, entry)) => {
                if entry.kind == Kind::Symlink {
                    let reason = "this source is a symbolic link, which is saved; what it points to is not";
                    self.problems.add(root, ProblemKind::LeftOut, reason);
                }
                self.path = folder.as_os_str().as_bytes().to_vec();
                self.levels.enter(Arc::new(dir), (0, 0), entry.dev, self.path.len(), Names::one(&name));
            }
            Err(error) => {
                self.problems.add(root, ProblemKind::Unreadable, format_args!("opening this source: {error}"));
                self.lost.push(root.to_vec());
            }
        }
    }

    fn visit(&mut self, parent: Arc<OwnedFd>, name: CString, device: u64) -> Option<Visit> {
        let path = joined(&self.path, &name);
        if path.len() > MAX_PATH_BYTES {
            self.problems.add(&path, ProblemKind::Unreadable, "its path is too long");
            return self.leave_out(path);
        }
        let stat = match statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(error) => {
                self.problem(&path, "looking at it", error);
                return self.leave_out(path);
            }
        };
        let mut entry = entry_of(path, &stat);
        if self.rules.excludes(&entry.path, entry.kind == Kind::Dir) {
            return self.leave_out(entry.path);
        }
        match entry.kind {
            Kind::Socket => {
                self.problems.add(&entry.path, ProblemKind::LeftOut, "sockets are not saved");
                return self.leave_out(entry.path);
            }
            Kind::Dir => return Some(self.visit_dir(parent, name, entry, device)),
            Kind::Symlink => match readlinkat(&parent, &name, Vec::new()) {
                Ok(target) => entry.target = Some(target.into_bytes()),
                Err(error) => {
                    self.problem(&entry.path, "reading where it points", error);
                    return self.leave_out(entry.path);
                }
            },
            _ => {}
        }
        self.note_links(&mut entry);
        Some(Visit { entry, name, parent, dir: None, unlisted: false })
    }

    /// Lists a folder, if it is to be listed, so that its content comes next.
    fn visit_dir(&mut self, parent: Arc<OwnedFd>, name: CString, entry: Entry, device: u64) -> Visit {
        let opened = open_dir(&parent, &name).and_then(|dir| Ok((fstat(&dir)?, Arc::new(dir))));
        let (stat, dir) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.problem(&entry.path, "opening the folder", error);
                self.left_out.note(|| LeftOut::Content(entry.path.clone(), None));
                return Visit { entry, name, parent, dir: None, unlisted: true };
            }
        };
        let entry = entry_of(entry.path, &stat);
        let open = Some(Arc::clone(&dir));
        let mut unlisted = false;
        let is_root = self.levels.is_at_root();
        if self.rules.never_lists(&entry.path) && !is_root {
            // What belongs to the kernel is no surprise to anybody.
            self.left_out.note(|| LeftOut::Content(entry.path.clone(), None));
        } else if entry.dev != device && !self.rules.enters(&entry.path) {
            let reason = "another file system is mounted here, which is not among the sources";
            self.problems.add(&entry.path, ProblemKind::LeftOut, reason);
            self.left_out.note(|| LeftOut::Content(entry.path.clone(), None));
        } else {
            match Names::of(&dir) {
                Ok(mut names) => {
                    let rules = self.rules;
                    if let Some(marker) = rules.marker(&dir, &names).filter(|_| !is_root) {
                        names.keep_only(marker);
                        self.left_out.note(|| LeftOut::Content(entry.path.clone(), Some(marker.to_vec())));
                    }
                    self.path.clone_from(&entry.path);
                    self.levels.enter(dir, (entry.dev, entry.ino), entry.dev, self.path.len(), names);
                }
                Err(error) => {
                    self.problem(&entry.path, "listing the folder", error);
                    self.left_out.note(|| LeftOut::Content(entry.path.clone(), None));
                    unlisted = true;
                }
            }
        }
        Visit { entry, name, parent, dir: open, unlisted }
    }

    /// The first name of a file stands for it, the others point there.
    fn note_links(&mut self, entry: &mut Entry) {
        if entry.links < 2 {
            return;
        }
        let key = (entry.dev, entry.ino);
        if let Some(first) = self.links.get_mut(&key) {
            entry.hard_link = Some(first.path.to_vec());
            first.missing = first.missing.saturating_sub(1);
            if first.missing == 0 {
                self.links.remove(&key);
            }
        } else {
            let first = FirstName { path: entry.path.as_slice().into(), missing: entry.links - 1 };
            self.links.insert(key, first);
        }
    }

    fn leave_out(&mut self, path: Vec<u8>) -> Option<Visit> {
        self.left_out.note(|| LeftOut::Whole(path));
        None
    }

    fn problem(&self, path: &[u8], doing: &str, error: Errno) {
        self.problems.add(path, ProblemKind::of(error), format_args!("{doing}: {error}"));
    }
}

impl Iterator for Walk<'_> {
    type Item = Visit;

    fn next(&mut self) -> Option<Visit> {
        loop {
            let Some(level) = self.levels.innermost() else {
                let root = self.rules.roots.get(self.begun)?;
                self.begun += 1;
                self.begin_root(root);
                continue;
            };
            if let Some(name) = level.names.next() {
                let name = name.to_owned();
                let (parent, device) = (Arc::clone(level.dir), level.device);
                self.path.truncate(level.path_len);
                if let Some(visit) = self.visit(parent, name, device) {
                    return Some(visit);
                }
            } else if let Some(lost) = self.levels.leave() {
                self.path.truncate(lost.path_len);
                self.problems.add(&self.path, ProblemKind::Unreadable, lost.reason);
                self.lost.push(self.path.clone());
            }
        }
    }
}

fn joined(folder: &[u8], name: &CStr) -> Vec<u8> {
    let name = name.to_bytes();
    if name == b"." {
        return folder.to_vec();
    }
    let mut path = Vec::with_capacity(folder.len() + 1 + name.len());
    path.extend_from_slice(folder);
    if folder != b"/" {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

#[cfg(test)]
mod tests;
