use super::ManifestError;
use super::bytes::{Bytes, put_bytes, put_number};

/// The largest frame that is read, decompressed or not, bytes. Larger ones would take more memory than a board has.
const MAX_FRAME_BYTES: u32 = 128 * 1024 * 1024;

/// One frame of an archive's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// How long it is as it is stored, bytes.
    pub stored_bytes: u32,
    /// How long it is once decompressed, bytes.
    pub raw_bytes: u32,
    /// BLAKE3 of it as it is stored.
    pub hash: [u8; 32],
}

/// Where a block of records begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockStart {
    /// From the manifest's first byte on.
    pub offset: u64,
    /// The first path in it.
    pub path: Vec<u8>,
}

/// Where everything is: the frames of the data in their order, and the blocks of records in theirs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// The data's frames, from the archive's first byte on without a gap.
    pub frames: Vec<Frame>,
    /// The manifest's blocks of records.
    pub blocks: Vec<BlockStart>,
}

impl Table {
    /// Where a frame begins in the archive.
    pub fn offset_of(&self, frame: u32) -> u64 {
        self.frames.iter().take(frame as usize).map(|frame| u64::from(frame.stored_bytes)).sum()
    }

    /// How long the data is as it is stored, bytes.
    pub fn stored_bytes(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.stored_bytes)).sum()
    }

    /// BLAKE3 over all frames' hashes.
    pub fn frames_hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for frame in &self.frames {
            hasher.update(&frame.hash);
        }
        *hasher.finalize().as_bytes()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_number(&mut out, self.frames.len() as u64);
        for frame in &self.frames {
            put_number(&mut out, u64::from(frame.stored_bytes));
            put_number(&mut out, u64::from(frame.raw_bytes));
            out.extend_from_slice(&frame.hash);
        }
        put_number(&mut out, self.blocks.len() as u64);
        for block in &self.blocks {
            put_number(&mut out, block.offset);
            put_bytes(&mut out, &block.path);
        }
        out
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut bytes = Bytes(bytes);
        let mut table = Self::default();
        // What is claimed is not believed before it is there: no room is made for it.
        for _ in 0..bytes.number()? {
            let (stored_bytes, raw_bytes) = (bytes.number32()?, bytes.number32()?);
            if stored_bytes.max(raw_bytes) > MAX_FRAME_BYTES {
                return Err(ManifestError::damaged("a frame is too large"));
            }
            table.frames.push(Frame { stored_bytes, raw_bytes, hash: bytes.array()? });
        }
        for _ in 0..bytes.number()? {
            let offset = bytes.number()?;
            table.blocks.push(BlockStart { offset, path: bytes.string()?.to_vec() });
        }
        if bytes.is_empty() { Ok(table) } else { Err(ManifestError::damaged("something follows the table")) }
    }
}
