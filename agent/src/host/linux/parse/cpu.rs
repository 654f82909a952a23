use super::{lines, next_number, number, words};

/// What a core did since boot, in clock ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// Working, or taken by the hypervisor.
    pub busy_ticks: u64,
    /// Idle, or waiting for a disk.
    pub idle_ticks: u64,
}

impl CpuTimes {
    /// The share of the time since `before` that was busy, 0 to 100. None when no tick has passed.
    ///
    /// The kernel's counters may step back a little, its wait for disks above all: a step back counts as no time.
    pub fn busy_percent_since(self, before: Self) -> Option<f32> {
        let busy = self.busy_ticks.saturating_sub(before.busy_ticks) as f64;
        let idle = self.idle_ticks.saturating_sub(before.idle_ticks) as f64;
        let all = busy + idle;
        (all > 0.0).then(|| (busy / all * 100.0) as f32)
    }
}

/// Whose times a line of `/proc/stat` gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// All cores together.
    All,
    /// One core, by its number. Cores that are offline have no line, so numbers may be missing.
    Core(u16),
}

/// The processor times in `/proc/stat`.
pub fn cpu_times(data: &[u8]) -> impl Iterator<Item = (Row, CpuTimes)> {
    // The processors stand first; what follows is long and of no use here.
    lines(data).map_while(|line| line.strip_prefix(b"cpu")).filter_map(cpu_line)
}

fn cpu_line(line: &[u8]) -> Option<(Row, CpuTimes)> {
    let row = match line.first()? {
        b' ' => Row::All,
        _ => Row::Core(number(words(line).next()?)?),
    };
    let mut words = words(line).skip(usize::from(row != Row::All));
    let mut next = || next_number::<u64>(&mut words);
    let (user, nice, system, idle) = (next()?, next()?, next()?, next()?);
    // Kernels have added these one by one. Guest times follow, and are in user and nice already.
    let [iowait, irq, softirq, steal] = [(); 4].map(|()| next().unwrap_or(0));
    let sum = |parts: &[u64]| parts.iter().fold(0, |sum: u64, part| sum.saturating_add(*part));
    let times =
        CpuTimes { busy_ticks: sum(&[user, nice, system, irq, softirq, steal]), idle_ticks: sum(&[idle, iowait]) };
    Some((row, times))
}

/// The averages over 1, 5 and 15 minutes in `/proc/loadavg`.
pub fn load(data: &[u8]) -> Option<[f32; 3]> {
    let mut words = words(data);
    let mut next = || next_number::<f32>(&mut words).filter(|load| load.is_finite());
    Some([next()?, next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::{CpuTimes, Row, cpu_times, load};

    const PI4: &[u8] = include_bytes!("../fixtures/pi4/proc/stat");

    #[test]
    fn reads_all_cores_of_a_pi() {
        let rows: Vec<_> = cpu_times(PI4).collect();
        assert_eq!(rows.len(), 5);
        assert_eq!(rows[0], (Row::All, CpuTimes { busy_ticks: 1_498_341, idle_ticks: 33_078_306 }));
        assert_eq!(rows[4].0, Row::Core(3));
    }

    #[test]
    fn an_offline_core_leaves_a_gap() {
        let rows: Vec<_> = cpu_times(b"cpu  1 0 0 9\ncpu0 1 0 0 9\ncpu3 0 0 0 5\nintr 1\ncpu4 1 1 1 1\n").collect();
        assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), [Row::All, Row::Core(0), Row::Core(3)]);
    }

    #[test]
    fn counters_that_step_back_do_not_underflow() {
        let before = CpuTimes { busy_ticks: 100, idle_ticks: 1000 };
        let percent = |busy_ticks, idle_ticks| CpuTimes { busy_ticks, idle_ticks }.busy_percent_since(before);
        assert_eq!(percent(125, 1075), Some(25.0));
        assert_eq!(percent(110, 990), Some(100.0));
        assert_eq!(percent(90, 1010), Some(0.0));
        assert_eq!(percent(90, 990), None);
        assert_eq!(percent(u64::MAX, u64::MAX), Some(50.0));
    }

    #[test]
    fn reads_the_load() {
        assert_eq!(load(b"0.52 0.58 0.59 2/345 12345\n"), Some([0.52, 0.58, 0.59]));
        assert_eq!(load(b"0.52 0.58"), None);
        assert_eq!(load(b"nan inf 1 2/3 4"), None);
    }
}
