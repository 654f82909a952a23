//! Pure readers of what the kernel prints. Each takes bytes as they were read, believes nothing, and leaves out what
//! it does not understand: a half-written line is a missing figure, never a wrong one or a panic.

mod cpu;
mod disks;
mod memory;
mod mounts;
mod network;
mod pressure;
mod text;

pub use cpu::{CpuTimes, Row, cpu_times, load};
pub use disks::{DiskCounters, disks};
pub use memory::{Memory, memory, resident_pages};
pub use mounts::{Mount, mounts};
pub use network::{NetworkCounters, networks};
pub use pressure::{Stall, pressure};
pub use text::{hexadecimal, integer, pretty_name, printable, wakes};

/// Runs every reader on the same bytes, for fuzzing.
pub fn every_format(data: &[u8]) {
    cpu_times(data).for_each(drop);
    let _ = load(data);
    disks(data).for_each(drop);
    let _ = memory(data);
    let _ = resident_pages(data);
    mounts(data).for_each(drop);
    networks(data).for_each(drop);
    let _ = pressure(data);
    let _ = hexadecimal(data);
    let _ = integer(data);
    let _ = pretty_name(data);
    let _ = printable(data);
    let _ = wakes(data);
}

/// The lines, without their ends.
fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| *byte == b'\n')
}

/// The words of a line.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}

/// A whole word as a number.
fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// The next word as a number.
fn next_number<'a, T: std::str::FromStr>(words: &mut impl Iterator<Item = &'a [u8]>) -> Option<T> {
    number(words.next()?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::every_format;

    /// Calls `each` with every file below `dir`.
    fn walk(dir: &Path, each: &mut impl FnMut(&[u8])) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, each);
            } else {
                each(&fs::read(&path).unwrap());
            }
        }
    }

    #[test]
    fn no_prefix_and_no_damage_of_a_recorded_file_panics() {
        let mut files = 0;
        walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/host/linux/fixtures"), &mut |recorded| {
            files += 1;
            for end in 0..=recorded.len() {
                every_format(&recorded[..end]);
            }
            let mut damaged = recorded.to_vec();
            for at in 0..damaged.len() {
                for byte in [0, b' ', b'\\', b'9', 0xff] {
                    let kept = std::mem::replace(&mut damaged[at], byte);
                    every_format(&damaged[at.saturating_sub(200)..damaged.len().min(at + 200)]);
                    damaged[at] = kept;
                }
            }
        });
        assert!(files > 30, "only {files} recorded files were found");
    }

    #[test]
    fn garbage_does_not_panic() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for length in 0..2000 {
            let alphabet = b"0123456789-.: \t\n\\\"'cpusomefull=/\xff\0";
            let garbage: Vec<u8> = (0..length)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    alphabet[(state % alphabet.len() as u64) as usize]
                })
                .collect();
            every_format(&garbage);
        }
    }
}
