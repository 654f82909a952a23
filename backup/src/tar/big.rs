//! A file that is larger than a frame: several threads read and compress its pieces.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use blake3::hazmat::{ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root};
use rustix::fs::fstat;

use super::attributes::{AttributeReader, Attributes, Bearer};
use super::input::Input;
use super::pax::put_head;
use super::segment::{Raw, entry_blocks_fill, opened, read_attributes};
use super::sparse::{Extent, extents, map_text};
use super::{FRAME_BYTES, padding};
use crate::entry::Entry;
use crate::outcome::{ProblemKind, Problems};
use crate::walk::{Visit, entry_of};

/// An open file, and what its pieces are.
#[derive(Debug)]
pub(super) struct Big {
    fd: OwnedFd,
    pub(super) entry: Entry,
    pub(super) attributes: Attributes,
    head: Vec<u8>,
    /// What stands before the data of a file with holes.
    map: Vec<u8>,
    extents: Vec<Extent>,
    /// Map and data together, bytes.
    payload_bytes: u64,
    trouble: Mutex<Trouble>,
}

#[derive(Debug, Default)]
struct Trouble {
    changed: bool,
    unreadable: Option<String>,
}

/// A piece's part in the hash of the whole.
#[derive(Debug, Clone, Copy)]
pub(super) enum PieceHash {
    /// The only piece: the hash itself.
    Whole([u8; 32]),
    /// One of several.
    Part(ChainingValue),
}

impl Big {
    /// Opens it. What goes wrong becomes a problem.
    pub(super) fn open(visit: Visit, reader: &mut AttributeReader, problems: &Problems) -> Option<Self> {
        let (fd, entry) = opened(&visit.parent, &visit.name, &visit.entry.path, problems)?;
        let attributes = read_attributes(reader, Bearer::open(&fd), &entry.path, problems);
        let sparse = if entry_blocks_fill(&fd, entry.size) { None } else { extents(&fd, entry.size) };
        let map = sparse.as_deref().map(|extents| map_text(extents, entry.size)).unwrap_or_default();
        let is_sparse = sparse.is_some();
        let extents = sparse.unwrap_or_else(|| vec![Extent { offset: 0, len: entry.size }]);
        let payload_bytes = map.len() as u64 + extents.iter().map(|extent| extent.len).sum::<u64>();
        let mut head = Vec::new();
        put_head(&mut head, &entry, &attributes, payload_bytes, is_sparse);
        Some(Self { fd, entry, attributes, head, map, extents, payload_bytes, trouble: Mutex::default() })
    }

    pub(super) fn pieces(&self) -> u64 {
        self.payload_bytes.div_ceil(FRAME_BYTES as u64).max(1)
    }

    /// Builds one piece. Returns its part in the hash, and how much of the file was read.
    pub(super) fn build(&self, piece: u64, raw: &mut Raw) -> (PieceHash, u64) {
        if piece == 0 {
            raw.put(&self.head);
        }
        let start = piece * FRAME_BYTES as u64;
        // Not more than a frame.
        let len = self.payload_bytes.saturating_sub(start).min(FRAME_BYTES as u64) as usize;
        let room = raw.room(len);
        self.fill(room, start);
        let hash = if self.pieces() == 1 {
            PieceHash::Whole(*blake3::hash(room).as_bytes())
        } else {
            let mut hasher = blake3::Hasher::new();
            hasher.set_input_offset(start).update(room);
            PieceHash::Part(hasher.finalize_non_root())
        };
        if piece + 1 == self.pieces() {
            raw.put_zeros(padding(self.payload_bytes));
        }
        (hash, len as u64)
    }

    fn fill(&self, mut room: &mut [u8], start: u64) {
        let map = usize::try_from(start).ok().and_then(|start| self.map.get(start..)).unwrap_or_default();
        let from_map = map.len().min(room.len());
        let (first, rest) = room.split_at_mut(from_map);
        first.copy_from_slice(map.get(..from_map).unwrap_or_default());
        room = rest;
        // From here on in the data, without the map.
        let mut skip = (start + from_map as u64).saturating_sub(self.map.len() as u64);
        let mut input = Input::new(self.fd.as_fd());
        for extent in &self.extents {
            if room.is_empty() {
                break;
            }
            if skip >= extent.len {
                skip -= extent.len;
                continue;
            }
            let here = (extent.len - skip).min(room.len() as u64) as usize;
            let (part, rest) = room.split_at_mut(here);
            let filled = input.read_at(part, extent.offset + skip).unwrap_or_else(|error| {
                self.note(|trouble| trouble.unreadable = Some(error.to_string()));
                0
            });
            if let Some(missing) = part.get_mut(filled..).filter(|missing| !missing.is_empty()) {
                missing.fill(0);
                self.note(|trouble| trouble.changed = true);
            }
            (room, skip) = (rest, 0);
        }
        input.done();
    }

    fn note(&self, how: impl FnOnce(&mut Trouble)) {
        how(&mut self.trouble.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// After the last piece: whether what was saved is worth keeping. What went wrong becomes a problem.
    pub(super) fn judge(&self, problems: &Problems) -> bool {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &trouble.unreadable {
            problems.add(&self.entry.path, ProblemKind::Unreadable, format_args!("reading it: {error}"));
            return false;
        }
        let now = fstat(&self.fd).map(|stat| entry_of(Vec::new(), &stat));
        let before = (self.entry.size, self.entry.mtime, self.entry.ctime);
        let same = now.is_ok_and(|now| (now.size, now.mtime, now.ctime) == before);
        if trouble.changed || !same {
            problems.add(&self.entry.path, ProblemKind::Changed, "changed while it was read");
        }
        true
    }
}

/// The hash of the whole from those of its pieces, each but the last as long as a frame.
pub(super) fn joined(pieces: &[PieceHash]) -> Option<[u8; 32]> {
    match pieces {
        [] => None,
        [PieceHash::Whole(hash)] => Some(*hash),
        [PieceHash::Part(_)] => None,
        several => {
            let (left, right) = several.split_at_checked(left_count(several.len()))?;
            Some(*merge_subtrees_root(&subtree(left)?, &subtree(right)?, Mode::Hash).as_bytes())
        }
    }
}

fn subtree(pieces: &[PieceHash]) -> Option<ChainingValue> {
    match pieces {
        [PieceHash::Part(value)] => Some(*value),
        [] | [PieceHash::Whole(_)] => None,
        several => {
            let (left, right) = several.split_at_checked(left_count(several.len()))?;
            Some(merge_subtrees_non_root(&subtree(left)?, &subtree(right)?, Mode::Hash))
        }
    }
}

/// How many of several pieces BLAKE3 puts to the left: as many whole chunks as many pieces.
fn left_count(pieces: usize) -> usize {
    (left_subtree_len(pieces as u64 * blake3::CHUNK_LEN as u64) / blake3::CHUNK_LEN as u64) as usize
}

#[cfg(test)]
mod tests {
    use blake3::hazmat::HasherExt;

    use super::{FRAME_BYTES, PieceHash, joined};

    #[test]
    fn pieces_hash_as_the_whole_does() {
        for len in [FRAME_BYTES + 1, 2 * FRAME_BYTES, 3 * FRAME_BYTES - 5, 7 * FRAME_BYTES + 1024] {
            let whole: Vec<u8> = (0..len).map(|n| (n / 7) as u8).collect();
            let parts = whole.chunks(FRAME_BYTES).enumerate().map(|(n, part)| {
                let mut hasher = blake3::Hasher::new();
                hasher.set_input_offset((n * FRAME_BYTES) as u64).update(part);
                PieceHash::Part(hasher.finalize_non_root())
            });
            assert_eq!(joined(&parts.collect::<Vec<_>>()), Some(*blake3::hash(&whole).as_bytes()), "{len}");
        }
    }
}
