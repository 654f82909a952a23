//! Joins finished frames in their order, and writes the manifest alongside.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::big::{Big, PieceHash, joined};
use super::segment::Built;
use super::window::Window;
use crate::manifest::{Frame, Item, Place, Record, Writer};
use crate::outcome::{ProblemKind, Problems};
use crate::progress::Progress;

/// What one thread has done.
pub(super) struct Done {
    pub(super) number: u64,
    pub(super) result: io::Result<Finished>,
}

/// A frame, and what is in it.
pub(super) struct Finished {
    /// Empty when nothing is in it.
    pub(super) stored: Vec<u8>,
    pub(super) frame: Frame,
    pub(super) content: Content,
}

pub(super) enum Content {
    Segment(Built),
    Piece(Arc<Big>, u64, PieceHash),
}

/// Writes what is done, in order.
pub(super) struct Joiner<'a, W> {
    sink: &'a mut dyn Write,
    manifest: Writer<W>,
    problems: &'a Problems,
    progress: &'a Progress,
    /// The number of this archive in its chain.
    archive: u32,
    frames: Vec<Frame>,
    lost: HashSet<(u64, u64)>,
    /// The frame in which the big file begins that is being written, and what its pieces hash to.
    big: (u32, Vec<PieceHash>),
}

impl<'a, W: Write> Joiner<'a, W> {
    pub(super) fn new(
        sink: &'a mut dyn Write,
        manifest: Writer<W>,
        archive: u32,
        problems: &'a Problems,
        progress: &'a Progress,
    ) -> Self {
        let big = (0, Vec::new());
        Self { sink, manifest, problems, progress, archive, frames: Vec::new(), lost: HashSet::new(), big }
    }

    /// Writes until all threads have ended. `recycle` takes room that is free again.
    pub(super) fn run(
        mut self,
        done: &Receiver<Done>,
        window: &Window,
        recycle: impl Fn(Vec<u8>),
    ) -> io::Result<(Writer<W>, Vec<Frame>)> {
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        for done in done {
            waiting.insert(done.number, done.result);
            while let Some(result) = waiting.remove(&next) {
                recycle(self.take(result?)?);
                next += 1;
                window.written(next);
            }
        }
        Ok((self.manifest, self.frames))
    }

    fn take(&mut self, finished: Finished) -> io::Result<Vec<u8>> {
        let Finished { stored, frame, content } = finished;
        let number = u32::try_from(self.frames.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        if !stored.is_empty() {
            self.sink.write_all(&stored)?;
            Progress::count(&self.progress.bytes_stored, stored.len() as u64);
            self.frames.push(frame);
        }
        match content {
            Content::Segment(built) => self.take_segment(built, number)?,
            Content::Piece(big, piece, hash) => self.take_piece(&big, piece, hash, number)?,
        }
        Ok(stored)
    }

    fn take_segment(&mut self, built: Built, frame: u32) -> io::Result<()> {
        self.lost.extend(built.lost);
        for mut item in built.items {
            if let Item::Entry(record) = &mut item {
                if record.place.archive == self.archive {
                    record.place.frame = frame;
                }
                let key = (record.entry.dev, record.entry.ino);
                if record.entry.hard_link.is_some() && self.lost.contains(&key) {
                    let reason = "its first name could not be saved";
                    self.problems.add(&record.entry.path, ProblemKind::Unreadable, reason);
                    continue;
                }
            }
            self.manifest.push(&item)?;
        }
        Ok(())
    }

    fn take_piece(&mut self, big: &Big, piece: u64, hash: PieceHash, frame: u32) -> io::Result<()> {
        if piece == 0 {
            self.big = (frame, Vec::new());
        }
        self.big.1.push(hash);
        if piece + 1 < big.pieces() {
            return Ok(());
        }
        if !big.judge(self.problems) {
            self.lost.insert((big.entry.dev, big.entry.ino));
            return Ok(());
        }
        let place = Place { archive: self.archive, frame: self.big.0, offset: 0 };
        let (entry, attributes) = (big.entry.clone(), big.attributes.hash());
        let record = Record { entry, attributes, content: joined(&self.big.1), place };
        self.manifest.push(&Item::Entry(Box::new(record)))
    }
}
