use std::path::Path;

use rackhaven_proto::v1;

use super::file::names_in;
use super::parse::{DiskCounters, disks};
use super::previous::{Previous, per_second};

/// Most disks that are reported.
const MAX_DISKS: usize = 64;

/// Measures how busy the disks are.
pub(super) struct Disks {
    whole: Vec<String>,
    previous: Previous<DiskCounters>,
}

impl Disks {
    pub(super) fn new() -> Self {
        Self { whole: Vec::new(), previous: Previous::new() }
    }

    /// Looks which disks there are.
    pub(super) fn discover(&mut self, sys: &Path) {
        self.whole = whole_disks(sys);
    }

    /// The rates since the call before, from `/proc/diskstats`.
    pub(super) fn measure(&mut self, diskstats: &[u8], elapsed_ms: u64) -> Vec<v1::Disk> {
        let mut measured = Vec::with_capacity(self.whole.len());
        for (name, now) in disks(diskstats) {
            if !self.whole.iter().any(|whole| whole == name) {
                continue;
            }
            let before = self.previous.replace(name, now);
            measured.extend(before.and_then(|before| rates(name, before, now, elapsed_ms)));
        }
        self.previous.forget_unseen();
        measured
    }
}

/// The disks that there are. `/sys/block` holds whole disks only; those with a `device` are hardware, and of the others
/// (loop, ram, zram, dm) only md arrays say something that their parts do not.
pub(super) fn whole_disks(sys: &Path) -> Vec<String> {
    let block = sys.join("block");
    let mut whole = names_in(&block);
    whole.retain(|name| {
        // Optical drives and an eMMC's boot areas are hardware, but nobody's disk.
        let boot_area = name.starts_with("mmcblk") && name.contains("boot");
        let no_disk = boot_area || name.starts_with("sr") || name.starts_with("fd");
        !no_disk && (name.starts_with("md") || block.join(name).join("device").exists())
    });
    whole.truncate(MAX_DISKS);
    whole
}

fn rates(name: &str, before: DiskCounters, now: DiskCounters, elapsed_ms: u64) -> Option<v1::Disk> {
    let busy_ms = now.busy_ms.checked_sub(before.busy_ms)?;
    Some(v1::Disk {
        name: name.to_owned(),
        read_bytes_per_second: per_second(before.read_bytes, now.read_bytes, elapsed_ms)?,
        written_bytes_per_second: per_second(before.written_bytes, now.written_bytes, elapsed_ms)?,
        // The kernel's clock ticks are coarser than ours, which can make it a little more than the whole.
        busy_percent: (busy_ms as f64 / elapsed_ms as f64 * 100.0).min(100.0) as f32,
        read_bytes_total: Some(now.read_bytes),
        written_bytes_total: Some(now.written_bytes),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Disks;

    fn disks_of(host: &str) -> Vec<String> {
        let mut disks = Disks::new();
        disks.discover(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/host/linux/fixtures").join(host).join("sys"));
        disks.whole
    }

    #[test]
    fn whole_disks_and_arrays_only() {
        assert_eq!(disks_of("pi4"), ["sda", "mmcblk0"]);
        assert_eq!(disks_of("bananapi-m5"), ["mmcblk0"]);
        assert_eq!(disks_of("x86"), ["md0", "sda", "sdb", "nvme0n1"]);
    }

    #[test]
    fn rates_since_the_sample_before() {
        let mut disks = Disks { whole: vec!["sda".to_owned()], ..Disks::new() };
        let line = |sectors, busy_ms| {
            format!("8 0 sda 1 0 {sectors} 9 1 0 20 9 0 {busy_ms} 9\n8 1 sda1 1 0 1 1 1 0 1 1 0 1 1")
        };
        assert!(disks.measure(line(0, 0).as_bytes(), 0).is_empty());
        let measured = disks.measure(line(100, 500).as_bytes(), 5_000);
        assert_eq!(measured.len(), 1);
        assert_eq!((measured[0].read_bytes_per_second, measured[0].written_bytes_per_second), (10_240, 0));
        assert_eq!(measured[0].busy_percent, 10.0);
        assert_eq!((measured[0].read_bytes_total, measured[0].written_bytes_total), (Some(51_200), Some(10_240)));
        // A disk that was swapped begins at zero again.
        assert!(disks.measure(line(10, 0).as_bytes(), 5_000).is_empty());
        assert_eq!(disks.measure(line(10, 9_000).as_bytes(), 5_000)[0].busy_percent, 100.0);
    }
}
