//! One thread's work: some megabytes of the tar stream, from the files to a finished frame.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::fstat;
use rustix::io::Errno;

use super::attributes::{AttributeReader, Attributes, Bearer};
use super::big::Big;
use super::input::Input;
use super::pax::put_head;
use super::{FRAME_BYTES, padding, sparse};
use crate::clock::unix_ms;
use crate::entry::{Entry, FileTime, Kind};
use crate::manifest::{Item, Place, Record};
use crate::outcome::{ProblemKind, Problems};
use crate::progress::Progress;
use crate::walk::{Visit, entry_of, open_file};

/// How often a file that changes while it is read is read, before what was read last is kept.
const ATTEMPTS: u32 = 3;
/// How far apart two changes of a file may be that have the same time: file systems take theirs from a clock that moves in
/// ticks, of up to 10 ms.
const TICK: Duration = Duration::from_millis(20);

/// A part of a segment.
#[derive(Debug)]
pub(super) enum Part {
    /// To be read and saved.
    Read(Box<Visit>),
    /// In the manifest as it is: it did not change, or is gone.
    Known(Item),
}

/// A piece of work, in the order of the walk.
#[derive(Debug)]
pub(super) enum Work {
    /// Several small things.
    Segment(Vec<Part>),
    /// A part of one big file.
    Piece(Arc<Big>, u64),
}

/// Bytes of the tar stream, in room that is used again. It always holds more than is in use, so that nothing is
/// cleared before it is read over.
#[derive(Debug, Default)]
pub(super) struct Raw {
    bytes: Vec<u8>,
    len: usize,
}

impl Raw {
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) fn filled(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// So much room at the end, with anything in it.
    pub(super) fn room(&mut self, len: usize) -> &mut [u8] {
        let start = self.len;
        self.len += len;
        if self.bytes.len() < self.len {
            self.bytes.resize(self.len, 0);
        }
        self.bytes.get_mut(start..self.len).unwrap_or_default()
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    pub(super) fn put_zeros(&mut self, count: usize) {
        self.room(count).fill(0);
    }
}

/// What one thread builds with.
pub(super) struct Builder<'a> {
    pub(super) raw: Raw,
    head: Vec<u8>,
    attributes: AttributeReader,
    problems: &'a Problems,
    progress: &'a Progress,
    /// The number of the archive that is written, in its chain.
    archive: u32,
}

/// What came of a segment, but for its bytes.
#[derive(Debug, Default)]
pub(super) struct Built {
    /// For the manifest; in which frame those of this archive are is not known yet.
    pub(super) items: Vec<Item>,
    /// Files with several names of which nothing could be saved, by device and number.
    pub(super) lost: Vec<(u64, u64)>,
    /// How much was read, bytes.
    pub(super) read_bytes: u64,
}

impl<'a> Builder<'a> {
    pub(super) fn new(archive: u32, problems: &'a Problems, progress: &'a Progress) -> Self {
        let (raw, head) = (Raw::default(), Vec::new());
        Self { raw, head, attributes: AttributeReader::new(), problems, progress, archive }
    }

    pub(super) fn segment(&mut self, parts: Vec<Part>) -> Built {
        let mut built = Built::default();
        for part in parts {
            match part {
                Part::Known(item) => built.items.push(item),
                Part::Read(visit) => {
                    let start = self.raw.len;
                    let key = (visit.entry.links > 1).then_some((visit.entry.dev, visit.entry.ino));
                    if let Some(record) = self.visit(*visit, &mut built.read_bytes) {
                        built.items.push(Item::Entry(Box::new(record)));
                    } else {
                        self.raw.len = start;
                        built.lost.extend(key);
                    }
                }
            }
        }
        built
    }

    fn visit(&mut self, visit: Visit, read_bytes: &mut u64) -> Option<Record> {
        if visit.entry.kind == Kind::File && visit.entry.hard_link.is_none() {
            return self.file(visit, read_bytes);
        }
        let offset = self.raw.len;
        let attributes = if visit.entry.hard_link.is_some() {
            Attributes::default()
        } else {
            let named = Bearer::Named(visit.parent.as_fd(), &visit.name);
            self.attributes(visit.dir.as_ref().map_or(named, Bearer::open), &visit.entry.path)
        };
        self.put_head(&visit.entry, &attributes, 0, false);
        Some(self.record(visit.entry, &attributes, None, offset))
    }

    /// Saves a small file: read as a whole, and again if it changed meanwhile.
    fn file(&mut self, visit: Visit, read_bytes: &mut u64) -> Option<Record> {
        self.progress.at(&visit.entry.path);
        let (start, path) = (self.raw.len, visit.entry.path);
        for attempt in 1..=ATTEMPTS {
            self.raw.len = start;
            let begun_ms = unix_ms();
            let (fd, entry) = opened(visit.parent.as_fd(), &visit.name, &path, self.problems)?;
            let before = (entry.size, entry.mtime, entry.ctime);
            let attributes = self.attributes(Bearer::open(&fd), &path);
            let (entry, content, whole) = match self.content(&fd, entry, &attributes) {
                Ok(content) => content,
                Err(error) => {
                    self.problems.add(&path, ProblemKind::Unreadable, format_args!("reading it: {error}"));
                    return None;
                }
            };
            *read_bytes += entry.size;
            let after = fstat(&fd).map(|stat| entry_of(Vec::new(), &stat));
            let fresh = is_fresh(before.2, begun_ms, unix_ms());
            let same = whole && !fresh && after.is_ok_and(|after| (after.size, after.mtime, after.ctime) == before);
            if !same && attempt < ATTEMPTS {
                if fresh {
                    sleep(TICK);
                }
                continue;
            }
            if !same {
                let reason = format_args!("changed while it was read, {ATTEMPTS} times");
                self.problems.add(&path, ProblemKind::Changed, reason);
            }
            return Some(self.record(entry, &attributes, Some(content), start));
        }
        None
    }

    /// Head and data, of exactly the size that the head says. Returns the content's hash, and whether that was all.
    fn content(
        &mut self,
        fd: &OwnedFd,
        mut entry: Entry,
        attributes: &Attributes,
    ) -> Result<(Entry, [u8; 32], bool), Errno> {
        // It was small when the walk came by, and must fit this frame.
        let grown = entry.size > FRAME_BYTES as u64;
        entry.size = entry.size.min(FRAME_BYTES as u64);
        let mut input = Input::new(fd.as_fd());
        let mut whole = !grown;
        let extents = if grown || entry_blocks_fill(fd, entry.size) { None } else { sparse::extents(fd, entry.size) };
        let data_start = match &extents {
            Some(extents) => {
                let map = sparse::map_text(extents, entry.size);
                let data: u64 = extents.iter().map(|extent| extent.len).sum();
                self.put_head(&entry, attributes, map.len() as u64 + data, true);
                let start = self.raw.len;
                self.raw.put(&map);
                start
            }
            None => {
                self.put_head(&entry, attributes, entry.size, false);
                self.raw.len
            }
        };
        let plain = [sparse::Extent { offset: 0, len: entry.size }];
        for extent in extents.as_deref().unwrap_or(&plain) {
            // Extents lie within the size, which is small.
            let room = self.raw.room(extent.len as usize);
            let filled = input.read_at(room, extent.offset)?;
            if let Some(missing) = room.get_mut(filled..).filter(|missing| !missing.is_empty()) {
                missing.fill(0);
                whole = false;
            }
        }
        input.done();
        let data = self.raw.filled().get(data_start..).unwrap_or_default();
        let hash = *blake3::hash(data).as_bytes();
        let missing = padding(data.len() as u64);
        self.raw.put_zeros(missing);
        Ok((entry, hash, whole))
    }

    fn put_head(&mut self, entry: &Entry, attributes: &Attributes, data_bytes: u64, sparse: bool) {
        self.head.clear();
        put_head(&mut self.head, entry, attributes, data_bytes, sparse);
        self.raw.put(&self.head);
    }

    fn record(&self, entry: Entry, attributes: &Attributes, content: Option<[u8; 32]>, offset: usize) -> Record {
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        let place = Place { archive: self.archive, frame: 0, offset };
        Record { entry, attributes: attributes.hash(), content, place }
    }

    fn attributes(&mut self, bearer: Bearer<'_>, path: &[u8]) -> Attributes {
        read_attributes(&mut self.attributes, bearer, path, self.problems)
    }
}

pub(super) fn read_attributes(
    reader: &mut AttributeReader,
    bearer: Bearer<'_>,
    path: &[u8],
    problems: &Problems,
) -> Attributes {
    reader.read(bearer).unwrap_or_else(|error| {
        problems.add(path, ProblemKind::of(error), format_args!("reading its extended attributes: {error}"));
        Attributes::default()
    })
}

/// Opens a file that the walk came by, and looks at it again.
pub(super) fn opened(
    parent: impl AsFd,
    name: &std::ffi::CStr,
    path: &[u8],
    problems: &Problems,
) -> Option<(OwnedFd, Entry)> {
    let opened = open_file(parent, name).and_then(|fd| Ok((entry_of(path.to_vec(), &fstat(&fd)?), fd)));
    match opened {
        Ok((entry, fd)) if entry.kind == Kind::File => Some((fd, entry)),
        Ok(_) | Err(Errno::LOOP | Errno::NXIO) => {
            problems.add(path, ProblemKind::Vanished, "something else took its place");
            None
        }
        Err(error) => {
            problems.add(path, ProblemKind::of(error), format_args!("opening it: {error}"));
            None
        }
    }
}

/// Whether a file has so much room on the disk that it can have no holes.
pub(super) fn entry_blocks_fill(fd: impl AsFd, size: u64) -> bool {
    fstat(fd).is_ok_and(|stat| u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512) >= size)
}

/// Whether a file was changed so shortly before it was read that a change while it was read could have the same time. Times
/// ahead of the clock tell nothing.
fn is_fresh(changed: FileTime, begun_ms: i64, ended_ms: i64) -> bool {
    let tick_ms = i64::try_from(TICK.as_millis()).unwrap_or(i64::MAX);
    (FileTime::from_unix_ms(begun_ms.saturating_sub(tick_ms))..=FileTime::from_unix_ms(ended_ms)).contains(&changed)
}

#[cfg(test)]
mod tests {
    use super::{FileTime, is_fresh};

    #[test]
    fn fresh_is_what_was_changed_a_tick_before_or_since() {
        for (changed_ms, fresh) in [(979, false), (980, true), (1000, true), (1010, true), (1011, false), (0, false)] {
            assert_eq!(is_fresh(FileTime::from_unix_ms(changed_ms), 1000, 1010), fresh, "{changed_ms}");
        }
    }
}
