//! A repository's archives, opened to be read from any place.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::archive::{Shelf, Source};
use super::crypt::{Identities, decrypted};
use crate::repository::{Store, Stored};

/// How much is fetched at once when little is read, bytes.
const BUFFER_BYTES: usize = 64 * 1024;

/// The archives of a job in its repository.
pub struct Archives<'a> {
    store: &'a dyn Store,
    identities: Option<Identities>,
}

impl<'a> Archives<'a> {
    /// Encrypted ones are opened with `identities`.
    pub fn new(store: &'a dyn Store, identities: Option<Identities>) -> Self {
        Self { store, identities }
    }
}

impl Shelf for Archives<'_> {
    fn open(&self, name: &str) -> io::Result<Box<dyn Source>> {
        let stored = self.store.open(name).map_err(io::Error::other)?;
        let reader = BufReader::with_capacity(BUFFER_BYTES, StoredReader { stored, at: 0 });
        if !name.ends_with(".age") {
            return Ok(Box::new(reader));
        }
        let identities = self.identities.as_ref();
        let identities =
            identities.ok_or_else(|| io::Error::other("it is encrypted: name the identity that opens it"))?;
        Ok(Box::new(decrypted(reader, identities)?))
    }
}

struct StoredReader {
    stored: Box<dyn Stored>,
    at: u64,
}

impl Read for StoredReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stored.read_at(self.at, buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for StoredReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.stored.len_bytes().checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "before the start of the archive"))?;
        Ok(self.at)
    }
}
