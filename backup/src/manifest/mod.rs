//! What an archive holds, entry by entry, as a stream: written while the walk goes on and compared with the next walk
//! without ever being in memory as a whole.
//!
//! A manifest is a sequence of zstd's skippable frames, so that it can follow an archive's data and plain `zstd -d`
//! passes over it: one with the [`Header`] as JSON, some with records (zstd inside, with its checksum), one with the
//! [`Table`] of frames, and a [`Footer`] of a fixed size, by which the others are found from the end.

mod bytes;
mod footer;
mod header;
mod reader;
mod record;
mod table;
#[cfg(test)]
mod tests;
mod writer;

pub use footer::{FOOTER_BYTES, Footer};
pub use header::{ArchiveId, ChainLink, Header};
pub use reader::{Manifest, Records, items_of};
pub use record::{Item, Place, Record};
pub use table::{BlockStart, Frame, Table};
pub use writer::{Finished, Writer, block_of};

/// A manifest that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It could not be read from where it is.
    #[error("reading the manifest: {0}")]
    Io(#[from] std::io::Error),
    /// It is not what was written.
    #[error("the manifest is damaged: {0}")]
    Damaged(String),
    /// Another program, or a newer version of this one, wrote it.
    #[error("this is no archive of rackhaven-backup, or it is cut short: {0}")]
    Foreign(String),
}

impl ManifestError {
    fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }
}

/// The magic numbers of the skippable frames; zstd leaves 16 of them to others.
mod magic {
    pub(super) const HEADER: u32 = 0x184D_2A50;
    pub(super) const RECORDS: u32 = 0x184D_2A51;
    pub(super) const TABLE: u32 = 0x184D_2A52;
    pub(super) const FOOTER: u32 = 0x184D_2A53;
}

/// A skippable frame's own head: magic number and length.
const HEAD_BYTES: usize = 8;
