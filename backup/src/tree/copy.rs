//! Copies the content of one file, and says what it was.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Advice, SeekFrom, fadvise, fstat, ftruncate, seek};
use rustix::io::{Errno, pread, pwrite};

use super::content::ContentHash;
use crate::entry::Entry;
use crate::pace::Pace;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::walk::entry_of;

/// How much is read at once, bytes.
pub(super) const BUFFER_BYTES: usize = 256 * 1024;
/// How often a file that changes while it is read is read again.
const MAX_READS: u32 = 3;
/// Of files that are longer than this the system is told that they are not needed again, bytes.
const LARGE_BYTES: u64 = 8 * 1024 * 1024;
/// What `st_blocks` counts in, bytes.
const BLOCK_BYTES: u64 = 512;

/// What copying needs besides the file.
pub(super) struct Means<'a> {
    pub(super) pace: &'a Pace,
    pub(super) progress: &'a Progress,
    pub(super) stop: &'a Stop,
}

/// What was copied.
pub(super) struct Copied {
    /// The file as it was before its content was read.
    pub(super) entry: Entry,
    pub(super) hash: [u8; 32],
    /// It never held still; what was copied is what was there the last time.
    pub(super) changed: bool,
}

/// Why a file was not copied.
#[derive(Debug)]
pub(super) enum CopyError {
    Reading(Errno),
    Writing(Errno),
    Stopped,
}

/// Copies `source` into `target`, which is empty. `path` becomes the entry's.
pub(super) fn copy(
    source: &OwnedFd,
    target: &OwnedFd,
    path: &[u8],
    buffer: &mut [u8],
    means: &Means<'_>,
) -> Result<Copied, CopyError> {
    let mut reads = 1;
    loop {
        let before = fstat(source).map_err(CopyError::Reading)?;
        let entry = entry_of(path.to_vec(), &before);
        let blocks = u64::try_from(before.st_blocks).unwrap_or(u64::MAX);
        let has_holes = blocks.saturating_mul(BLOCK_BYTES) < entry.size;
        let hash = copy_once(source, target, entry.size, has_holes, buffer, means)?;
        let after = entry_of(path.to_vec(), &fstat(source).map_err(CopyError::Reading)?);
        let changed =
            (after.size, after.mtime, after.ctime) != (entry.size, entry.mtime, entry.ctime) || hash.is_none();
        if let Some(hash) = hash.filter(|_| !changed || reads == MAX_READS) {
            if entry.size > LARGE_BYTES {
                // Only advice.
                let _ = fadvise(source, 0, None, Advice::DontNeed);
            }
            return Ok(Copied { entry, hash, changed });
        }
        if reads == MAX_READS {
            // It became shorter each time: what is missing is filled with zeros, as its size says.
            let hash = hash_of_target(target, entry.size, buffer, means.stop)?;
            return Ok(Copied { entry, hash, changed: true });
        }
        reads += 1;
        ftruncate(target, 0).map_err(CopyError::Writing)?;
    }
}

/// `None` if the file became shorter than it was.
fn copy_once(
    source: &OwnedFd,
    target: &OwnedFd,
    size: u64,
    has_holes: bool,
    buffer: &mut [u8],
    means: &Means<'_>,
) -> Result<Option<[u8; 32]>, CopyError> {
    let mut hash = ContentHash::new();
    let mut at = 0;
    let mut written_to = 0;
    while at < size {
        let (start, end) = if has_holes { segment(source, at, size)? } else { (at, size) };
        hash.hole(start - at);
        at = start;
        while at < end {
            if means.stop.is_requested() {
                return Err(CopyError::Stopped);
            }
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            means.pace.take(wanted as u64, means.stop);
            let piece = buffer.get_mut(..wanted).unwrap_or_default();
            let read = retry(|| pread(source, &mut *piece, at)).map_err(CopyError::Reading)?;
            let piece = piece.get(..read).unwrap_or_default();
            if piece.is_empty() {
                ftruncate(target, size).map_err(CopyError::Writing)?;
                return Ok(None);
            }
            write_all(target, piece, at)?;
            hash.data(piece);
            at += read as u64;
            written_to = at;
            Progress::count(&means.progress.bytes_read, read as u64);
            Progress::count(&means.progress.bytes_stored, read as u64);
        }
    }
    if written_to < size {
        ftruncate(target, size).map_err(CopyError::Writing)?;
    }
    Ok(Some(hash.finish()))
}

/// The content's hash of a file of this length that is there already, or `None` if it is shorter.
pub(super) fn hash_file(
    file: &OwnedFd,
    size: u64,
    buffer: &mut [u8],
    stop: &Stop,
    mut note: impl FnMut(u64),
) -> Result<Option<[u8; 32]>, CopyError> {
    let stat = fstat(file).map_err(CopyError::Reading)?;
    let has_holes = u64::try_from(stat.st_blocks).unwrap_or(u64::MAX).saturating_mul(BLOCK_BYTES) < size;
    let mut hash = ContentHash::new();
    let mut at = 0;
    while at < size {
        let (start, end) = if has_holes { segment(file, at, size)? } else { (at, size) };
        hash.hole(start - at);
        at = start;
        while at < end {
            if stop.is_requested() {
                return Err(CopyError::Stopped);
            }
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            let piece = buffer.get_mut(..wanted).unwrap_or_default();
            let read = retry(|| pread(file, &mut *piece, at)).map_err(CopyError::Reading)?;
            if read == 0 {
                return Ok(None);
            }
            hash.data(piece.get(..read).unwrap_or_default());
            at += read as u64;
            note(read as u64);
        }
    }
    Ok(Some(hash.finish()))
}

fn hash_of_target(target: &OwnedFd, size: u64, buffer: &mut [u8], stop: &Stop) -> Result<[u8; 32], CopyError> {
    ftruncate(target, size).map_err(CopyError::Writing)?;
    hash_file(target, size, buffer, stop, |_| {})?.ok_or(CopyError::Writing(Errno::IO))
}

/// Where the next data begins and ends.
fn segment(file: &OwnedFd, at: u64, size: u64) -> Result<(u64, u64), CopyError> {
    let start = match seek(file, SeekFrom::Data(at)) {
        Ok(start) => start.clamp(at, size),
        Err(Errno::NXIO) => return Ok((size, size)),
        // A file system that knows no holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok((at, size)),
        Err(error) => return Err(CopyError::Reading(error)),
    };
    match seek(file, SeekFrom::Hole(start)) {
        Ok(end) if end > start => Ok((start, end.min(size))),
        // It became shorter: the read will notice.
        Ok(_) | Err(Errno::NXIO) => Ok((start, size)),
        Err(error) => Err(CopyError::Reading(error)),
    }
}

fn write_all(target: impl AsFd, mut piece: &[u8], mut at: u64) -> Result<(), CopyError> {
    while !piece.is_empty() {
        let written = retry(|| pwrite(&target, piece, at)).map_err(CopyError::Writing)?;
        if written == 0 {
            return Err(CopyError::Writing(Errno::IO));
        }
        piece = piece.get(written..).unwrap_or_default();
        at += written as u64;
    }
    Ok(())
}

fn retry<T>(mut operation: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match operation() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
