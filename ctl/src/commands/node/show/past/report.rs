use rackhaven_proto::Invalid;
use rackhaven_proto::v1::{HistoryPoint, NodeHistory, Spread};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::super::super::summary::{NodeReport, finite};
use super::render::Room;
use crate::times::rfc3339;

/// How many figures a point has.
pub(super) const FIGURES: usize = 5;
/// Most points of an answer that is understood.
const MOST_POINTS: i64 = 10_000;

/// The keys of each figure: its mean, least and greatest.
const KEYS: [[&str; 3]; FIGURES] = [
    ["cpu_mean_percent", "cpu_min_percent", "cpu_max_percent"],
    ["memory_used_mean_percent", "memory_used_min_percent", "memory_used_max_percent"],
    ["temperature_mean_celsius", "temperature_min_celsius", "temperature_max_celsius"],
    ["load_one_mean", "load_one_min", "load_one_max"],
    ["disk_used_mean_percent", "disk_used_min_percent", "disk_used_max_percent"],
];

/// What `ctl node show --since` tells; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
pub(super) struct PastReport {
    #[serde(flatten)]
    pub(super) summary: NodeReport,
    pub(super) history: HistoryReport,
    #[serde(skip)]
    pub(super) room: Room,
}

/// The points, and what they are of.
#[derive(Debug, Serialize)]
pub(super) struct HistoryReport {
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
    pub(super) first: Option<String>,
    pub(super) step_seconds: u32,
    pub(super) heard_percent: Option<f64>,
    pub(super) missing_minutes: u32,
    pub(super) points: Vec<PointReport>,
    #[serde(skip)]
    pub(super) since_ms: i64,
    #[serde(skip)]
    pub(super) until_ms: i64,
    #[serde(skip)]
    pub(super) first_ms: Option<i64>,
}

/// One step of time, with figures or without.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PointReport {
    pub(super) begin_ms: i64,
    pub(super) heard_minutes: u32,
    pub(super) figures: [Option<Spread>; FIGURES],
}

impl PastReport {
    /// From the controller's answer.
    pub(super) fn new(history: NodeHistory, room: Room) -> Result<Self, Invalid> {
        let summary = history.summary.ok_or_else(|| Invalid::new("summary", "is missing"))?;
        let (since_ms, until_ms) = (history.since_unix_ms, history.until_unix_ms);
        let expected = f64::from(history.expected_minutes);
        Ok(Self {
            summary: NodeReport::new(summary)?,
            history: HistoryReport {
                since: rfc3339(since_ms),
                until: rfc3339(until_ms),
                first: history.first_unix_ms.and_then(rfc3339),
                step_seconds: history.step_seconds,
                heard_percent: (expected > 0.0).then(|| floored(f64::from(history.heard_minutes) / expected * 100.0)),
                missing_minutes: history.expected_minutes.saturating_sub(history.heard_minutes),
                points: grid(since_ms, until_ms, i64::from(history.step_seconds) * 1000, &history.points)?,
                since_ms,
                until_ms,
                first_ms: history.first_unix_ms,
            },
            room,
        })
    }

    /// As CSV, titles first.
    pub(super) fn to_csv(&self) -> String {
        let titles: Vec<_> = ["time", "heard_minutes"].into_iter().chain(KEYS.into_iter().flatten()).collect();
        let mut text = titles.join(",") + "\n";
        for point in &self.history.points {
            let time = rfc3339(point.begin_ms).unwrap_or_default();
            let cell = |(_, value): (_, Option<f32>)| value.map(|value| value.to_string()).unwrap_or_default();
            let cells = [time, point.heard_minutes.to_string()].into_iter().chain(point.values().map(cell));
            text.push_str(&cells.collect::<Vec<_>>().join(","));
            text.push('\n');
        }
        text
    }
}

/// A share in percent to the hundredth, so that what is not all is never told as all.
fn floored(percent: f64) -> f64 {
    (percent.min(100.0) * 100.0).floor() / 100.0
}

/// All steps of the window, those without figures too.
fn grid(since_ms: i64, until_ms: i64, step_ms: i64, told: &[HistoryPoint]) -> Result<Vec<PointReport>, Invalid> {
    let strange = |reason: String| Invalid::new("history", reason);
    if step_ms <= 0 || until_ms < since_ms {
        return Err(strange(format!("goes from {since_ms} to {until_ms} by {step_ms} ms")));
    }
    let first = since_ms.div_euclid(step_ms);
    let count = until_ms.div_euclid(step_ms) - first + 1;
    if count > MOST_POINTS {
        return Err(strange(format!("has {count} points")));
    }
    let mut points: Vec<_> = (0..count)
        .map(|number| PointReport {
            begin_ms: (first + number).saturating_mul(step_ms),
            heard_minutes: 0,
            figures: [None; FIGURES],
        })
        .collect();
    for point in told {
        let place = point.wall_unix_ms.div_euclid(step_ms).checked_sub(first);
        let place = place.and_then(|place| usize::try_from(place).ok()).and_then(|place| points.get_mut(place));
        let place = place.ok_or_else(|| strange(format!("has a point at {}", point.wall_unix_ms)))?;
        place.heard_minutes = point.heard_minutes;
        let figures = [
            point.cpu_percent,
            point.memory_used_percent,
            point.temperature_celsius,
            point.load_one,
            point.disk_used_percent,
        ];
        place.figures = figures.map(|spread| {
            spread.filter(|it| [it.mean, it.low, it.high].into_iter().all(|value| finite(Some(value)).is_some()))
        });
    }
    Ok(points)
}

impl PointReport {
    /// All values by their keys.
    fn values(&self) -> impl Iterator<Item = (&'static str, Option<f32>)> {
        let figures = KEYS.into_iter().zip(self.figures);
        figures.flat_map(|(keys, spread)| {
            let values = [spread.map(|it| it.mean), spread.map(|it| it.low), spread.map(|it| it.high)];
            keys.into_iter().zip(values)
        })
    }
}

impl Serialize for PointReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("time", &rfc3339(self.begin_ms))?;
        map.serialize_entry("heard_minutes", &self.heard_minutes)?;
        for (key, value) in self.values() {
            map.serialize_entry(key, &value)?;
        }
        map.end()
    }
}
