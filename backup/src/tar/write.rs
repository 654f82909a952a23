//! Writes an archive.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};

use super::big::Big;
use super::join::{Content, Done, Finished, Joiner};
use super::plan::{Base, Planned, Planner};
use super::segment::{Builder, Work};
use super::window::{CloseOnPanic, Window};
use crate::manifest::{self, ArchiveId, FOOTER_BYTES, Footer, Frame, Header, Item, Manifest, ManifestError};
use crate::outcome::Problems;
use crate::pace::Pace;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::walk::{Rules, Walk};

/// How many frames may be on their way beside those that the threads are at.
const SLACK: usize = 2;
/// The manifest of the archive before is read so many records at a time, and so many times ahead.
const BATCH: usize = 256;
const AHEAD: usize = 4;
/// The two empty blocks that end a tar stream.
const END: [u8; 1024] = [0; 1024];

/// What is to be written.
pub struct Request<'a> {
    /// What is saved.
    pub rules: &'a Rules,
    /// What the archive says of itself; its chain ends with it.
    pub header: Header,
    /// The manifest of the archive before, of which what did not change is not saved again. None makes a full one.
    pub base: Option<Manifest<File>>,
    /// zstd's level.
    pub level: i32,
    /// Threads that read and compress.
    pub threads: usize,
    /// Holds reading back.
    pub pace: &'a Pace,
    /// Says how to restore without this program, in the archive's last bytes.
    pub help: String,
    /// What goes wrong.
    pub problems: &'a Problems,
    /// How far it is.
    pub progress: &'a Progress,
    /// Set to end early.
    pub stop: &'a Stop,
}

/// What was written.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    /// The archive's footer.
    pub footer: Footer,
    /// How many entries of the archive before are gone.
    pub removed: u64,
    /// How many did not change.
    pub kept: u64,
}

/// Why no archive was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
    /// The archive could not be written.
    #[error("writing the archive: {0}")]
    Archive(#[source] io::Error),
    /// The manifest could not be kept.
    #[error("keeping the manifest: {0}")]
    Spool(#[source] io::Error),
    /// The manifest of the archive before cannot be used.
    #[error("comparing with the archive before: {0}")]
    Base(#[from] ManifestError),
}

/// Writes an archive to `sink`, and its manifest to `spool`, from where it is copied behind the archive's data. The
/// spool is then what the next increment is compared with. Nothing is synced.
///
/// # Errors
/// When it was told to stop, or either cannot be written; what was written of them is worth nothing then.
pub fn write(request: Request<'_>, sink: &mut dyn Write, mut spool: &File) -> Result<Written, WriteError> {
    let Request { rules, header, base, level, threads, pace, help, problems, progress, stop } = request;
    let id = header.chain.last().map_or(ArchiveId([0; 16]), |link| link.id);
    let archive = u32::try_from(header.chain.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let base = match base {
        None => None,
        Some(base) => Some((base.header.started_unix_ms, base.into_records()?)),
    };
    let manifest = manifest::Writer::new(io::BufWriter::new(spool), &header).map_err(WriteError::Spool)?;
    let threads = threads.max(1);
    let window = Window::new((threads + SLACK) as u64);
    let pool = Pool { free: Mutex::default(), level, archive, pace, problems, progress, stop };
    let (work, to_do) = sync_channel(threads);
    let to_do = Mutex::new(to_do);
    let (planned, joined) = std::thread::scope(|scope| {
        let (finished, done) = channel();
        for _ in 0..threads {
            let (finished, window, pool, to_do) = (finished.clone(), &window, &pool, &to_do);
            scope.spawn(move || {
                let _guard = CloseOnPanic(window);
                pool.work(to_do, |done| finished.send(done).is_ok());
            });
        }
        drop(finished);
        let planner = Planner::new(&window, work, problems, progress, stop);
        let base = base.map(|(started_unix_ms, records)| {
            let (sender, items) = sync_channel(AHEAD);
            scope.spawn(move || read_ahead(records, &sender));
            Base { items: Box::new(items.into_iter().flatten()), started_unix_ms }
        });
        let guard = &window;
        let planning = scope.spawn(move || {
            let _guard = CloseOnPanic(guard);
            planner.run(Walk::new(rules, problems), base)
        });
        let joiner = Joiner::new(sink, manifest, archive, problems, progress);
        let joined = joiner.run(&done, &window, |room| pool.recycle(room));
        // If it ended early, nobody waits for room any more.
        window.close();
        drop(done);
        (planning.join(), joined)
    });
    let Planned { removed, kept } = match planned {
        Ok(planned) => planned?,
        Err(panic) => std::panic::resume_unwind(panic),
    };
    let (manifest, mut frames) = joined.map_err(WriteError::Archive)?;
    if stop.is_requested() {
        return Err(WriteError::Stopped);
    }
    let (stored, frame) = compressed(&mut compressor(level).map_err(WriteError::Archive)?, &END, Vec::new())
        .map_err(WriteError::Archive)?;
    sink.write_all(&stored).map_err(WriteError::Archive)?;
    frames.push(frame);
    let finished = manifest.finish(id, frames).map_err(WriteError::Spool)?;
    let footer = finished.footer;
    finished.out.into_inner().map_err(|error| WriteError::Spool(error.into_error()))?;
    let end = footer.to_bytes(&help);
    spool.write_all(&end).and_then(|()| spool.seek(SeekFrom::Start(0))).map_err(WriteError::Spool)?;
    let copied = io::copy(&mut Read::take(spool, footer.manifest_bytes + FOOTER_BYTES as u64), sink);
    let copied = copied.map_err(WriteError::Archive)?;
    Progress::count(&progress.bytes_stored, stored.len() as u64 + copied);
    Ok(Written { footer, removed, kept })
}

/// Reads a manifest ahead of the walk, until nobody wants the rest.
fn read_ahead(
    mut records: impl Iterator<Item = Result<Item, ManifestError>>,
    sender: &SyncSender<Vec<Result<Item, ManifestError>>>,
) {
    loop {
        let batch: Vec<_> = records.by_ref().take(BATCH).collect();
        if batch.is_empty() || sender.send(batch).is_err() {
            return;
        }
    }
}

/// What the threads share.
struct Pool<'a> {
    /// Room for finished frames.
    free: Mutex<Vec<Vec<u8>>>,
    level: i32,
    archive: u32,
    pace: &'a Pace,
    problems: &'a Problems,
    progress: &'a Progress,
    stop: &'a Stop,
}

impl Pool<'_> {
    /// One thread: does what there is to do until there is nothing more.
    fn work(&self, to_do: &Mutex<Receiver<(u64, Work)>>, finished: impl Fn(Done) -> bool) {
        let mut builder = Builder::new(self.archive, self.problems, self.progress);
        let mut compressor = compressor(self.level);
        loop {
            let next = to_do.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((number, work)) = next else { return };
            let result = match &mut compressor {
                Ok(compressor) => self.build(&mut builder, compressor, work),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            if !finished(Done { number, result }) {
                return;
            }
        }
    }

    fn build(
        &self,
        builder: &mut Builder<'_>,
        compressor: &mut zstd::bulk::Compressor<'_>,
        work: Work,
    ) -> io::Result<Finished> {
        builder.raw.clear();
        let (content, read_bytes) = match work {
            Work::Segment(parts) => {
                let built = builder.segment(parts);
                let read_bytes = built.read_bytes;
                (Content::Segment(built), read_bytes)
            }
            Work::Piece(big, piece) => {
                self.progress.at(&big.entry.path);
                let (hash, read_bytes) = Big::build(&big, piece, &mut builder.raw);
                (Content::Piece(big, piece, hash), read_bytes)
            }
        };
        Progress::count(&self.progress.bytes_read, read_bytes);
        let room = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let (stored, frame) = compressed(compressor, builder.raw.filled(), room)?;
        self.pace.take(read_bytes, self.stop);
        Ok(Finished { stored, frame, content })
    }

    fn recycle(&self, room: Vec<u8>) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(room);
    }
}

fn compressor(level: i32) -> io::Result<zstd::bulk::Compressor<'static>> {
    let mut compressor = zstd::bulk::Compressor::new(level)?;
    // Without it, most flipped bits are not found by plain zstd.
    compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
    Ok(compressor)
}

/// A frame, in the room given; empty when there is nothing to put in it.
fn compressed(
    compressor: &mut zstd::bulk::Compressor<'_>,
    raw: &[u8],
    mut room: Vec<u8>,
) -> io::Result<(Vec<u8>, Frame)> {
    room.clear();
    if raw.is_empty() {
        return Ok((room, Frame { stored_bytes: 0, raw_bytes: 0, hash: [0; 32] }));
    }
    room.reserve(zstd::zstd_safe::compress_bound(raw.len()));
    compressor.compress_to_buffer(raw, &mut room)?;
    let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let (stored_bytes, raw_bytes) =
        (u32::try_from(room.len()).map_err(too_large)?, u32::try_from(raw.len()).map_err(too_large)?);
    let hash = *blake3::hash(&room).as_bytes();
    Ok((room, Frame { stored_bytes, raw_bytes, hash }))
}
