//! Archives that plain `zstd` and `tar` open.
//!
//! An archive is one tar stream in pax format, cut into pieces of some megabytes, each of which is a zstd frame of its
//! own with its checksum. Frames are made by several threads at once and joined in order, so that a file is given back
//! by decoding its frames alone. Behind the tar's end follows the [`crate::manifest`] in skippable frames.

mod acl;
mod archive;
mod attributes;
mod big;
mod content;
mod crypt;
mod input;
mod join;
mod member;
mod pax;
mod plan;
mod restore;
mod segment;
mod shelf;
mod sparse;
mod target;
#[cfg(test)]
mod tests;
mod verify;
mod window;
mod write;

pub use archive::{ReadError, Shelf, Source, open_manifest};
pub use crypt::{Identities, encrypting};
pub use restore::{Restore, RestoreError, Restored, restore};
pub use shelf::Archives;
pub use verify::{Check, Checked, verify};
pub use write::{Request, WriteError, Written, write};

/// About how much of the tar stream goes into one frame, bytes. Smaller frames compress worse: 1 MiB costs 2 % of size.
/// A power of two, because BLAKE3 joins the hashes of such pieces to that of the whole.
pub const FRAME_BYTES: usize = 4 * 1024 * 1024;
/// tar's own unit, bytes.
const BLOCK_BYTES: usize = 512;

/// How much is missing to a whole block.
fn padding(len: u64) -> usize {
    // Less than a block.
    (len.wrapping_neg() % BLOCK_BYTES as u64) as usize
}
