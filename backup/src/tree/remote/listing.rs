//! What is to be transferred: the walk's entries as a list for rsync, and as a manifest.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::selection::{MAX_RULES, write_rules};
use crate::entry::{Kind, path_order};
use crate::manifest::{Footer, Item, Manifest, Place, Record, Writer};
use crate::outcome::Problems;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::tree::snapshot::{Snapshot, TreeError};
use crate::walk::Walk;

/// The files of one run in the job's folder of state.
pub(super) struct Spool {
    /// All paths, for `--files-from`.
    pub(super) paths: PathBuf,
    /// What is left out, for `--exclude-from`.
    pub(super) rules: PathBuf,
    /// Those that rsync would take for unchanged, and are not.
    pub(super) sly: PathBuf,
    /// The manifest that is being written.
    pub(super) manifest: PathBuf,
    /// That of the last tree.
    pub(super) last: PathBuf,
}

impl Spool {
    pub(super) fn new(state: &Path) -> Self {
        let of = |name: &str| state.join(name);
        Self {
            paths: of("tree.paths"),
            rules: of("tree.rules"),
            sly: of("tree.sly"),
            manifest: of("tree.manifest.new"),
            last: of("tree.manifest"),
        }
    }
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) entries: u64,
    pub(super) content_bytes: u64,
    pub(super) sly: u64,
    /// The sources, if rsync can go through them by itself.
    pub(super) roots: Option<Vec<Vec<u8>>>,
    pub(super) removed: u64,
    pub(super) before: Option<u64>,
}

/// Walks, and writes the lists. `last` names the tree that rsync compares with.
pub(super) fn list(
    spool: &Spool,
    snapshot: &Snapshot<'_>,
    name: &str,
    last: Option<&str>,
    problems: &Problems,
    progress: &Progress,
    stop: &Stop,
) -> Result<Listed, TreeError> {
    let spooled = |error: io::Error| TreeError::Writing { path: spool.paths.display().to_string(), source: error };
    let mut before = Before::open(&spool.last, last);
    let mut listed = Listed { before: before.as_ref().map(|before| before.entries), ..Listed::default() };
    let mut paths = BufWriter::new(File::create(&spool.paths).map_err(spooled)?);
    let mut sly = BufWriter::new(File::create(&spool.sly).map_err(spooled)?);
    let manifest = BufWriter::new(File::create(&spool.manifest).map_err(spooled)?);
    let (id, header) = snapshot.header(name).map_err(TreeError::Manifest)?;
    let mut writer = Writer::new(manifest, &header).map_err(TreeError::Manifest)?;
    let mut walk = Walk::new(snapshot.rules, problems).noting_left_out(MAX_RULES);
    for visit in walk.by_ref() {
        if stop.is_requested() {
            return Err(TreeError::Stopped);
        }
        let entry = visit.entry;
        Progress::count(&progress.entries, 1);
        let change = before.as_mut().map_or(Change::New, |before| before.change(&entry));
        if change != Change::Same && entry.kind != Kind::Dir {
            Progress::count(&progress.entries_changed, 1);
        }
        put(&mut paths, b"", &entry.path).map_err(spooled)?;
        if change == Change::Sly {
            listed.sly += 1;
            put(&mut sly, b"", &entry.path).map_err(spooled)?;
        }
        let record = Record { entry, attributes: None, content: None, place: Place::default() };
        writer.push(&Item::Entry(Box::new(record))).map_err(TreeError::Manifest)?;
    }
    if let Some(left_out) = walk.left_out() {
        let rules = || -> io::Result<()> {
            let mut rules = BufWriter::new(File::create(&spool.rules)?);
            write_rules(&mut rules, left_out)?;
            rules.flush()
        };
        rules().map_err(spooled)?;
        listed.roots = Some(walk.roots().iter().filter(|root| !walk.lost().contains(root)).cloned().collect());
    }
    paths.flush().and_then(|()| sly.flush()).map_err(spooled)?;
    let finished = writer.finish(id, Vec::new()).map_err(TreeError::Manifest)?;
    let mut out = finished.out;
    let help = format!("A tree beside this file, in {name}. Copy from it with rsync -aHAXS.");
    (out.write_all(&finished.footer.to_bytes(&help)).and_then(|()| out.flush())).map_err(TreeError::Manifest)?;
    let Footer { entries, content_bytes, .. } = finished.footer;
    (listed.entries, listed.content_bytes) = (entries, content_bytes);
    progress.bytes_expected.store(content_bytes, std::sync::atomic::Ordering::Relaxed);
    listed.removed = before.map_or(0, Before::finish);
    Ok(listed)
}

/// A list of paths below the root, each ended by a NUL.
pub(super) fn put(out: &mut impl Write, before: &[u8], path: &[u8]) -> io::Result<()> {
    let relative = path.strip_prefix(b"/").filter(|relative| !relative.is_empty()).unwrap_or(b".");
    out.write_all(before)?;
    out.write_all(relative)?;
    out.write_all(&[0])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Same,
    New,
    /// Written to, but with the same length and time: rsync does not see it.
    Sly,
}

/// The last tree's manifest, gone through together with the walk.
struct Before {
    records: Box<dyn Iterator<Item = Box<Record>>>,
    next: Option<Box<Record>>,
    entries: u64,
    removed: u64,
}

impl Before {
    /// `None` if it is not that of the tree that rsync compares with.
    fn open(path: &Path, last: Option<&str>) -> Option<Self> {
        let manifest = Manifest::open(BufReader::new(File::open(path).ok()?)).ok()?;
        if manifest.header.chain.last().map(|link| link.name.as_str()) != last {
            return None;
        }
        let entries = manifest.footer.entries;
        let records = manifest.into_records().ok()?.map_while(Result::ok).filter_map(|item| match item {
            Item::Entry(record) => Some(record),
            Item::Removed(_) => None,
        });
        let mut before = Self { records: Box::new(records), next: None, entries, removed: 0 };
        before.next = before.records.next();
        Some(before)
    }

    fn change(&mut self, entry: &crate::entry::Entry) -> Change {
        while let Some(next) = &self.next {
            match path_order(&next.entry.path, &entry.path) {
                std::cmp::Ordering::Less => self.removed += 1,
                std::cmp::Ordering::Greater => return Change::New,
                std::cmp::Ordering::Equal => {
                    let then = self.next.take();
                    self.next = self.records.next();
                    return then.map_or(Change::New, |then| compare(&then.entry, entry));
                }
            }
            self.next = self.records.next();
        }
        Change::New
    }

    fn finish(self) -> u64 {
        self.removed + u64::from(self.next.is_some()) + self.records.count() as u64
    }
}

fn compare(then: &crate::entry::Entry, now: &crate::entry::Entry) -> Change {
    // It compares whole seconds.
    let seen_by_rsync = then.kind != now.kind || then.size != now.size || then.mtime.seconds != now.mtime.seconds;
    if (then.ctime, then.ino) == (now.ctime, now.ino) && !seen_by_rsync {
        Change::Same
    } else if seen_by_rsync || now.kind != Kind::File {
        Change::New
    } else {
        Change::Sly
    }
}
