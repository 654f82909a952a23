use super::{lines, next_number, words};

/// The figures of `/proc/meminfo` that are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All memory that the kernel manages, bytes.
    pub total_bytes: u64,
    /// What can be had without swapping, bytes.
    pub available_bytes: u64,
    /// All swap, bytes; 0 is none.
    pub swap_total_bytes: u64,
    /// Unused swap, bytes.
    pub swap_free_bytes: u64,
}

/// Reads `/proc/meminfo`. None unless all figures are there.
pub fn memory(data: &[u8]) -> Option<Memory> {
    let [mut total, mut available, mut swap_total, mut swap_free] = [None; 4];
    for line in lines(data) {
        let mut words = words(line);
        let slot = match words.next() {
            Some(b"MemTotal:") => &mut total,
            Some(b"MemAvailable:") => &mut available,
            Some(b"SwapTotal:") => &mut swap_total,
            Some(b"SwapFree:") => &mut swap_free,
            _ => continue,
        };
        *slot = next_number::<u64>(&mut words).and_then(|kibibytes| kibibytes.checked_mul(1024));
        if let (Some(total_bytes), Some(available_bytes), Some(swap_total_bytes), Some(swap_free_bytes)) =
            (total, available, swap_total, swap_free)
        {
            return Some(Memory { total_bytes, available_bytes, swap_total_bytes, swap_free_bytes });
        }
    }
    None
}

/// The resident pages in `/proc/PID/statm`.
pub fn resident_pages(data: &[u8]) -> Option<u64> {
    next_number(&mut words(data).skip(1))
}

#[cfg(test)]
mod tests {
    use super::{memory, resident_pages};

    #[test]
    fn reads_a_pi() {
        let memory = memory(include_bytes!("../fixtures/pi4/proc/meminfo")).unwrap();
        assert_eq!(memory.total_bytes, 3_885_396 * 1024);
        assert_eq!(memory.available_bytes, 2_817_304 * 1024);
        assert_eq!(memory.swap_total_bytes - memory.swap_free_bytes, 12_544 * 1024);
    }

    #[test]
    fn nothing_is_better_than_half() {
        assert_eq!(memory(b"MemTotal: 1 kB\nMemFree: 1 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"), None);
        assert_eq!(memory(b"MemTotal: 18446744073709551615 kB\n"), None);
    }

    #[test]
    fn reads_the_resident_pages() {
        assert_eq!(resident_pages(b"765 410 381 5 0 123 0\n"), Some(410));
        assert_eq!(resident_pages(b"765"), None);
    }
}
