//! Walks, compares with the last manifest and hands out work.

use std::iter::Peekable;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::FRAME_BYTES;
use super::attributes::AttributeReader;
use super::big::Big;
use super::segment::{Part, Work};
use super::window::Window;
use crate::entry::{Entry, FileTime, Kind, path_order};
use crate::manifest::{Item, ManifestError, Record};
use crate::outcome::Problems;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::walk::{Visit, Walk, is_below};

/// About what a member's head takes, bytes.
const HEAD_BYTES: usize = 1536;
/// A segment is closed when it has so many parts, or holds so many folders open.
const MAX_PARTS: usize = 8192;
const MAX_FOLDERS: usize = 256;
/// What changed so shortly before the last run began is read again: a file system's clock may be coarse.
const COARSE_MS: i64 = 50;

/// The manifest of the archive before, and when its run began.
pub(super) struct Base {
    pub(super) items: Box<dyn Iterator<Item = Result<Item, ManifestError>> + Send>,
    pub(super) started_unix_ms: i64,
}

/// How the planning ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) removed: u64,
    pub(super) kept: u64,
}

/// Hands out work.
pub(super) struct Planner<'a> {
    pub(super) window: &'a Window,
    pub(super) work: SyncSender<(u64, Work)>,
    pub(super) problems: &'a Problems,
    pub(super) progress: &'a Progress,
    pub(super) stop: &'a Stop,
    number: u64,
    parts: Vec<Part>,
    bytes: usize,
    folders: usize,
    /// A folder of which nobody knows what is in it.
    unlisted: Option<Vec<u8>>,
    planned: Planned,
}

/// Nobody wants the rest.
struct Over;

impl<'a> Planner<'a> {
    pub(super) fn new(
        window: &'a Window,
        work: SyncSender<(u64, Work)>,
        problems: &'a Problems,
        progress: &'a Progress,
        stop: &'a Stop,
    ) -> Self {
        let planned = Planned::default();
        let (number, parts, bytes, folders, unlisted) = (0, Vec::new(), 0, 0, None);
        Self { window, work, problems, progress, stop, number, parts, bytes, folders, unlisted, planned }
    }

    /// Walks to the end, or until nobody wants the rest.
    pub(super) fn run(mut self, mut walk: Walk<'_>, base: Option<Base>) -> Result<Planned, ManifestError> {
        let started = base.as_ref().map_or(0, |base| base.started_unix_ms);
        let unsure_from = FileTime::from_unix_ms(started.saturating_sub(COARSE_MS));
        let mut base = base.map(|base| base.items.peekable());
        let mut reader = AttributeReader::new();
        while let Some(visit) = walk.next() {
            Progress::count(&self.progress.entries, 1);
            let before = self.known(&mut base, &walk, Some(&visit.entry))?;
            if visit.unlisted {
                self.unlisted = Some(visit.entry.path.clone());
            }
            let handed_out = match before {
                Some(record) if is_unchanged(&record.entry, &visit.entry, unsure_from) => {
                    self.planned.kept += 1;
                    self.add(Part::Known(Item::Entry(record)), 0)
                }
                _ => self.read(visit, &mut reader),
            };
            if handed_out.is_err() || self.stop.is_requested() {
                return Ok(self.planned);
            }
        }
        self.known(&mut base, &walk, None)?;
        let _ = self.close_segment();
        Ok(self.planned)
    }

    /// Goes on in the manifest of the archive before up to an entry of the walk: what is passed is gone. Returns what
    /// that manifest says of the entry.
    fn known<I>(
        &mut self,
        base: &mut Option<Peekable<I>>,
        walk: &Walk<'_>,
        upto: Option<&Entry>,
    ) -> Result<Option<Box<Record>>, ManifestError>
    where
        I: Iterator<Item = Result<Item, ManifestError>>,
    {
        let Some(base) = base else { return Ok(None) };
        let passed = |item: &Result<Item, ManifestError>| match (item, upto) {
            (Ok(item), Some(entry)) => path_order(item.path(), &entry.path).is_le(),
            _ => true,
        };
        while let Some(item) = base.next_if(passed) {
            match item? {
                Item::Entry(record) if upto.is_some_and(|entry| entry.path == record.entry.path) => {
                    return Ok(Some(record));
                }
                Item::Entry(record) => {
                    let path = record.entry.path;
                    let unknown = |above: &Vec<u8>| path == *above || is_below(&path, above);
                    if !self.unlisted.iter().any(unknown) && !walk.lost().iter().any(unknown) {
                        self.planned.removed += 1;
                        // Nobody wants the rest: the walk finds out.
                        let _ = self.add(Part::Known(Item::Removed(path)), 0);
                    }
                }
                Item::Removed(_) => {}
            }
        }
        Ok(None)
    }

    fn read(&mut self, visit: Visit, reader: &mut AttributeReader) -> Result<(), Over> {
        Progress::count(&self.progress.entries_changed, 1);
        let has_data = visit.entry.kind == Kind::File && visit.entry.hard_link.is_none();
        let size = if has_data { visit.entry.size } else { 0 };
        if size > FRAME_BYTES as u64 {
            self.close_segment()?;
            let Some(big) = Big::open(visit, reader, self.problems) else { return Ok(()) };
            let big = Arc::new(big);
            return (0..big.pieces()).try_for_each(|piece| self.hand_out(Work::Piece(Arc::clone(&big), piece)));
        }
        // Not more than a frame.
        let size = size as usize;
        if self.bytes > FRAME_BYTES / 4 && self.bytes + size > FRAME_BYTES + FRAME_BYTES / 4 {
            self.close_segment()?;
        }
        self.folders += usize::from(visit.entry.kind == Kind::Dir);
        self.add(Part::Read(Box::new(visit)), size + HEAD_BYTES)
    }

    fn add(&mut self, part: Part, bytes: usize) -> Result<(), Over> {
        self.parts.push(part);
        self.bytes += bytes;
        let full = self.bytes >= FRAME_BYTES || self.parts.len() >= MAX_PARTS || self.folders >= MAX_FOLDERS;
        if full { self.close_segment() } else { Ok(()) }
    }

    fn close_segment(&mut self) -> Result<(), Over> {
        (self.bytes, self.folders) = (0, 0);
        if self.parts.is_empty() {
            return Ok(());
        }
        let parts = std::mem::take(&mut self.parts);
        self.hand_out(Work::Segment(parts))
    }

    fn hand_out(&mut self, work: Work) -> Result<(), Over> {
        if !self.window.wait(self.number) || self.stop.is_requested() {
            return Err(Over);
        }
        self.work.send((self.number, work)).map_err(|_| Over)?;
        self.number += 1;
        Ok(())
    }
}

/// Whether something is still what the archive before has of it. The device's number is no sign: it changes with each
/// mount of some file systems.
fn is_unchanged(before: &Entry, now: &Entry, unsure_from: FileTime) -> bool {
    let same = |entry: &Entry| {
        (entry.kind, entry.mode, entry.uid, entry.gid, entry.size, entry.mtime, entry.ctime, entry.ino, entry.rdev)
    };
    same(before) == same(now)
        && before.target == now.target
        && before.hard_link == now.hard_link
        && before.ctime < unsure_from
}

#[cfg(test)]
mod tests {
    use super::is_unchanged;
    use crate::entry::{Entry, FileTime, Kind};

    #[test]
    fn what_makes_a_file_another_one() {
        let at = |seconds| FileTime { seconds, nanoseconds: 5 };
        let before = Entry {
            path: b"/a".to_vec(),
            kind: Kind::File,
            mode: 0o644,
            uid: 1,
            gid: 2,
            size: 3,
            mtime: at(100),
            ctime: at(200),
            ino: 4,
            dev: 5,
            rdev: (0, 0),
            links: 1,
            target: None,
            hard_link: None,
        };
        let late = at(300);
        assert!(is_unchanged(&before, &before, late));
        assert!(is_unchanged(&before, &Entry { dev: 6, links: 2, ..before.clone() }, late), "mounted again");
        assert!(!is_unchanged(&before, &before, at(200)), "changed while the run before was on its way");
        for (what, now) in [
            ("same size and time, but written", Entry { ctime: at(201), ..before.clone() }),
            ("another file in its place", Entry { ino: 7, ..before.clone() }),
            ("longer", Entry { size: 4, ..before.clone() }),
            ("touched", Entry { mtime: at(101), ..before.clone() }),
            ("other permissions", Entry { mode: 0o600, ..before.clone() }),
            ("another owner", Entry { uid: 9, ..before.clone() }),
            ("another kind", Entry { kind: Kind::Fifo, ..before.clone() }),
            ("now a further name", Entry { hard_link: Some(b"/0".to_vec()), ..before.clone() }),
        ] {
            assert!(!is_unchanged(&before, &now, late), "{what}");
        }
    }
}
