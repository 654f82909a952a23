//! From time to columns: quiet stretches that would press all else into a corner are left out.

use crate::units::spoken;

/// How wide a stretch that is left out is drawn.
const BREAK_COLUMNS: usize = 2;
/// At most so many stretches are left out.
const MOST_BREAKS: usize = 3;
/// A quiet stretch is left out when it is longer than this share of all the rest: a half.
const QUIET_SHARE: u64 = 2;
/// The share of the rest that is still drawn on either side of what is left out: a tenth.
const CONTEXT_SHARE: u64 = 10;
/// No stretch shorter than this is left out, milliseconds.
const LEAST_BREAK_MS: u64 = 30_000;
/// Least columns between the begins of two marks.
const LEAST_MARK_COLUMNS: u64 = 10;

/// Later moments are not drawn, milliseconds: a strange time must not break the arithmetic.
const LAST_MS: u64 = 100 * 365 * 24 * HOUR;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Distances between marks that people count in, milliseconds.
const MARK_STEPS: [u64; 15] = [
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    20 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    20 * MINUTE,
    30 * MINUTE,
    HOUR,
    6 * HOUR,
    24 * HOUR,
];

/// What one column stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// This stretch of time, milliseconds.
    Time(u64, u64),
    /// A part of a stretch that is left out.
    Break,
}

/// The columns of a drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Axis {
    columns: Vec<Column>,
}

impl Axis {
    /// `columns` columns for the time between two moments; `quiet` are the stretches in which nothing happens.
    pub(crate) fn new(quiet: &[(u64, u64)], from_ms: u64, to_ms: u64, columns: usize) -> Self {
        let from_ms = from_ms.min(LAST_MS);
        let to_ms = to_ms.min(LAST_MS).max(from_ms + 1);
        let drawn = stretches(quiet, from_ms, to_ms);
        let room = columns.saturating_sub(BREAK_COLUMNS * drawn.len().saturating_sub(1)).max(1);
        let total: u64 = drawn.iter().map(|(from, to)| to - from).sum();
        let mut cells = Vec::with_capacity(columns);
        let mut passed = 0;
        for (place, (from, to)) in drawn.iter().enumerate() {
            if place > 0 {
                cells.extend([Column::Break; BREAK_COLUMNS]);
            }
            let column_at = |ms: u64| (ms as u128 * room as u128 / u128::from(total)) as usize;
            let wide = (column_at(passed + (to - from)) - column_at(passed)).max(1);
            let moment = |column: usize| from + ((to - from) as u128 * column as u128 / wide as u128) as u64;
            cells.extend((0..wide).map(|column| Column::Time(moment(column), moment(column + 1))));
            passed += to - from;
        }
        cells.truncate(columns);
        Self { columns: cells }
    }

    /// What the columns stand for, from left to right.
    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The line of marks above the columns: `╷0s        ╷30s`.
    pub(crate) fn marks(&self) -> String {
        let times = || {
            self.columns.iter().filter_map(|column| match column {
                Column::Time(from, to) => Some(to - from),
                Column::Break => None,
            })
        };
        let widest = times().max().unwrap_or(1).max(1);
        let wanted = widest.saturating_mul(LEAST_MARK_COLUMNS);
        let step = MARK_STEPS.into_iter().find(|step| *step >= wanted).unwrap_or(wanted.next_multiple_of(24 * HOUR));
        let mut line = String::new();
        let mut used = 0;
        let mut after_break = true;
        for (place, column) in self.columns.iter().enumerate() {
            let Column::Time(from, to) = *column else {
                after_break = true;
                continue;
            };
            // A mark stands where its moment lies; behind a break there is one in any case.
            let due = from.next_multiple_of(step);
            let marked = if due < to || from == due { Some(due) } else { after_break.then_some(from) };
            let Some(marked) = marked else { continue };
            // After hours, between marks that are minutes apart, seconds are of no use.
            let brief = step >= MINUTE && marked >= HOUR;
            let mark = format!("╷{}", moment(if brief { marked - marked % MINUTE } else { marked }));
            if place < used || place + mark.chars().count() > self.columns.len() {
                continue;
            }
            line.extend(std::iter::repeat_n(' ', place - line.chars().count()));
            line.push_str(&mark);
            used = place + mark.chars().count() + 1;
            after_break = false;
        }
        line
    }
}

/// How much of the time between two moments is drawn, milliseconds.
pub(crate) fn drawn_ms(quiet: &[(u64, u64)], from_ms: u64, to_ms: u64) -> u64 {
    stretches(quiet, from_ms, to_ms).iter().map(|(from, to)| to - from).sum()
}

/// The stretches that are drawn, in order; what lies between two of them is left out.
fn stretches(quiet: &[(u64, u64)], from_ms: u64, to_ms: u64) -> Vec<(u64, u64)> {
    let mut quiet: Vec<_> = quiet.iter().map(|(from, to)| (*from.max(&from_ms), *to.min(&to_ms))).collect();
    quiet.retain(|(from, to)| to > from);
    quiet.sort_by_key(|(from, to)| std::cmp::Reverse(to - from));
    let mut drawn = to_ms.saturating_sub(from_ms);
    let mut breaks = Vec::new();
    for (from, to) in quiet.into_iter().take(MOST_BREAKS) {
        let rest = drawn - (to - from);
        if rest == 0 || to - from < LEAST_BREAK_MS.max(rest / QUIET_SHARE) {
            break;
        }
        breaks.push((from, to));
        drawn = rest;
    }
    let context = (drawn / CONTEXT_SHARE).max(SECOND);
    let mut breaks: Vec<_> = breaks.into_iter().map(|(from, to)| (from + context, to - context)).collect();
    breaks.sort_unstable();
    let begins = std::iter::once(from_ms).chain(breaks.iter().map(|(_, to)| *to));
    let ends = breaks.iter().map(|(from, _)| *from).chain(std::iter::once(to_ms));
    begins.zip(ends).filter(|(begin, end)| end > begin).collect()
}

/// A moment of an outage: `45s`, `2m30s`, `1h05m`.
pub(crate) fn moment(ms: u64) -> String {
    let (hours, minutes, seconds) = (ms / HOUR, ms % HOUR / MINUTE, ms % MINUTE / SECOND);
    match (hours, minutes, seconds) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (48.., _, _) => spoken(ms / SECOND).replace(' ', ""),
        (hours, 0, 0) => format!("{hours}h"),
        (hours, minutes, 0) => format!("{hours}h{minutes:02}m"),
        (hours, minutes, seconds) => format!("{hours}h{minutes:02}m{seconds:02}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Axis, Column};

    fn marks(quiet: &[(u64, u64)], from_s: u64, to_s: u64, columns: usize) -> String {
        let quiet: Vec<_> = quiet.iter().map(|(from, to)| (from * 1000, to * 1000)).collect();
        let axis = Axis::new(&quiet, from_s * 1000, to_s * 1000, columns);
        let breaks: String =
            axis.columns().iter().map(|column| if *column == Column::Break { '╱' } else { '─' }).collect();
        format!("\n{}\n{breaks}\n", axis.marks())
    }

    #[test]
    fn golden() {
        let minute = "
╷0s          ╷20s         ╷40s
────────────────────────────────────────
";
        assert_eq!(marks(&[], 0, 60, 40), minute);
        // Quiet, but too short to be left out.
        assert_eq!(marks(&[(10, 29)], 0, 60, 40), minute);
        let growing = "
╷2m08s ╷2m30s    ╷3m       ╷3m30s    ╷4m
────────────────────────────────────────
";
        assert_eq!(marks(&[], 128, 248, 40), growing);
        // Ten minutes on battery, a minute down, two hours off, a minute up.
        let outage = "
╷0s   ╷9m48s        ╷10m30s   ╷11m  ╷2h10m48s     ╷2h11m30s
────╱╱────────────────────────────╱╱────────────────────────
";
        assert_eq!(marks(&[(0, 600), (660, 7860)], 0, 7920, 60), outage);
    }

    #[test]
    fn columns_follow_one_another_and_are_no_more_than_asked_for() {
        for columns in 1..90 {
            for quiet in
                [vec![], vec![(5_000, 95_000)], vec![(0, u64::MAX), (9, 3)], vec![(0, 40_000), (41_000, 1 << 40)]]
            {
                for (from, to) in [(0, 0), (0, 10_000), (3, 100_000_000), (0, u64::MAX), (u64::MAX, 0)] {
                    let axis = Axis::new(&quiet, from, to, columns);
                    assert!(axis.columns().len() <= columns, "{columns} {quiet:?} {from} {to}");
                    assert!(axis.marks().chars().count() <= columns);
                    let mut last = 0;
                    for column in axis.columns() {
                        if let Column::Time(from, to) = column {
                            assert!(*from >= last && to >= from);
                            last = *to;
                        }
                    }
                }
            }
        }
    }
}
