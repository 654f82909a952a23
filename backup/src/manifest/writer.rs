use std::io::{self, Write};

use super::record::Before;
use super::{BlockStart, Footer, Header, Item, Table, magic};
use crate::entry::Kind;
use crate::manifest::ArchiveId;

/// A block is closed when it has so many bytes, before it is compressed.
const BLOCK_BYTES: usize = 128 * 1024;
/// zstd's level for manifests.
const LEVEL: i32 = 3;

/// Writes a manifest as a stream.
pub struct Writer<W> {
    out: W,
    hasher: blake3::Hasher,
    written: u64,
    block: Vec<u8>,
    before: Before,
    blocks: Vec<BlockStart>,
    compressor: zstd::bulk::Compressor<'static>,
    entries: u64,
    content_bytes: u64,
}

/// A manifest that was written, but for its footer.
#[derive(Debug)]
pub struct Finished<W> {
    /// Where it was written to.
    pub out: W,
    /// What ends it, when the archive's data is so long.
    pub footer: Footer,
}

impl<W: Write> Writer<W> {
    /// Begins one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(out: W, header: &Header) -> io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
        let mut writer = Self {
            out,
            hasher: blake3::Hasher::new(),
            written: 0,
            block: Vec::with_capacity(BLOCK_BYTES),
            before: Before::default(),
            blocks: Vec::new(),
            compressor,
            entries: 0,
            content_bytes: 0,
        };
        writer.write_frame(magic::HEADER, &serde_json::to_vec(header)?)?;
        Ok(writer)
    }

    /// Appends an item, which must come behind the one before in the walk's order.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn push(&mut self, item: &Item) -> io::Result<()> {
        if self.block.is_empty() {
            self.before = Before::default();
            self.blocks.push(BlockStart { offset: self.written, path: item.path().to_vec() });
        }
        self.before.put(&mut self.block, item);
        if let Item::Entry(record) = item {
            self.entries += 1;
            if record.entry.kind == Kind::File && record.entry.hard_link.is_none() {
                self.content_bytes = self.content_bytes.saturating_add(record.entry.size);
            }
        }
        if self.block.len() >= BLOCK_BYTES { self.close_block() } else { Ok(()) }
    }

    /// Writes what is held back: all items so far can be read from what is written then.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn checkpoint(&mut self) -> io::Result<()> {
        if self.block.is_empty() { Ok(()) } else { self.close_block() }
    }

    /// Where it is written to.
    pub fn out_mut(&mut self) -> &mut W {
        &mut self.out
    }

    fn close_block(&mut self) -> io::Result<()> {
        let compressed = self.compressor.compress(&self.block)?;
        self.block.clear();
        self.write_frame(magic::RECORDS, &compressed)
    }

    fn write_frame(&mut self, magic: u32, payload: &[u8]) -> io::Result<()> {
        let too_long = |_| io::Error::new(io::ErrorKind::FileTooLarge, "the manifest has too large a part");
        let len = u32::try_from(payload.len()).map_err(too_long)?;
        for part in [&magic.to_le_bytes(), &len.to_le_bytes(), payload] {
            self.hasher.update(part);
            self.out.write_all(part)?;
            self.written += part.len() as u64;
        }
        Ok(())
    }

    /// Ends it with the table of the archive's frames. The footer is not written.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self, id: ArchiveId, frames: Vec<super::Frame>) -> io::Result<Finished<W>> {
        if !self.block.is_empty() {
            self.close_block()?;
        }
        let table = Table { frames, blocks: std::mem::take(&mut self.blocks) };
        let before = self.written;
        let compressed = self.compressor.compress(&table.to_bytes())?;
        self.write_frame(magic::TABLE, &compressed)?;
        let footer = Footer {
            id,
            manifest_offset: table.stored_bytes(),
            manifest_bytes: self.written,
            table_bytes: self.written - before,
            frames: table.frames.len() as u64,
            entries: self.entries,
            content_bytes: self.content_bytes,
            frames_hash: table.frames_hash(),
            manifest_hash: *self.hasher.finalize().as_bytes(),
        };
        Ok(Finished { out: self.out, footer })
    }
}

/// Items as one block, before it is compressed.
pub fn block_of(items: &[Item]) -> Vec<u8> {
    let (mut block, mut before) = (Vec::new(), Before::default());
    items.iter().for_each(|item| before.put(&mut block, item));
    block
}
