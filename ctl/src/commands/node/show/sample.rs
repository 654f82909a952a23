use rackhaven_proto::v1::{
    self, AgentCost, Cpu, Disk, FileSystem, Load, Memory, NetworkInterface, Pressure, Sample, StorageHealth,
    Temperature, Throttling,
};
use serde::Serialize;

use crate::text::Text;

/// One measurement; what the node cannot measure is null or empty.
#[derive(Debug, Serialize)]
pub(super) struct SampleReport {
    pub(super) cpu: Option<CpuReport>,
    pub(super) load: Option<LoadReport>,
    pub(super) memory: Option<MemoryReport>,
    pub(super) pressure: Option<PressureReport>,
    pub(super) file_systems: Vec<FileSystemReport>,
    pub(super) disks: Vec<DiskReport>,
    pub(super) networks: Vec<NetworkReport>,
    pub(super) temperatures: Vec<TemperatureReport>,
    pub(super) throttling: Option<ThrottlingReport>,
    pub(super) failed_units: Option<FailedUnitsReport>,
    pub(super) storage: Vec<StorageReport>,
    pub(super) k3s: Option<K3sReport>,
    pub(super) agent: Option<AgentReport>,
}

/// A report whose fields are those of a wire message, under the same names.
macro_rules! figures {
    ($(#[$doc:meta])* $report:ident from $wire:ident { $($number:ident: $type:ty),* $(; texts $($text:ident),+)? }) => {
        $(#[$doc])*
        #[derive(Debug, Serialize)]
        pub(super) struct $report {
            $($(pub(super) $text: Text,)+)?
            $(pub(super) $number: $type,)*
        }

        impl From<$wire> for $report {
            fn from(wire: $wire) -> Self {
                Self { $($($text: Text::new(&wire.$text),)+)? $($number: wire.$number),* }
            }
        }
    };
}

figures! {
    /// Share of busy time.
    CpuReport from Cpu { total_percent: f32, core_percent: Vec<f32> }
}
figures! {
    /// Load averages over 1, 5 and 15 minutes.
    LoadReport from Load { one: f32, five: f32, fifteen: f32 }
}
figures! {
    /// Memory and swap.
    MemoryReport from Memory { total_bytes: u64, available_bytes: u64, swap_total_bytes: u64, swap_used_bytes: u64 }
}
figures! {
    /// Pressure stall information.
    PressureReport from Pressure {
        cpu_some_percent: Option<f32>, memory_some_percent: Option<f32>, memory_full_percent: Option<f32>,
        io_some_percent: Option<f32>, io_full_percent: Option<f32>
    }
}
figures! {
    /// One file system.
    FileSystemReport from FileSystem {
        total_bytes: u64, available_bytes: u64, used_bytes: u64, inodes_total: Option<u64>, inodes_used: Option<u64>,
        read_only: bool; texts mount_point, fs_type
    }
}
figures! {
    /// One disk.
    DiskReport from Disk {
        read_bytes_per_second: u64, written_bytes_per_second: u64, busy_percent: f32; texts name
    }
}
figures! {
    /// One network interface.
    NetworkReport from NetworkInterface {
        received_bytes_per_second: u64, sent_bytes_per_second: u64, errors_total: u64; texts name
    }
}
figures! {
    /// One sensor.
    TemperatureReport from Temperature { celsius: f32; texts sensor }
}
figures! {
    /// The Raspberry Pi firmware's flags.
    ThrottlingReport from Throttling {
        under_voltage_now: bool, frequency_capped_now: bool, throttled_now: bool, soft_temperature_limit_now: bool,
        under_voltage_since_boot: bool, throttled_since_boot: bool
    }
}
figures! {
    /// How worn or damaged a disk or card is.
    StorageReport from StorageHealth {
        failing: bool, used_life_percent: Option<f32>, bad_sectors: Option<u64>, file_system_errors: Option<u64>,
        celsius: Option<f32>; texts device, model
    }
}
figures! {
    /// What the agent itself costs.
    AgentReport from AgentCost { resident_bytes: u64, cpu_percent: f32 }
}

/// The unit of K3s.
#[derive(Debug, Serialize)]
pub(super) struct K3sReport {
    pub(super) unit: Text,
    pub(super) state: Text,
}

/// Failed systemd units.
#[derive(Debug, Serialize)]
pub(super) struct FailedUnitsReport {
    pub(super) count: u32,
    /// The first of them.
    pub(super) names: Vec<Text>,
}

impl SampleReport {
    /// From the wire.
    pub(super) fn new(sample: Sample) -> Self {
        fn all<W, R: From<W>>(wire: Vec<W>) -> Vec<R> {
            wire.into_iter().map(Into::into).collect()
        }
        let units = |units: v1::Units| FailedUnitsReport {
            count: units.failed_count,
            names: units.failed.iter().map(|name| Text::new(name)).collect(),
        };
        Self {
            cpu: sample.cpu.map(Into::into),
            load: sample.load.map(Into::into),
            memory: sample.memory.map(Into::into),
            pressure: sample.pressure.map(Into::into),
            file_systems: all(sample.file_systems),
            disks: all(sample.disks),
            networks: all(sample.networks),
            temperatures: all(sample.temperatures),
            throttling: sample.throttling.map(Into::into),
            failed_units: sample.units.map(units),
            storage: all(sample.storage),
            k3s: sample.k3s.map(|k3s| K3sReport { unit: Text::new(&k3s.unit), state: Text::new(&k3s.state) }),
            agent: sample.agent.map(Into::into),
        }
    }
}

impl StorageReport {
    /// What it tells of its health, worst first.
    pub(super) fn words(&self) -> String {
        let mut words = Vec::new();
        let counted = |count: Option<u64>, noun: &str| count.filter(|count| *count > 0).map(|n| format!("{n} {noun}"));
        words.extend(self.failing.then(|| "FAILING".to_owned()));
        words.extend(counted(self.bad_sectors, "bad sectors"));
        words.extend(counted(self.file_system_errors, "file system errors"));
        if words.is_empty() {
            words.push("no errors".to_owned());
        }
        words.extend(self.used_life_percent.map(|percent| format!("{percent:.0}% of its life used")));
        words.join(", ")
    }

    /// Whether somebody should look at it.
    pub(super) fn ails(&self) -> bool {
        let counts = |count: Option<u64>| count.is_some_and(|count| count > 0);
        self.failing || counts(self.bad_sectors) || counts(self.file_system_errors)
    }
}

impl ThrottlingReport {
    /// The flags that are set, in words; those of now first.
    pub(super) fn words(&self) -> Vec<&'static str> {
        [
            (self.under_voltage_now, "under-voltage now"),
            (self.throttled_now, "throttled now"),
            (self.frequency_capped_now, "frequency capped now"),
            (self.soft_temperature_limit_now, "temperature limit now"),
            (self.under_voltage_since_boot && !self.under_voltage_now, "under-voltage since boot"),
            (self.throttled_since_boot && !self.throttled_now, "throttled since boot"),
        ]
        .into_iter()
        .filter_map(|(set, word)| set.then_some(word))
        .collect()
    }
}
