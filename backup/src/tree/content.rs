//! By what the content of a file is known again.

/// What is looked at as a whole, bytes. Such a piece that is all zero counts as a hole, whether or not the file system
/// keeps it as one.
const PIECE_BYTES: u64 = 64 * 1024;
static ZEROS: [u8; PIECE_BYTES as usize] = [0; PIECE_BYTES as usize];

/// Hashes content that comes in order, with holes. For a file without long runs of zeros it is plain BLAKE3; otherwise
/// BLAKE3 of where those are, and of what is between them. So it does not depend on where a file system keeps holes, and
/// costs nothing for them.
#[derive(Debug)]
pub(super) struct ContentHash {
    hasher: blake3::Hasher,
    gaps: Option<blake3::Hasher>,
    /// The gap that is not hashed yet: where it begins and ends.
    gap: (u64, u64),
    at: u64,
    /// Zeros at the beginning of the piece, as long as nothing else came.
    zeros: u64,
    all_zero: bool,
}

impl ContentHash {
    pub(super) fn new() -> Self {
        Self { hasher: blake3::Hasher::new(), gaps: None, gap: (0, 0), at: 0, zeros: 0, all_zero: true }
    }

    /// Goes on with this.
    pub(super) fn data(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let room = usize::try_from(self.room()).unwrap_or(usize::MAX);
            let (piece, rest) = data.split_at(room.min(data.len()));
            if self.all_zero && is_zero(piece) {
                self.zeros += piece.len() as u64;
            } else {
                self.fill_zeros();
                self.hasher.update(piece);
            }
            self.advance(piece.len() as u64);
            data = rest;
        }
    }

    /// Goes on with so many zeros.
    pub(super) fn hole(&mut self, mut len: u64) {
        while len > 0 {
            if self.at.is_multiple_of(PIECE_BYTES) && len >= PIECE_BYTES {
                let whole = len - len % PIECE_BYTES;
                self.add_gap(self.at, whole);
                self.at += whole;
                len -= whole;
                continue;
            }
            let part = self.room().min(len);
            if self.all_zero {
                self.zeros += part;
            } else {
                self.hasher.update(ZEROS.get(..usize::try_from(part).unwrap_or_default()).unwrap_or_default());
            }
            self.advance(part);
            len -= part;
        }
    }

    /// Of everything that came.
    pub(super) fn finish(mut self) -> [u8; 32] {
        if self.zeros > 0 {
            self.add_gap(self.at - self.zeros, self.zeros);
        }
        self.close_gap();
        let hash = self.hasher.finalize();
        match self.gaps {
            None => *hash.as_bytes(),
            Some(mut gaps) => *gaps.update(&self.at.to_le_bytes()).update(hash.as_bytes()).finalize().as_bytes(),
        }
    }

    fn room(&self) -> u64 {
        PIECE_BYTES - self.at % PIECE_BYTES
    }

    fn fill_zeros(&mut self) {
        self.hasher.update(ZEROS.get(..usize::try_from(self.zeros).unwrap_or_default()).unwrap_or_default());
        self.zeros = 0;
        self.all_zero = false;
    }

    fn advance(&mut self, by: u64) {
        self.at += by;
        if self.at.is_multiple_of(PIECE_BYTES) {
            if self.all_zero {
                self.add_gap(self.at - PIECE_BYTES, PIECE_BYTES);
            }
            self.zeros = 0;
            self.all_zero = true;
        }
    }

    fn add_gap(&mut self, start: u64, len: u64) {
        if self.gap.1 != start {
            self.close_gap();
            self.gap = (start, start);
        }
        self.gap.1 = start + len;
    }

    fn close_gap(&mut self) {
        let (start, end) = self.gap;
        if end > start {
            let gaps = self.gaps.get_or_insert_default();
            gaps.update(&start.to_le_bytes()).update(&(end - start).to_le_bytes());
        }
    }
}

fn is_zero(piece: &[u8]) -> bool {
    piece.first().is_none_or(|first| *first == 0) && piece == ZEROS.get(..piece.len()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ContentHash, PIECE_BYTES};

    fn of(parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = ContentHash::new();
        parts.iter().for_each(|part| hash.data(part));
        hash.finish()
    }

    #[test]
    fn ordinary_content_has_the_plain_hash() {
        for text in [&b""[..], b"x", b"hello\0world", &vec![1; 200_000]] {
            assert_eq!(of(&[text]), *blake3::hash(text).as_bytes());
        }
    }

    #[test]
    fn zeros_count_by_their_number_and_place() {
        let zeros = vec![0_u8; 3 * PIECE_BYTES as usize];
        let hashes = [
            of(&[&zeros]),
            of(&[&zeros[1..]]),
            of(&[b"x", &zeros]),
            of(&[&zeros, b"x"]),
            of(&[b"x"]),
            of(&[b""]),
            of(&[b"\0"]),
        ];
        let different: std::collections::BTreeSet<_> = hashes.iter().collect();
        assert_eq!(different.len(), hashes.len());
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_it_comes(
            runs in prop::collection::vec((0_u8..3, 0_usize..200_000), 0..6),
            cuts in prop::collection::vec(1_usize..150_000, 0..8),
        ) {
            let content: Vec<u8> = runs.iter().flat_map(|(byte, len)| std::iter::repeat_n(*byte, *len)).collect();
            let mut in_pieces = ContentHash::new();
            let mut rest = content.as_slice();
            for cut in cuts {
                let (piece, others) = rest.split_at(cut.min(rest.len()));
                in_pieces.data(piece);
                rest = others;
            }
            in_pieces.data(rest);
            let mut with_holes = ContentHash::new();
            for (byte, len) in runs {
                match byte {
                    0 => with_holes.hole(len as u64),
                    byte => with_holes.data(&vec![byte; len]),
                }
            }
            let whole = of(&[&content]);
            prop_assert_eq!(in_pieces.finish(), whole);
            prop_assert_eq!(with_holes.finish(), whole);
        }
    }
}
