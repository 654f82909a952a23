use super::report::{NodeDetailReport, PointReport};
use crate::output::Page;
use crate::sparkline::sparkline;
use crate::style::Style;
use crate::units::{celsius, percent};

/// How wide a drawing of the recent past is at most.
const DRAWING_COLUMNS: usize = 40;
/// The least span of a drawn temperature, degrees: noise of a tenth must not look like a fire.
const LEAST_SPAN_CELSIUS: f32 = 10.0;

/// One figure: how it is now, and how it was.
struct Figure {
    label: &'static str,
    now: Option<f32>,
    past: fn(&PointReport) -> Option<f32>,
    show: fn(f32) -> String,
    /// Between which values it is drawn; none takes its own lowest and highest.
    bounds: Option<(f32, f32)>,
}

/// The figures now, with a drawing of the last hour beside them.
pub(super) fn figures(report: &NodeDetailReport, page: &Page) -> Vec<String> {
    let summary = &report.summary;
    let share = Some((0.0, 100.0));
    let figures = [
        Figure {
            label: "CPU",
            now: summary.cpu_percent,
            past: |point| point.cpu_percent,
            show: percent,
            bounds: share,
        },
        Figure {
            label: "MEMORY",
            now: summary.memory_used_percent,
            past: |point| point.memory_used_percent,
            show: percent,
            bounds: share,
        },
        Figure {
            label: "TEMP",
            now: summary.temperature_celsius,
            past: |point| point.temperature_celsius,
            show: celsius,
            bounds: None,
        },
    ];
    // Minutes reach further back; a node that has just joined has none yet.
    let (points, period) = match report.minutes.len() {
        0 | 1 => (&report.recent, "LATELY"),
        _ => (&report.minutes, "LAST HOUR"),
    };
    let mut lines: Vec<_> = figures.iter().filter_map(|figure| figure.line(points, page)).collect();
    if let Some(load) = report.sample.as_ref().and_then(|sample| sample.load.as_ref()) {
        lines.push(format!("LOAD    {:>7.2}  {:.2} in 5 min, {:.2} in 15 min", load.one, load.five, load.fifteen));
    }
    if let Some(uptime) = summary.uptime() {
        lines.push(format!("UPTIME  {uptime:>7}"));
    }
    if !lines.is_empty() {
        let now = if summary.is_there() { "NOW" } else { "LAST" };
        lines.insert(0, Style::Bold.paint(&page.fit(&format!("{now:>15}  {period}")), page.colour));
    }
    lines
}

impl Figure {
    fn line(&self, points: &[PointReport], page: &Page) -> Option<String> {
        let values: Vec<_> = points.iter().map(self.past).collect();
        let past = self.drawing(&values, page);
        if self.now.is_none() && past.is_none() {
            return None;
        }
        let now = self.now.map_or_else(|| "-".to_owned(), self.show);
        let text = format!("{:<8}{now:>7}  {}", self.label, past.unwrap_or_default());
        Some(page.fit(text.trim_end()))
    }

    fn drawing(&self, values: &[Option<f32>], page: &Page) -> Option<String> {
        let known = || values.iter().flatten().copied();
        let (low, high) = (known().min_by(f32::total_cmp)?, known().max_by(f32::total_cmp)?);
        let (bottom, top) = self.bounds.unwrap_or((low, high.max(low + LEAST_SPAN_CELSIUS)));
        let range = match ((self.show)(low), (self.show)(high)) {
            (low, high) if low == high => low,
            (low, high) => format!("{low} to {high}"),
        };
        let room = page.columns.map_or(DRAWING_COLUMNS, |columns| columns.saturating_sub(19 + range.len()));
        Some(format!("{}  {range}", sparkline(values, bottom, top, room.min(DRAWING_COLUMNS))))
    }
}
