//! Puts the tree together in the walk's order: further names of files, what folders are once everything is in them, and
//! the manifest.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, fchmod, linkat};
use rustix::io::Errno;

use super::attributes::Attributes;
use super::folders::Folders;
use super::job::Done;
use super::journal::Journal;
use super::place;
use crate::clock::steady;
use crate::entry::{Entry, Kind};
use crate::manifest::{ArchiveId, Finished, Item, Writer};
use crate::outcome::{ProblemKind, Problems};
use crate::walk::is_below;

/// Of folders that lead to a source, but are none and in none.
const IMPLIED_MODE: Mode = Mode::RWXU.union(Mode::RGRP).union(Mode::XGRP).union(Mode::ROTH).union(Mode::XOTH);

/// What is done in order.
pub(super) struct Assembler<'a> {
    folders: Folders,
    writer: Writer<Journal>,
    problems: &'a Problems,
    /// The folders that are being filled, the outermost first.
    filling: Vec<(Entry, Attributes)>,
    implied: BTreeSet<Vec<u8>>,
}

impl<'a> Assembler<'a> {
    pub(super) fn new(root: Arc<OwnedFd>, writer: Writer<Journal>, problems: &'a Problems) -> Self {
        Self { folders: Folders::new(root), writer, problems, filling: Vec::new(), implied: BTreeSet::new() }
    }

    /// Takes what comes next; everything before it is done.
    pub(super) fn accept(&mut self, done: Done) -> io::Result<()> {
        let Item::Entry(record) = &done.item else { return Ok(()) };
        let entry = &record.entry;
        self.leave_but(&entry.path);
        if self.filling.is_empty() {
            self.imply(&entry.path);
        }
        if let Some(first) = &entry.hard_link
            && let Err(error) = self.link(first, &entry.path)
        {
            let reason =
                format_args!("{} is another name of it, and is not there: {error}", crate::outcome::shown(first));
            self.problems.add(&entry.path, ProblemKind::Unreadable, reason);
            return Ok(());
        }
        if entry.kind == Kind::Dir {
            self.filling.push((entry.clone(), done.attributes));
        }
        self.writer.push(&done.item)?;
        self.put_down_if_due()
    }

    fn put_down_if_due(&mut self) -> io::Result<()> {
        let now = steady();
        if !self.writer.out_mut().is_due(now) {
            return Ok(());
        }
        self.writer.checkpoint()?;
        self.writer.out_mut().put_down(now)
    }

    /// Ends it; everything is on the disk then.
    pub(super) fn finish(mut self, id: ArchiveId, help: &str) -> io::Result<crate::manifest::Footer> {
        self.leave_but(b"");
        for folder in std::mem::take(&mut self.implied) {
            let fd = self.folders.folder(&folder)?;
            fchmod(&*fd, IMPLIED_MODE)?;
        }
        let Finished { out, footer } = self.writer.finish(id, Vec::new())?;
        out.finish(&footer.to_bytes(help), steady())?;
        Ok(footer)
    }

    /// Keeps what was done so far for another run.
    pub(super) fn give_up(mut self) -> io::Result<()> {
        self.writer.checkpoint()?;
        self.writer.out_mut().put_down(steady())
    }

    /// Finishes the folders in which `path` does not lie.
    fn leave_but(&mut self, path: &[u8]) {
        while let Some((folder, attributes)) = self.filling.pop_if(|(folder, _)| !is_below(path, &folder.path)) {
            match self.folders.folder(&folder.path) {
                Ok(fd) => {
                    if let Some(lacking) = place::finish(&*fd, &folder, &attributes, None) {
                        self.problems.add(&folder.path, ProblemKind::Unreadable, lacking);
                    }
                }
                Err(error) => {
                    self.problems.add(&folder.path, ProblemKind::Unreadable, format_args!("finding it again: {error}"));
                }
            }
        }
    }

    fn link(&mut self, first: &[u8], path: &[u8]) -> Result<(), Errno> {
        let (from, first_name) = self.folders.parent(first)?;
        let (to, name) = self.folders.make_parent(path)?;
        linkat(&*from, first_name, &*to, name, AtFlags::empty())
    }

    fn imply(&mut self, path: &[u8]) {
        let mut above = path;
        while let Some(slash) = above.iter().rposition(|byte| *byte == b'/').filter(|_| above.len() > 1) {
            above = above.get(..slash).unwrap_or_default();
            self.implied.insert(above.to_vec());
        }
    }
}
