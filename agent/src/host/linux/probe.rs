use std::path::Path;
use std::sync::Arc;

use nix::time::ClockId;
use rackhaven_proto::model::NodeFacts;
use rackhaven_proto::v1;

use super::clock::nanoseconds;
use super::cores::Cores;
use super::disks::Disks;
use super::file::{Buffer, KernelFile};
use super::file_systems::FileSystems;
use super::networks::Networks;
use super::parse::{Memory, Stall, load, memory, pressure, resident_pages};
use super::sensors::Sensors;
use super::throttling::Throttling;
use super::{Roots, facts};
use crate::host::units::UnitStates;
use crate::host::{AskedBeside, Clock, Probe, sys};

/// How often to look which devices there are.
const DISCOVERY_MS: u64 = 60_000;

/// Measures the board from `/proc` and `/sys`.
pub struct LinuxProbe {
    roots: Roots,
    clock: Arc<dyn Clock>,
    buffer: Buffer,
    stat: KernelFile,
    loadavg: KernelFile,
    meminfo: KernelFile,
    diskstats: KernelFile,
    net_dev: KernelFile,
    own_statm: KernelFile,
    pressures: [KernelFile; 3],
    page_bytes: Option<u64>,
    cores: Cores,
    disks: Disks,
    networks: Networks,
    file_systems: FileSystems,
    sensors: Sensors,
    throttling: Throttling,
    units: UnitStates,
    storage: Vec<v1::StorageHealth>,
    discovered_ms: Option<u64>,
    before: Option<Before>,
}

/// The agent's own clocks at the sample before.
#[derive(Clone, Copy)]
struct Before {
    monotonic_ms: u64,
    cpu_ns: Option<u64>,
}

impl LinuxProbe {
    /// A probe that has not measured yet: its first sample is without shares and rates, which take two.
    pub fn new(roots: Roots, clock: Arc<dyn Clock>) -> Self {
        let file = |path: &str| KernelFile::new(roots.proc.join(path));
        Self {
            clock,
            buffer: Buffer::new(),
            stat: file("stat"),
            loadavg: file("loadavg"),
            meminfo: file("meminfo"),
            diskstats: file("diskstats"),
            net_dev: file("net/dev"),
            own_statm: file("self/statm"),
            pressures: ["pressure/cpu", "pressure/memory", "pressure/io"].map(file),
            page_bytes: sys::page_bytes(),
            cores: Cores::default(),
            disks: Disks::new(),
            networks: Networks::new(),
            file_systems: FileSystems::new(&roots.proc),
            sensors: Sensors::new(),
            throttling: Throttling::new(),
            units: UnitStates::default(),
            storage: Vec::new(),
            discovered_ms: None,
            before: None,
            roots,
        }
    }

    fn discover(&mut self, now_ms: u64) {
        if self.discovered_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < DISCOVERY_MS) {
            return;
        }
        self.discovered_ms = Some(now_ms);
        let sys: &Path = &self.roots.sys;
        self.disks.discover(sys);
        self.file_systems.discover();
        self.sensors.discover(sys);
        self.throttling.discover(&self.roots);
    }

    fn pressure(&mut self) -> Option<v1::Pressure> {
        let [cpu, memory, io]: [Option<Stall>; 3] =
            self.pressures.each_mut().map(|file| file.read(&mut self.buffer).and_then(pressure));
        (cpu.is_some() || memory.is_some() || io.is_some()).then(|| v1::Pressure {
            cpu_some_percent: cpu.map(|stall| stall.some_percent),
            memory_some_percent: memory.map(|stall| stall.some_percent),
            memory_full_percent: memory.and_then(|stall| stall.full_percent),
            io_some_percent: io.map(|stall| stall.some_percent),
            io_full_percent: io.and_then(|stall| stall.full_percent),
        })
    }

    fn own_cost(&mut self, before: Option<Before>, now: Before, elapsed_ms: u64) -> Option<v1::AgentCost> {
        let used_ns = now.cpu_ns?.checked_sub(before?.cpu_ns?)?;
        let pages = self.own_statm.read(&mut self.buffer).and_then(resident_pages)?;
        (elapsed_ms > 0).then_some(v1::AgentCost {
            resident_bytes: pages.saturating_mul(self.page_bytes?),
            cpu_percent: (used_ns as f64 / 1_000_000.0 / elapsed_ms as f64 * 100.0).min(100.0) as f32,
        })
    }
}

impl Probe for LinuxProbe {
    fn facts(&self) -> NodeFacts {
        facts::read(&self.roots)
    }

    fn sample(&mut self) -> v1::Sample {
        // The ticks of `/proc/self/stat` are too coarse: one of them is more than the agent uses in a minute.
        let cpu_ns = nanoseconds(ClockId::CLOCK_PROCESS_CPUTIME_ID);
        let now = Before { monotonic_ms: self.clock.monotonic_ms(), cpu_ns };
        let before = self.before.replace(now);
        let elapsed_ms = before.map_or(0, |before| now.monotonic_ms.saturating_sub(before.monotonic_ms));
        self.discover(now.monotonic_ms);
        let buffer = &mut self.buffer;
        v1::Sample {
            sequence: 0,
            wall_unix_ms: self.clock.wall_unix_ms(),
            uptime_seconds: now.monotonic_ms as f64 / 1_000.0,
            cpu: self.stat.read(buffer).and_then(|text| self.cores.measure(text)),
            load: self.loadavg.read(buffer).and_then(load).map(|[one, five, fifteen]| v1::Load { one, five, fifteen }),
            memory: self.meminfo.read(buffer).and_then(memory).map(memory_on_the_wire),
            disks: self.diskstats.read(buffer).map(|text| self.disks.measure(text, elapsed_ms)).unwrap_or_default(),
            networks: self.net_dev.read(buffer).map(|text| self.networks.measure(text, elapsed_ms)).unwrap_or_default(),
            file_systems: self.file_systems.measure(),
            temperatures: self.sensors.measure(now.monotonic_ms),
            throttling: self.throttling.measure(self.sensors.voltage_alarm()),
            units: self.units.units.clone(),
            k3s: self.units.k3s.clone(),
            storage: self.storage.clone(),
            pressure: self.pressure(),
            agent: self.own_cost(before, now, elapsed_ms),
        }
    }

    fn take(&mut self, told: AskedBeside) {
        match told {
            AskedBeside::Units(units) => self.units = units,
            AskedBeside::Storage(storage) => self.storage = storage,
        }
    }
}

fn memory_on_the_wire(memory: Memory) -> v1::Memory {
    v1::Memory {
        total_bytes: memory.total_bytes,
        available_bytes: memory.available_bytes,
        swap_total_bytes: memory.swap_total_bytes,
        swap_used_bytes: memory.swap_total_bytes.saturating_sub(memory.swap_free_bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use rackhaven_proto::model::Sample;

    use super::LinuxProbe;
    use crate::host::Probe;
    use crate::host::fake::FakeClock;
    use crate::host::linux::{LinuxClock, Roots};

    fn roots(root: &Path) -> Roots {
        let [proc, sys, etc, dev] = ["proc", "sys", "etc", "dev"].map(|dir| root.join(dir));
        Roots { proc, sys, etc, dev, ..Roots::default() }
    }

    fn fixtures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/host/linux/fixtures")
    }

    #[test]
    fn a_pi_that_works() {
        let root = std::env::temp_dir().join(format!("rackhaven-probe-{}", std::process::id()));
        for file in ["stat", "diskstats", "net/dev", "self/statm"] {
            let copy = root.join("proc").join(file);
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::copy(fixtures().join("pi4/proc").join(file), &copy).unwrap();
        }
        let clock = FakeClock::new(1_790_000_000_000);
        let sys = fixtures().join("pi4/sys");
        let mut probe = LinuxProbe::new(Roots { sys, ..roots(&root) }, Arc::new(clock.clone()));
        let first = probe.sample();
        assert!(first.cpu.is_none() && first.disks.is_empty() && first.networks.is_empty() && first.agent.is_none());

        clock.advance_ms(5_000);
        let replace = |file: &str, from: &str, to: &str| {
            let path = root.join("proc").join(file);
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains(from));
            fs::write(path, text.replace(from, to)).unwrap();
        };
        replace("stat", "cpu  812345 2310 601200 33012345", "cpu  812845 2310 601200 33013845");
        replace("diskstats", "mmcblk0 102331 40233 7812344", "mmcblk0 102341 40233 7822344");
        replace("net/dev", "eth0: 91203344012", "eth0: 91203349012");
        let second = probe.sample();
        assert_eq!((second.wall_unix_ms, second.uptime_seconds), (1_790_000_005_000, 5.0));
        assert_eq!(second.cpu.map(|cpu| (cpu.total_percent, cpu.core_percent)), Some((25.0, vec![0.0; 4])));
        assert_eq!((second.disks[0].name.as_str(), second.disks[0].read_bytes_per_second), ("mmcblk0", 1_024_000));
        assert_eq!((second.networks[0].name.as_str(), second.networks[0].received_bytes_per_second), ("eth0", 1_000));
        assert!(second.agent.is_some_and(|agent| agent.resident_bytes >= 1203 * 4096));
        // What this board was not given is absent.
        assert!(second.memory.is_none() && second.load.is_none() && second.pressure.is_none());
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn recorded_boards() {
        let sample = |host: &str| {
            let mut probe = LinuxProbe::new(roots(&fixtures().join(host)), Arc::new(FakeClock::new(0)));
            probe.sample()
        };
        let pi4 = sample("pi4");
        assert_eq!(pi4.load.map(|load| load.one), Some(0.52));
        assert_eq!(pi4.memory.map(|memory| memory.swap_used_bytes), Some(12_544 * 1024));
        assert_eq!(pi4.pressure.and_then(|pressure| pressure.io_full_percent), Some(0.11));
        assert_eq!(pi4.temperatures.len(), 1);
        assert!(pi4.throttling.is_some_and(|flags| flags.under_voltage_now));
        let bananapi = sample("bananapi-m5");
        assert!(bananapi.pressure.is_none() && bananapi.throttling.is_none());
        assert_eq!(bananapi.temperatures.iter().map(|sensor| sensor.celsius).collect::<Vec<_>>(), [41.5, 42.7]);
        let nothing = sample("no-such-host");
        assert!(nothing.memory.is_none() && nothing.file_systems.is_empty() && nothing.temperatures.is_empty());
    }

    #[test]
    fn the_controller_takes_samples_of_this_machine() {
        let mut probe = LinuxProbe::new(Roots::default(), Arc::new(LinuxClock));
        for _ in 0..3 {
            let sample = probe.sample();
            assert!(sample.memory.is_some() && sample.uptime_seconds > 0.0);
            assert!(Sample::try_from(sample).is_ok());
        }
        assert!(probe.facts().memory_total_bytes > 0);
    }
}
