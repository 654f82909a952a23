use super::{lines, next_number, words};

/// A sector as the kernel counts it, whatever the disk's own are.
const SECTOR_BYTES: u64 = 512;

/// What a disk did since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskCounters {
    /// Read, bytes.
    pub read_bytes: u64,
    /// Written, bytes.
    pub written_bytes: u64,
    /// Time in which the disk had work, milliseconds.
    pub busy_ms: u64,
}

/// The disks and partitions in `/proc/diskstats`.
pub fn disks(data: &[u8]) -> impl Iterator<Item = (&str, DiskCounters)> {
    lines(data).filter_map(disk_line)
}

fn disk_line(line: &[u8]) -> Option<(&str, DiskCounters)> {
    let mut words = words(line).skip(2);
    let name = std::str::from_utf8(words.next()?).ok()?;
    // Of reads and of writes alike: completed, merged, sectors, milliseconds. Then in flight, and busy.
    let [_, _, sectors_read, _, _, _, sectors_written, _, _, busy_ms] = {
        let mut numbers = [0_u64; 10];
        for number in &mut numbers {
            *number = next_number(&mut words)?;
        }
        numbers
    };
    let counters = DiskCounters {
        read_bytes: sectors_read.saturating_mul(SECTOR_BYTES),
        written_bytes: sectors_written.saturating_mul(SECTOR_BYTES),
        busy_ms,
    };
    Some((name, counters))
}

#[cfg(test)]
mod tests {
    use super::{DiskCounters, disks};

    #[test]
    fn reads_old_and_new_kernels() {
        let old = b" 179       0 mmcblk0 10 1 200 30 40 5 600 70 0 80 90\n";
        let new = b" 259       0 nvme0n1 10 1 200 30 40 5 600 70 0 80 90 1 2 3 4 5 6\n";
        let counters = DiskCounters { read_bytes: 102_400, written_bytes: 307_200, busy_ms: 80 };
        assert_eq!(disks(old).collect::<Vec<_>>(), [("mmcblk0", counters)]);
        assert_eq!(disks(new).collect::<Vec<_>>(), [("nvme0n1", counters)]);
    }

    #[test]
    fn a_line_that_is_cut_is_left_out() {
        assert_eq!(disks(b" 179 0 mmcblk0 10 1 200 30 40 5 600 70 0").count(), 0);
    }

    #[test]
    fn reads_all_disks_of_a_server() {
        let names: Vec<_> = disks(include_bytes!("../fixtures/x86/proc/diskstats")).map(|disk| disk.0).collect();
        assert!(["nvme0n1", "nvme0n1p2", "sda", "md0", "dm-0"].iter().all(|name| names.contains(name)), "{names:?}");
    }
}
