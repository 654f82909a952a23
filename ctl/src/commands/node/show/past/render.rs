use rackhaven_proto::v1::Spread;

use super::super::super::summary::NodeReport;
use super::report::{FIGURES, HistoryReport, PastReport, PointReport};
use crate::graph::{Bar, bars, painted};
use crate::output::{Page, Report};
use crate::style::Style;
use crate::time_axis::{Span, axis};
use crate::units::{celsius, percent, short_duration, spoken};

/// What stands left of a drawing: the value of its edge, and the edge.
const LABEL_COLUMNS: usize = 6;
/// How wide a page is that no terminal limits.
const USUAL_COLUMNS: usize = 100;
/// How high a drawing is where nothing limits it, and how high it is at most and at least.
const HEIGHTS: (usize, usize, usize) = (4, 8, 2);
/// Lines of a page that are in no drawing: three above, what was heard, two for the time, one for the prompt.
const OTHER_LINES: usize = 7;
/// The least span of a drawn temperature, degrees: noise of a tenth must not look like a fire.
const LEAST_SPAN_CELSIUS: f32 = 10.0;

/// The room for drawings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// How many columns they may take, without what is left of them.
    pub(super) columns: usize,
    rows: Option<usize>,
}

impl Room {
    /// What a page has.
    pub(super) fn of(page: &Page) -> Self {
        let columns = page.columns.unwrap_or(USUAL_COLUMNS).saturating_sub(LABEL_COLUMNS + 1);
        Self { columns: columns.clamp(10, 1500), rows: page.rows }
    }

    /// How high each of so many drawings is.
    fn height(self, drawings: usize) -> usize {
        let (usual, most, least) = HEIGHTS;
        let share = |rows: usize| (rows.saturating_sub(OTHER_LINES + drawings) / drawings.max(1)).clamp(least, most);
        self.rows.map_or(usual, share)
    }
}

/// One figure, and how it is drawn.
struct Figure {
    label: &'static str,
    number: usize,
    now: fn(&NodeReport) -> Option<f32>,
    show: fn(f32) -> String,
    /// Between which values, by the least and the greatest.
    bounds: fn(f32, f32) -> (f32, f32),
    /// From where on it is bad, and very bad.
    limits: (f32, f32),
}

const FIGURE: [Figure; FIGURES] = [
    Figure {
        label: "CPU",
        number: 0,
        now: |node| node.cpu_percent,
        show: percent,
        bounds: share,
        limits: (f32::INFINITY, f32::INFINITY),
    },
    Figure {
        label: "MEMORY",
        number: 1,
        now: |node| node.memory_used_percent,
        show: percent,
        bounds: share,
        limits: (95.0, f32::INFINITY),
    },
    Figure {
        label: "TEMP",
        number: 2,
        now: |node| node.temperature_celsius,
        show: celsius,
        bounds: |low, high| {
            let low = (low / 5.0).floor() * 5.0;
            (low, ((high / 5.0).ceil() * 5.0).max(low + LEAST_SPAN_CELSIUS))
        },
        limits: (80.0, 90.0),
    },
    Figure {
        label: "LOAD",
        number: 3,
        now: |node| node.load_one,
        show: |load| format!("{load:.2}"),
        bounds: |_, high| (0.0, high.ceil().max(1.0)),
        limits: (f32::INFINITY, f32::INFINITY),
    },
    Figure {
        label: "DISK",
        number: 4,
        now: |node| node.disk_used_percent,
        show: percent,
        bounds: share,
        limits: (90.0, 97.0),
    },
];

fn share(_: f32, _: f32) -> (f32, f32) {
    (0.0, 100.0)
}

impl Report for PastReport {
    fn render(&self, page: &Page) -> String {
        let history = &self.history;
        let mut lines = head(self, page);
        let known: Vec<_> = FIGURE.iter().filter(|figure| figure.is_known(&history.points)).collect();
        if known.is_empty() {
            return lines.join("\n") + "\n";
        }
        let height = self.room.height(known.len());
        let wide = (self.room.columns / history.points.len().max(1)).max(1);
        for figure in known {
            lines.push(figure.title(self, page));
            lines.extend(figure.drawing(&history.points, (wide, height), page));
        }
        lines.push(heard(history, wide, page));
        let step_ms = i64::from(history.step_seconds) * 1000;
        let begin_ms = history.points.first().map_or(history.since_ms, |point| point.begin_ms);
        let span = Span { begin_ms, column_ms: step_ms / wide as i64, columns: history.points.len() * wide };
        let (line, labels) = axis(span, &page.zone);
        lines.push(page.fit(&format!("{:LABEL_COLUMNS$}└{line}", "")));
        lines.push(page.fit(format!("{:LABEL_COLUMNS$} {labels}", "").trim_end()));
        lines.join("\n") + "\n"
    }

    fn csv(&self) -> Option<String> {
        Some(self.to_csv())
    }
}

/// Whose figures these are, of when, and how much is missing.
fn head(report: &PastReport, page: &Page) -> Vec<String> {
    let (node, history) = (&report.summary, &report.history);
    let mut state = format!("{}: {} for {}", node.name, node.state, node.state_for());
    if let Some(problem) = node.problems.first() {
        state = format!("{state}; {problem}");
    }
    let moment = |moment: &Option<String>| moment.as_ref().map_or_else(|| "?".to_owned(), |it| page.zone.minute(it));
    let span = short_duration(history.until_ms.saturating_sub(history.since_ms).unsigned_abs() / 1000);
    let step = spoken(history.step_seconds.into());
    let of =
        format!("{} to {}: {span} in steps of {step} (█ mean, ░ most)", moment(&history.since), moment(&history.until));
    let first = match (history.first_ms, &history.first) {
        (Some(first_ms), first) if first_ms > history.until_ms => {
            format!("Nothing of this time; the oldest figures are of {}", moment(first))
        }
        (Some(first_ms), first) => {
            let missing = spoken(u64::from(history.missing_minutes) * 60);
            let heard = match (history.heard_percent, history.missing_minutes) {
                (None, _) => "Nothing yet".to_owned(),
                (Some(_), 0) => "Heard all the time".to_owned(),
                (Some(heard), _) => format!("Heard {heard:.2}% of the time, {missing} missing"),
            };
            let since = format!("; nothing is older than {}", moment(first));
            heard + if first_ms > history.since_ms { &since } else { "" }
        }
        (None, _) => "No figures yet: the first come a minute after a node's first sample".to_owned(),
    };
    vec![node.style().paint(&page.fit(&state), page.colour), page.fit(&of), page.fit(&first)]
}

impl Figure {
    fn spread(&self, point: &PointReport) -> Option<Spread> {
        point.figures[self.number]
    }

    fn is_known(&self, points: &[PointReport]) -> bool {
        points.iter().any(|point| self.spread(point).is_some())
    }

    /// The figure now, and its least, mean and greatest of all the time.
    fn title(&self, report: &PastReport, page: &Page) -> String {
        let history = &report.history;
        let known = || history.points.iter().filter_map(|point| self.spread(point).map(|spread| (point, spread)));
        let weight: f64 = known().map(|(point, _)| f64::from(point.heard_minutes)).sum();
        let sum: f64 = known().map(|(point, it)| f64::from(it.mean) * f64::from(point.heard_minutes)).sum();
        let low = known().map(|(_, spread)| spread.low).min_by(f32::total_cmp);
        let high = known().max_by(|(_, one), (_, other)| one.high.total_cmp(&other.high));
        let shown = |value: Option<f32>| value.map_or_else(|| "-".to_owned(), self.show);
        let mean = (weight > 0.0).then(|| (sum / weight) as f32);
        let at = high.and_then(|(point, _)| {
            page.zone.at(point.begin_ms).map(|moment| moment.strftime(when(history)).to_string())
        });
        let now = if report.summary.is_there() { "now" } else { "last" };
        let text = format!(
            "{:<8}{now:<4} {:>5}   min {:>5}   mean {:>5}   max {:>5} at {}",
            self.label,
            shown((self.now)(&report.summary)),
            shown(low),
            shown(mean),
            shown(high.map(|(_, spread)| spread.high)),
            at.unwrap_or_default(),
        );
        Style::Bold.paint(&page.fit(&text), page.colour)
    }

    fn drawing(&self, points: &[PointReport], (wide, height): (usize, usize), page: &Page) -> Vec<String> {
        let known = || points.iter().filter_map(|point| self.spread(point));
        let low = known().map(|spread| spread.low).min_by(f32::total_cmp).unwrap_or(0.0);
        let high = known().map(|spread| spread.high).max_by(f32::total_cmp).unwrap_or(0.0);
        let bounds = (self.bounds)(low, high);
        let style = |high: f32| match high {
            high if high >= self.limits.1 => Style::Bad,
            high if high >= self.limits.0 => Style::Warn,
            _ => Style::Plain,
        };
        let bar = |point: &PointReport| {
            self.spread(point).map(|spread| Bar { mean: spread.mean, high: spread.high, style: style(spread.high) })
        };
        let columns: Vec<_> = points.iter().flat_map(|point| std::iter::repeat_n(bar(point), wide)).collect();
        let drawn = bars(&columns, bounds, height, page.colour);
        let last = drawn.len().saturating_sub(1);
        let edge = |(number, line): (usize, String)| {
            let label = match number {
                0 => (self.show)(bounds.1),
                number if number == last => (self.show)(bounds.0),
                _ => String::new(),
            };
            format!("{label:>LABEL_COLUMNS$}│{line}")
        };
        drawn.into_iter().enumerate().map(edge).collect()
    }
}

/// How a moment is told within so long a time.
fn when(history: &HistoryReport) -> &'static str {
    match history.until_ms.saturating_sub(history.since_ms) / 3_600_000 {
        0..=24 => "%H:%M",
        25..=8000 => "%m-%d %H:%M",
        _ => "%Y-%m-%d",
    }
}

/// In how much of each step the node was heard, as a line of its own: what was shorter than a step is no gap above.
fn heard(history: &HistoryReport, wide: usize, page: &Page) -> String {
    let step_minutes = (history.step_seconds / 60).max(1);
    let last = history.points.iter().rposition(|point| point.heard_minutes > 0);
    let end_ms = |point: &PointReport| point.begin_ms.saturating_add(i64::from(history.step_seconds) * 1000);
    let is_first = |point: &PointReport| {
        history.first_ms.is_some_and(|first_ms| (point.begin_ms..end_ms(point)).contains(&first_ms))
    };
    let sign = |(number, point): (usize, &PointReport)| match point.heard_minutes {
        0 => (' ', Style::Plain),
        // One that is not over yet, and one within which all began.
        _ if Some(number) == last && end_ms(point) > history.until_ms || is_first(point) => ('█', Style::Good),
        heard if heard >= step_minutes => ('█', Style::Good),
        heard if heard * 2 >= step_minutes => ('▅', Style::Warn),
        _ => ('▂', Style::Bad),
    };
    let signs = history.points.iter().enumerate().map(sign).flat_map(|sign| std::iter::repeat_n(sign, wide));
    format!("{:<LABEL_COLUMNS$}│{}", "HEARD", painted(signs, page.colour))
}
