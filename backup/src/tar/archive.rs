//! Archives to read from.

use std::io::{self, Read, Seek, SeekFrom};

use crate::manifest::{Frame, Manifest, ManifestError};

/// An open archive, decrypted if need be.
pub trait Source: Read + Seek + Send {}

impl<T: Read + Seek + Send> Source for T {}

/// Where archives are opened by their names.
pub trait Shelf {
    /// Opens one for reading from any place.
    ///
    /// # Errors
    /// When it is not there, or cannot be opened.
    fn open(&self, name: &str) -> io::Result<Box<dyn Source>>;
}

/// Why something of an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It could not be opened.
    #[error("opening the archive {name}: {source}")]
    Open {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// What it says of itself cannot be read.
    #[error("the archive {name}: {source}")]
    Manifest {
        /// Its name.
        name: String,
        /// Why.
        source: ManifestError,
    },
    /// An archive that this one builds on is another one than it was.
    #[error("the archive {name} is not the one that is needed: another took its name")]
    Other {
        /// Its name.
        name: String,
    },
}

/// Opens an archive's manifest.
///
/// # Errors
/// When it cannot be opened, or is damaged.
pub fn open_manifest(shelf: &dyn Shelf, name: &str) -> Result<Manifest<Box<dyn Source>>, ReadError> {
    let source = shelf.open(name).map_err(|source| ReadError::Open { name: name.to_owned(), source })?;
    Manifest::open(source).map_err(|source| ReadError::Manifest { name: name.to_owned(), source })
}

/// The data of an archive, frame by frame.
pub(super) struct Data {
    source: Box<dyn Source>,
    frames: Vec<Frame>,
    /// Where each frame begins.
    offsets: Vec<u64>,
}

impl Data {
    pub(super) fn new(source: Box<dyn Source>, frames: Vec<Frame>) -> Self {
        let offsets = frames.iter().scan(0, |at, frame| {
            let start = *at;
            *at += u64::from(frame.stored_bytes);
            Some(start)
        });
        let offsets = offsets.collect();
        Self { source, frames, offsets }
    }

    /// A frame as it is stored; none behind the last one.
    pub(super) fn stored(&mut self, number: u32) -> Option<(Frame, io::Result<Vec<u8>>)> {
        let frame = *self.frames.get(number as usize)?;
        let offset = *self.offsets.get(number as usize)?;
        let mut read = || {
            self.source.seek(SeekFrom::Start(offset))?;
            let mut stored = Vec::with_capacity(frame.stored_bytes as usize);
            (&mut self.source).take(u64::from(frame.stored_bytes)).read_to_end(&mut stored)?;
            Ok(stored)
        };
        Some((frame, read()))
    }
}

/// Checks a frame against its hash and decompresses it.
pub(super) fn decoded(frame: &Frame, stored: &[u8]) -> io::Result<Vec<u8>> {
    let damaged = |what| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    if stored.len() != frame.stored_bytes as usize {
        return damaged("the archive is cut short");
    }
    if *blake3::hash(stored).as_bytes() != frame.hash {
        return damaged("a frame of the archive does not fit its hash");
    }
    let raw = zstd::bulk::decompress(stored, frame.raw_bytes as usize)?;
    if raw.len() == frame.raw_bytes as usize { Ok(raw) } else { damaged("a frame of the archive is too short") }
}
