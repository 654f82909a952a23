use rackhaven_proto::v1;

use super::parse::{CpuTimes, Row, cpu_times};

/// Most cores that are reported, and that the controller takes.
const MAX_CORES: usize = 256;

/// Measures how busy the cores are.
#[derive(Default)]
pub(super) struct Cores {
    all: Option<CpuTimes>,
    // By the core's number; a core that was offline has nothing to compare with.
    each: Vec<Option<CpuTimes>>,
}

impl Cores {
    /// The shares since the call before, from `/proc/stat`. None the first time.
    pub(super) fn measure(&mut self, stat: &[u8]) -> Option<v1::Cpu> {
        let mut total_percent = None;
        let mut core_percent = Vec::with_capacity(self.each.len());
        let mut online = 0;
        for (row, now) in cpu_times(stat) {
            match row {
                Row::All => {
                    total_percent = self.all.replace(now).and_then(|before| now.busy_percent_since(before));
                }
                Row::Core(number) => {
                    let number = usize::from(number);
                    if number >= MAX_CORES || number < online {
                        continue;
                    }
                    if number >= self.each.len() {
                        self.each.resize(number + 1, None);
                    }
                    // Cores whose line is missing are offline; what they had is too old to compare with.
                    self.each.iter_mut().take(number).skip(online).for_each(|slot| *slot = None);
                    online = number + 1;
                    if let Some(before) = self.each.get_mut(number).and_then(|slot| slot.replace(now)) {
                        // A core without a tick slept all the time.
                        core_percent.push(now.busy_percent_since(before).unwrap_or(0.0));
                    }
                }
            }
        }
        self.each.truncate(online);
        Some(v1::Cpu { total_percent: total_percent?, core_percent })
    }
}

#[cfg(test)]
mod tests {
    use super::Cores;

    #[test]
    fn the_first_measurement_is_absent() {
        let mut cores = Cores::default();
        assert_eq!(cores.measure(b"cpu  10 0 0 90\ncpu0 10 0 0 90\n"), None);
        let cpu = cores.measure(b"cpu  20 0 0 180\ncpu0 20 0 0 180\n").unwrap();
        assert_eq!((cpu.total_percent, cpu.core_percent), (10.0, vec![10.0]));
    }

    #[test]
    fn cores_come_and_go() {
        let mut cores = Cores::default();
        cores.measure(b"cpu  2 0 0 2\ncpu0 1 0 0 1\ncpu1 1 0 0 1\n");
        let off = cores.measure(b"cpu  3 0 0 3\ncpu0 2 0 0 2\n").unwrap();
        assert_eq!(off.core_percent, [50.0]);
        let back = cores.measure(b"cpu  4 0 0 4\ncpu0 2 0 0 3\ncpu1 9 0 0 9\n").unwrap();
        assert_eq!(back.core_percent, [0.0]);
        let both = cores.measure(b"cpu  5 0 0 5\ncpu0 3 0 0 3\ncpu1 9 0 0 10\n").unwrap();
        assert_eq!(both.core_percent, [100.0, 0.0]);
    }

    #[test]
    fn nonsense_is_bounded() {
        let mut cores = Cores::default();
        assert_eq!(cores.measure(b"cpu65535 1 0 0 1\ncpu3 1 0 0 1\ncpu1 1 0 0 1\n"), None);
        assert_eq!(cores.each.len(), 4);
    }
}
