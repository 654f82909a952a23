//! Reads an archive back and checks it.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::archive::{Data, ReadError, Shelf, decoded, open_manifest};
use crate::manifest::{Frame, Header, Item, Manifest, ManifestError};
use crate::outcome::{ProblemKind, Problems};
use crate::progress::Progress;
use crate::stop::Stop;

/// What is checked, and how.
pub struct Check<'a> {
    /// Of so many frames of 100; what the archive says of itself is always checked.
    pub percent: u8,
    /// Which of the frames are chosen.
    pub seed: u64,
    /// Threads that decode.
    pub threads: usize,
    /// Each file that cannot be given back.
    pub problems: &'a Problems,
    /// How far it is.
    pub progress: &'a Progress,
    /// Set to end early.
    pub stop: &'a Stop,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What the archive says of itself.
    pub header: Header,
    /// How many frames it has.
    pub frames: u64,
    /// How many of them were read.
    pub frames_read: u64,
    /// How many of those are damaged.
    pub frames_damaged: u64,
    /// How much was read, bytes.
    pub bytes_read: u64,
    /// Why archives that this one builds on cannot be used.
    pub chain: Vec<String>,
}

impl Checked {
    /// Whether everything that was checked can be given back.
    pub fn is_good(&self) -> bool {
        self.frames_damaged == 0 && self.chain.is_empty()
    }
}

/// Checks an archive: that nothing of it is missing or changed, and that those are there on which it builds.
///
/// # Errors
/// When it cannot be opened, or what it says of itself is damaged.
pub fn verify(shelf: &dyn Shelf, name: &str, check: &Check<'_>) -> Result<Checked, ReadError> {
    let wrong = |source| ReadError::Manifest { name: name.to_owned(), source };
    let mut manifest = open_manifest(shelf, name)?;
    manifest.check().map_err(wrong)?;
    let frames = std::mem::take(&mut manifest.table.frames);
    let raw_bytes: Vec<u32> = frames.iter().map(|frame| frame.raw_bytes).collect();
    let source = shelf.open(name).map_err(|source| ReadError::Open { name: name.to_owned(), source })?;
    let bytes_read = AtomicU64::new(0);
    let chosen: Vec<u32> = (0..).zip(&frames).map(|(n, _)| n).filter(|n| is_chosen(*n, check)).collect();
    let damaged = check_frames(Data::new(source, frames), &chosen, check, &bytes_read);
    let damaged = damaged.into_inner().unwrap_or_else(PoisonError::into_inner);
    let entries = manifest.footer.entries;
    let own = manifest.header.chain.len().saturating_sub(1) as u32;
    let told = tell(&mut manifest, own, &raw_bytes, &damaged, check.problems).map_err(wrong)?;
    if told != entries {
        let reason = format!("it lists {told} entries, and should list {entries}");
        return Err(wrong(ManifestError::Damaged(reason)));
    }
    let chain = broken_links(shelf, &manifest.header);
    Ok(Checked {
        header: manifest.header,
        frames: raw_bytes.len() as u64,
        frames_read: chosen.len() as u64,
        frames_damaged: damaged.len() as u64,
        bytes_read: bytes_read.into_inner(),
        chain,
    })
}

/// Chance decides, but the same way for the same seed.
fn is_chosen(frame: u32, check: &Check<'_>) -> bool {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&check.seed.to_le_bytes()).update(&frame.to_le_bytes());
    let hash = hasher.finalize();
    let number = hash.as_bytes().first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    check.percent >= 100 || number % 100 < u32::from(check.percent)
}

/// The chosen frames that are damaged.
fn check_frames(data: Data, chosen: &[u32], check: &Check<'_>, bytes_read: &AtomicU64) -> Mutex<BTreeSet<u32>> {
    let damaged = Mutex::new(BTreeSet::new());
    let next = Mutex::new((data, chosen.iter()));
    let take = || -> Option<(u32, Frame, io::Result<Vec<u8>>)> {
        let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
        let number = *next.1.next().filter(|_| !check.stop.is_requested())?;
        let (frame, stored) = next.0.stored(number)?;
        Some((number, frame, stored))
    };
    std::thread::scope(|scope| {
        for _ in 0..check.threads.max(1) {
            scope.spawn(|| {
                while let Some((number, frame, stored)) = take() {
                    let stored_bytes = u64::from(frame.stored_bytes);
                    bytes_read.fetch_add(stored_bytes, Ordering::Relaxed);
                    Progress::count(&check.progress.bytes_read, stored_bytes);
                    if stored.and_then(|stored| decoded(&frame, &stored)).is_err() {
                        damaged.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
                    }
                }
            });
        }
    });
    damaged
}

/// Reads all records, and tells which of them lie in damaged frames of this archive. Returns how many there are.
fn tell<R: io::Read + io::Seek>(
    manifest: &mut Manifest<R>,
    own: u32,
    raw_bytes: &[u32],
    damaged: &BTreeSet<u32>,
    problems: &Problems,
) -> Result<u64, ManifestError> {
    let mut entries = 0;
    for item in manifest.records()? {
        let Item::Entry(record) = item? else { continue };
        entries += 1;
        if record.place.archive != own {
            continue;
        }
        // Where it begins, and on through the following frames as long as its data goes.
        let first = record.place.frame;
        let mut left = u64::from(record.place.offset) + if record.content.is_some() { record.entry.size } else { 0 };
        let mut last = first;
        while let Some(raw) = raw_bytes.get(last as usize).filter(|raw| left > u64::from(**raw)) {
            left -= u64::from(*raw);
            last += 1;
        }
        if raw_bytes.get(first as usize).is_none_or(|raw| record.place.offset >= *raw) {
            return Err(ManifestError::Damaged("an entry lies outside of the data".to_owned()));
        }
        if damaged.range(first..=last).next().is_some() {
            problems.add(&record.entry.path, ProblemKind::Unreadable, "its data in the archive is damaged");
        }
    }
    Ok(entries)
}

fn broken_links(shelf: &dyn Shelf, header: &Header) -> Vec<String> {
    let bases = header.chain.split_last().map_or(&[][..], |(_, bases)| bases);
    let broken = bases.iter().filter_map(|link| match open_manifest(shelf, &link.name) {
        Ok(manifest) if manifest.footer.id == link.id => None,
        Ok(_) => Some(ReadError::Other { name: link.name.clone() }.to_string()),
        Err(error) => Some(error.to_string()),
    });
    broken.collect()
}
