//! Files with holes: which parts of them are data.

use std::os::fd::AsFd;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::padding;

/// Most parts of one file that are told apart; what comes behind them is taken as one.
const MAX_EXTENTS: usize = 65_536;

/// A part of a file that is data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// The parts of an open file that are data, when it has holes; none when it has none.
pub(super) fn extents(fd: impl AsFd, size: u64) -> Option<Vec<Extent>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match seek(&fd, SeekFrom::Data(at)) {
            Ok(start) => start.min(size),
            // Only a hole is left.
            Err(Errno::NXIO) => break,
            Err(_) => return None,
        };
        let last = found.len() + 1 == MAX_EXTENTS;
        let end = if last { size } else { seek(&fd, SeekFrom::Hole(start)).ok()?.min(size) };
        if end <= start {
            break;
        }
        found.push(Extent { offset: start, len: end - start });
        at = end;
    }
    let whole = found.first().is_some_and(|first| first.offset == 0 && first.len == size);
    if whole || size == 0 { None } else { Some(found) }
}

/// The map that stands before the data of a file with holes, as GNU tar's format 1.0 wants it.
pub(super) fn map_text(extents: &[Extent], size: u64) -> Vec<u8> {
    let ends_with_hole = extents.last().is_none_or(|last| last.offset + last.len < size);
    let end = ends_with_hole.then_some(Extent { offset: size, len: 0 });
    let mut text = format!("{}\n", extents.len() + usize::from(ends_with_hole)).into_bytes();
    for Extent { offset, len } in extents.iter().copied().chain(end) {
        text.extend_from_slice(format!("{offset}\n{len}\n").as_bytes());
    }
    text.resize(text.len() + padding(text.len() as u64), 0);
    text
}

/// Reads a map, number by number, from the start of a member's data.
#[derive(Debug, Default)]
pub(super) struct MapReader {
    numbers: Vec<u64>,
    number: Option<u64>,
}

impl MapReader {
    /// Takes one block of it; returns the extents with the last one.
    ///
    /// # Errors
    /// When it is no map.
    pub(super) fn block(&mut self, block: &[u8], size: u64) -> Result<Option<Vec<Extent>>, &'static str> {
        for byte in block {
            match byte {
                b'0'..=b'9' => {
                    let digit = u64::from(byte - b'0');
                    let number = self.number.unwrap_or(0).checked_mul(10).and_then(|ten| ten.checked_add(digit));
                    self.number = Some(number.ok_or("a number in the map of a sparse file is too large")?);
                }
                b'\n' => self.numbers.push(self.number.take().ok_or("the map of a sparse file has an empty line")?),
                _ => return Err("the map of a sparse file holds something else"),
            }
            if let Some((count, numbers)) = self.numbers.split_first() {
                if *count > MAX_EXTENTS as u64 + 1 {
                    return Err("the map of a sparse file is too long");
                }
                if numbers.len() as u64 == 2 * count {
                    return ordered(numbers, size).map(Some);
                }
            }
        }
        Ok(None)
    }
}

fn ordered(numbers: &[u64], size: u64) -> Result<Vec<Extent>, &'static str> {
    let (mut extents, mut at) = (Vec::new(), 0);
    for pair in numbers.chunks_exact(2) {
        let [offset, len] = pair else { continue };
        let end = offset.checked_add(*len).filter(|end| *offset >= at && *end <= size);
        at = end.ok_or("the map of a sparse file leads out of it")?;
        extents.push(Extent { offset: *offset, len: *len });
    }
    Ok(extents)
}

#[cfg(test)]
mod tests {
    use super::{Extent, MapReader, map_text};

    #[test]
    fn a_map_is_the_same_when_it_is_read_again() {
        let size = 1 << 40;
        let many: Vec<_> = (0..500).map(|n| Extent { offset: n << 20, len: 4096 }).collect();
        for extents in [vec![], vec![Extent { offset: 4096, len: size - 4096 }], many] {
            let text = map_text(&extents, size);
            assert_eq!(text.len() % 512, 0);
            let mut reader = MapReader::default();
            let mut blocks = text.chunks(512).peekable();
            let mut found = None;
            while let Some(block) = blocks.next() {
                found = reader.block(block, size).unwrap();
                assert_eq!(found.is_some(), blocks.peek().is_none());
            }
            let mut found = found.unwrap();
            found.retain(|extent| extent.len > 0);
            assert_eq!(found, extents);
        }
        for bad in ["x", "\n", "1\n5\n", "1\n2\n9\n", "2\n4\n1\n3\n1\n", "99999999999999999999\n", "70000\n"] {
            assert!(!matches!(MapReader::default().block(bad.as_bytes(), 8), Ok(Some(_))), "{bad:?}");
        }
    }
}
