use prost::Message;
use rackhaven_proto::model::Sample;
use rackhaven_proto::v1;

use super::Problem;
use super::health::sample_problems;

/// A sample as the registry keeps it: the figures that every status shows, worked out once, and the rest as it came
/// over the wire, which takes a quarter of the room.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The figures of the status.
    pub figures: Figures,
    /// What is wrong by this sample, worst first.
    pub problems: Vec<Problem>,
    encoded: Box<[u8]>,
}

/// The figures of the status; each absent where not measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Seconds since the node booted.
    pub uptime_seconds: f64,
    /// Busy share of all cores, percent.
    pub cpu_percent: Option<f32>,
    /// Load average over one minute.
    pub load_one: Option<f32>,
    /// Memory in use, percent.
    pub memory_used_percent: Option<f32>,
    /// The fullest file system: its share in use in percent, and its mount point.
    pub disk: Option<(f32, Box<str>)>,
    /// The hottest sensor, degrees Celsius.
    pub temperature_celsius: Option<f32>,
}

impl Reading {
    /// Works out the figures of a sample.
    pub fn new(sample: &Sample) -> Self {
        let wire = sample.as_wire();
        let figures = Figures {
            uptime_seconds: wire.uptime_seconds,
            cpu_percent: wire.cpu.as_ref().map(|cpu| cpu.total_percent),
            load_one: wire.load.as_ref().map(|load| load.one),
            memory_used_percent: sample.memory_used_percent(),
            disk: sample.fullest_file_system().map(|(percent, mount)| (percent, mount.into())),
            temperature_celsius: sample.hottest_celsius(),
        };
        Self { figures, problems: sample_problems(sample), encoded: wire.encode_to_vec().into() }
    }

    /// The whole sample.
    pub fn sample(&self) -> Option<v1::Sample> {
        v1::Sample::decode(&*self.encoded).ok()
    }
}
