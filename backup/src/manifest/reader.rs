use std::io::{Read, Seek, SeekFrom};

use super::bytes::Bytes;
use super::record::Before;
use super::{BlockStart, FOOTER_BYTES, Footer, HEAD_BYTES, Header, Item, ManifestError, Table, magic};
use crate::entry::path_order;

/// The longest block, decompressed, that is read: a block ends with the record that fills it.
const MAX_BLOCK_BYTES: usize = 4 * 1024 * 1024;
/// The longest header that is read, bytes.
const MAX_HEADER_BYTES: u64 = 64 * 1024 * 1024;
/// The longest table that is read, decompressed: enough for 64 TiB in frames of 4 MiB.
const MAX_TABLE_BYTES: usize = 1024 * 1024 * 1024;

/// A manifest at the end of a file, be that an archive or a manifest alone.
#[derive(Debug)]
pub struct Manifest<R> {
    source: R,
    /// Where it begins in the file.
    start: u64,
    /// Where its records end.
    records_end: u64,
    /// What ends it.
    pub footer: Footer,
    /// What it says of itself.
    pub header: Header,
    /// Where everything is.
    pub table: Table,
}

impl<R: Read + Seek> Manifest<R> {
    /// Finds it from the end of a file.
    ///
    /// # Errors
    /// When there is none, or one that is not as it was written.
    pub fn open(mut source: R) -> Result<Self, ManifestError> {
        let len = source.seek(SeekFrom::End(0))?;
        let footer_at = len.checked_sub(FOOTER_BYTES as u64);
        let footer_at = footer_at.ok_or_else(|| ManifestError::Foreign("it is too short".to_owned()))?;
        source.seek(SeekFrom::Start(footer_at))?;
        let mut bytes = [0; FOOTER_BYTES];
        source.read_exact(&mut bytes)?;
        let footer = Footer::from_bytes(&bytes)?;
        let cut = || ManifestError::damaged("it is cut short");
        let start = footer_at.checked_sub(footer.manifest_bytes).ok_or_else(cut)?;
        let records_end = footer_at.checked_sub(footer.table_bytes).filter(|end| *end >= start).ok_or_else(cut)?;
        // An archive has its data before it; a manifest that is kept alone has nothing.
        if start != 0 && start != footer.manifest_offset {
            return Err(ManifestError::damaged("its data is not as long as it was"));
        }
        let table = read_frame(&mut source, records_end, footer_at, magic::TABLE)?;
        let table = zstd::bulk::decompress(&table, decompressed_len(&table, MAX_TABLE_BYTES)?)
            .map_err(|error| ManifestError::damaged(format!("its table: {error}")))?;
        let table = Table::from_bytes(&table)?;
        if table.frames.len() as u64 != footer.frames
            || table.frames_hash() != footer.frames_hash
            || table.stored_bytes() != footer.manifest_offset
        {
            return Err(ManifestError::damaged("its table does not fit its footer"));
        }
        let header = read_frame(&mut source, start, records_end.min(start + MAX_HEADER_BYTES), magic::HEADER)?;
        let header = serde_json::from_slice::<Header>(&header)
            .map_err(|error| ManifestError::damaged(format!("its header: {error}")))?;
        if header.chain.last().map(|link| link.id) != Some(footer.id) {
            return Err(ManifestError::damaged("its chain does not end with itself"));
        }
        Ok(Self { source, start, records_end, footer, header, table })
    }

    /// Checks the whole manifest against its hash.
    ///
    /// # Errors
    /// When it cannot be read, or is not as it was written.
    pub fn check(&mut self) -> Result<(), ManifestError> {
        self.source.seek(SeekFrom::Start(self.start))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader((&mut self.source).take(self.footer.manifest_bytes))?;
        if *hasher.finalize().as_bytes() == self.footer.manifest_hash {
            Ok(())
        } else {
            Err(ManifestError::damaged("it does not fit its hash"))
        }
    }

    /// All items, in the walk's order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn records(&mut self) -> Result<Records<&mut R>, ManifestError> {
        let first = self.table.blocks.first().map(|block| block.offset);
        self.records_at(first)
    }

    /// The items from the block on in which `path` would be.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn records_from(&mut self, path: &[u8]) -> Result<Records<&mut R>, ManifestError> {
        let blocks = &self.table.blocks;
        let behind = blocks.partition_point(|block| path_order(&block.path, path).is_le());
        let offset = blocks.get(behind.saturating_sub(1)).map(|block: &BlockStart| block.offset);
        self.records_at(offset)
    }

    fn records_at(&mut self, offset: Option<u64>) -> Result<Records<&mut R>, ManifestError> {
        let first = offset.map_or(Some(self.records_end), |offset| self.start.checked_add(offset));
        let first = first.filter(|at| (self.start..=self.records_end).contains(at));
        let first = first.ok_or_else(|| ManifestError::damaged("a block lies outside of it"))?;
        self.source.seek(SeekFrom::Start(first))?;
        Ok(Records::new(&mut self.source, self.records_end - first))
    }

    /// Gives up what else is known of it for its records alone.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn into_records(mut self) -> Result<Records<R>, ManifestError> {
        let first = self.table.blocks.first().map_or(self.records_end, |block| self.start + block.offset);
        self.source.seek(SeekFrom::Start(first))?;
        Ok(Records::new(self.source, self.records_end.saturating_sub(first)))
    }
}

/// The items of a manifest, read one block at a time.
#[derive(Debug)]
pub struct Records<R> {
    source: R,
    left: u64,
    block: Vec<u8>,
    at: usize,
    before: Before,
    last: Option<Vec<u8>>,
}

impl<R: Read> Records<R> {
    /// From blocks of records that are `len` bytes long together.
    pub fn new(source: R, len: u64) -> Self {
        Self { source, left: len, block: Vec::new(), at: 0, before: Before::default(), last: None }
    }

    fn next_block(&mut self) -> Result<(), ManifestError> {
        let mut head = [0; HEAD_BYTES];
        let cut = || ManifestError::damaged("a block is cut short");
        self.left = self.left.checked_sub(HEAD_BYTES as u64).ok_or_else(cut)?;
        self.source.read_exact(&mut head)?;
        let mut bytes = Bytes(&head);
        let (found, len) = (u32::from_le_bytes(bytes.array()?), u64::from(u32::from_le_bytes(bytes.array()?)));
        if found != magic::RECORDS {
            return Err(ManifestError::damaged("a block is none"));
        }
        self.left = self.left.checked_sub(len).ok_or_else(cut)?;
        let mut compressed = Vec::new();
        (&mut self.source).take(len).read_to_end(&mut compressed)?;
        self.block = zstd::bulk::decompress(&compressed, decompressed_len(&compressed, MAX_BLOCK_BYTES)?)
            .map_err(|error| ManifestError::damaged(format!("a block: {error}")))?;
        (self.at, self.before) = (0, Before::default());
        if self.block.is_empty() { Err(ManifestError::damaged("a block is empty")) } else { Ok(()) }
    }

    fn item(&mut self) -> Result<Item, ManifestError> {
        let mut bytes = Bytes(self.block.get(self.at..).unwrap_or_default());
        let item = self.before.take(&mut bytes)?;
        self.at = self.block.len() - bytes.0.len();
        // Comparing two manifests relies on their order.
        let path = item.path();
        if self.last.as_deref().is_some_and(|last| path_order(last, path).is_ge()) {
            return Err(ManifestError::damaged("its entries are not in order"));
        }
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(path);
        Ok(item)
    }
}

impl<R: Read> Iterator for Records<R> {
    type Item = Result<Item, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.block.len() {
            if self.left == 0 {
                return None;
            }
            if let Err(error) = self.next_block() {
                self.left = 0;
                self.block.clear();
                return Some(Err(error));
            }
        }
        let item = self.item();
        if item.is_err() {
            self.left = 0;
            self.block.clear();
        }
        Some(item)
    }
}

/// The items of one block, decompressed.
///
/// # Errors
/// When it is none.
pub fn items_of(block: &[u8]) -> Result<Vec<Item>, ManifestError> {
    let (mut bytes, mut before, mut items) = (Bytes(block), Before::default(), Vec::new());
    while !bytes.is_empty() {
        items.push(before.take(&mut bytes)?);
    }
    Ok(items)
}

/// A frame that begins at `at` and ends by `end`.
fn read_frame(source: &mut (impl Read + Seek), at: u64, end: u64, expected: u32) -> Result<Vec<u8>, ManifestError> {
    source.seek(SeekFrom::Start(at))?;
    let mut head = [0; HEAD_BYTES];
    source.read_exact(&mut head)?;
    let mut bytes = Bytes(&head);
    let (found, len) = (u32::from_le_bytes(bytes.array()?), u64::from(u32::from_le_bytes(bytes.array()?)));
    if found != expected || at + HEAD_BYTES as u64 + len > end {
        return Err(ManifestError::damaged("a part of it is not where it should be"));
    }
    let mut payload = Vec::new();
    source.take(len).read_to_end(&mut payload)?;
    Ok(payload)
}

/// How long something will be once decompressed, as it says itself, up to a limit.
fn decompressed_len(compressed: &[u8], most: usize) -> Result<usize, ManifestError> {
    let said = zstd::zstd_safe::get_frame_content_size(compressed).ok().flatten();
    let said = said.and_then(|len| usize::try_from(len).ok()).filter(|len| *len <= most);
    said.ok_or_else(|| ManifestError::damaged("a part of it is too long"))
}
