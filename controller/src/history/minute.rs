use rackhaven_proto::model::{NodeName, Sample};
use rackhaven_proto::v1::Point;

use super::{FIGURES, Spread, Stretch};

/// One minute of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinuteRow {
    /// Whose.
    pub node: NodeName,
    /// The minute's figures; its slot counts minutes.
    pub stretch: Stretch,
}

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

/// A minute's means as a point.
pub fn minute_point(minute: &Stretch) -> Point {
    let mean = |figure| minute.told(figure).map(|spread| spread.mean);
    Point {
        wall_unix_ms: minute.slot.saturating_mul(60_000),
        cpu_percent: mean(0),
        memory_used_percent: mean(1),
        temperature_celsius: mean(2),
        load_one: mean(3),
        disk_used_percent: mean(4),
    }
}

/// The sums of one node over one minute.
#[derive(Debug, Clone, Default)]
pub struct MinuteSum {
    minute: i64,
    figures: [Sum; FIGURES],
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    total: f64,
    count: u16,
    low: f32,
    high: f32,
}

impl Sum {
    fn add(&mut self, value: Option<f32>) {
        let Some(value) = value.filter(|value| value.is_finite()) else { return };
        (self.low, self.high) = match self.count {
            0 => (value, value),
            _ => (self.low.min(value), self.high.max(value)),
        };
        self.total += f64::from(value);
        self.count = self.count.saturating_add(1);
    }

    fn spread(self, figure: usize) -> Option<Spread> {
        let mean = self.total / f64::from(self.count);
        (self.count > 0).then(|| Spread::measured(figure, mean, self.low, self.high))
    }
}

impl MinuteSum {
    /// Adds a point. When it begins another minute, the one before comes back.
    pub fn add(&mut self, node: &NodeName, point: &Point) -> Option<MinuteRow> {
        let minute = point.wall_unix_ms.div_euclid(60_000);
        let complete = self.end(node, minute);
        self.minute = minute;
        let values = [
            point.cpu_percent,
            point.memory_used_percent,
            point.temperature_celsius,
            point.load_one,
            point.disk_used_percent,
        ];
        self.figures.iter_mut().zip(values).for_each(|(sum, value)| sum.add(value));
        complete
    }

    /// What there is of a minute that is another than `current`: it is over.
    pub fn end(&mut self, node: &NodeName, current: i64) -> Option<MinuteRow> {
        if self.minute == current {
            return None;
        }
        let over = std::mem::take(self);
        let figures = std::array::from_fn(|number| over.figures[number].spread(number));
        let stretch = Stretch { slot: over.minute, minutes: 1, figures };
        figures.iter().any(Option::is_some).then(|| MinuteRow { node: node.clone(), stretch })
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
        assert_eq!(sum.add(&pi, &at(90, None)), None);
        assert_eq!(sum.add(&pi, &at(119, Some(31.0))), None);
        let row = sum.add(&pi, &at(120, None)).unwrap().stretch;
        let told = row.told(0).unwrap();
        assert_eq!((row.slot, told.mean, told.low, told.high), (1, 20.5, 10.0, 31.0));
        assert_eq!(row.told(1), None);
        // The second minute had no figure at all.
        assert_eq!(sum.add(&pi, &at(180, Some(1.0))), None);
        // A clock that jumps back ends the minute too.
        assert_eq!(sum.add(&pi, &at(0, Some(2.0))).map(|row| row.stretch.slot), Some(3));
        // Time alone ends it, once.
        assert_eq!(sum.end(&pi, 0), None);
        assert_eq!(sum.end(&pi, 1).map(|row| row.stretch.slot), Some(0));
        assert_eq!(sum.end(&pi, 2), None);
    }

    #[test]
    fn what_is_no_number_was_not_measured() {
        let pi = "pi".parse().unwrap();
        let mut sum = MinuteSum::default();
        for cpu in [f32::NAN, f32::INFINITY, 7.0] {
            sum.add(&pi, &Point { cpu_percent: Some(cpu), wall_unix_ms: 60_000, ..Point::default() });
        }
        let told = sum.end(&pi, 5).unwrap().stretch.told(0).unwrap();
        assert_eq!((told.mean, told.low, told.high), (7.0, 7.0, 7.0));
    }
}
