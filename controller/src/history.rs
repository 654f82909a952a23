//! Minute averages from samples. Pure.

use rackhaven_proto::model::{NodeName, Sample};
use rackhaven_proto::v1::Point;

use crate::store::MinuteRow;

/// The few figures of a sample that are kept.
pub fn point(sample: &Sample, wall_ms: i64) -> Point {
    let wire = sample.as_wire();
    Point {
        wall_unix_ms: wall_ms,
        cpu_percent: wire.cpu.as_ref().map(|cpu| cpu.total_percent),
        memory_used_percent: sample.memory_used_percent(),
        temperature_celsius: sample.hottest_celsius(),
        load_one: wire.load.as_ref().map(|load| load.one),
        disk_used_percent: sample.fullest_file_system().map(|(percent, _)| percent),
    }
}

/// The sums of one node over one minute.
#[derive(Debug, Clone, Default)]
pub struct MinuteSum {
    minute: i64,
    cpu: Sum,
    memory: Sum,
    temperature: Sum,
    load: Sum,
    disk: Sum,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    total: f32,
    count: u16,
}

impl Sum {
    fn add(&mut self, value: Option<f32>) {
        if let Some(value) = value {
            self.total += value;
            self.count = self.count.saturating_add(1);
        }
    }

    fn mean(self) -> Option<f64> {
        (self.count > 0).then(|| f64::from(self.total) / f64::from(self.count))
    }
}

impl MinuteSum {
    /// Adds a point. When it begins another minute, the averages of the one before come back.
    pub fn add(&mut self, node: &NodeName, point: &Point) -> Option<MinuteRow> {
        let minute = point.wall_unix_ms.div_euclid(60_000);
        let complete = (self.minute != minute).then(|| std::mem::take(self)).and_then(|sum| sum.averages(node));
        self.minute = minute;
        self.cpu.add(point.cpu_percent);
        self.memory.add(point.memory_used_percent);
        self.temperature.add(point.temperature_celsius);
        self.load.add(point.load_one);
        self.disk.add(point.disk_used_percent);
        complete
    }

    fn averages(&self, node: &NodeName) -> Option<MinuteRow> {
        let row = MinuteRow {
            node: node.to_string(),
            minute: self.minute,
            cpu: self.cpu.mean(),
            memory: self.memory.mean(),
            temperature: self.temperature.mean(),
            load: self.load.mean(),
            disk: self.disk.mean(),
        };
        let empty = [row.cpu, row.memory, row.temperature, row.load, row.disk].iter().all(Option::is_none);
        (!empty).then_some(row)
    }
}

/// A stored minute as a point.
pub fn minute_point(row: &MinuteRow) -> Point {
    let narrow = |value: Option<f64>| value.map(|value| value as f32);
    Point {
        wall_unix_ms: row.minute.saturating_mul(60_000),
        cpu_percent: narrow(row.cpu),
        memory_used_percent: narrow(row.memory),
        temperature_celsius: narrow(row.temperature),
        load_one: narrow(row.load),
        disk_used_percent: narrow(row.disk),
    }
}

#[cfg(test)]
mod tests {
    use super::{MinuteSum, Point};

    #[test]
    fn a_minute_is_averaged_when_the_next_begins() {
        let pi = "pi".parse().unwrap();
        let mut sum = MinuteSum::default();
        let at = |seconds: i64, cpu: Option<f32>| Point {
            wall_unix_ms: seconds * 1000,
            cpu_percent: cpu,
            ..Point::default()
        };
        assert_eq!(sum.add(&pi, &at(60, Some(10.0))), None);
        assert_eq!(sum.add(&pi, &at(119, Some(30.0))), None);
        let row = sum.add(&pi, &at(120, None)).unwrap();
        assert_eq!((row.minute, row.cpu, row.memory), (1, Some(20.0), None));
        // The second minute had no figure at all.
        assert_eq!(sum.add(&pi, &at(180, Some(1.0))), None);
        // A clock that jumps back ends the minute too.
        assert_eq!(sum.add(&pi, &at(0, Some(2.0))).map(|row| row.minute), Some(3));
    }
}
