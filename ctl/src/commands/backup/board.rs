//! All runs that are followed, and how fast they are. Pure: time comes in as an argument.

use std::collections::{BTreeMap, VecDeque};

use super::render::outcome_style;
use super::report::{ProgressReport, RunReport};
use crate::output::Page;
use crate::style::Style;
use crate::table::{Cell, Column, Table};
use crate::units::{bytes, percent, short_duration};

/// The rate is that of the last so many milliseconds.
const RATE_MS: u64 = 15_000;
/// How wide a bar is, columns.
const BAR: usize = 16;
/// Most lines of runs that have ended and stay on the page.
const MAX_ENDED: usize = 50;

/// What is known of the runs that are followed.
#[derive(Debug, Default)]
pub(super) struct Board {
    lines: BTreeMap<(String, String, String), Line>,
}

#[derive(Debug)]
struct Line {
    state: State,
    /// When how much was read, milliseconds and bytes; oldest first.
    samples: VecDeque<(u64, u64)>,
}

#[derive(Debug)]
enum State {
    Running(ProgressReport),
    Ended(RunReport),
}

/// How fast a run is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    /// What is read in a second; none before there is anything to compare.
    pub(super) bytes_per_second: Option<f64>,
    /// How long it will take yet; none where nobody knows how much there is.
    pub(super) left_seconds: Option<u64>,
}

impl Board {
    /// Takes up how far a run is; how fast it is.
    pub(super) fn progress(&mut self, progress: ProgressReport, now_ms: u64) -> Pace {
        let key = (progress.node.to_string(), progress.job.to_string(), progress.run_id.to_string());
        let read = progress.read_bytes;
        let fresh = || Line { state: State::Running(progress.clone()), samples: VecDeque::new() };
        let line = self.lines.entry(key).or_insert_with(fresh);
        if line.samples.back().is_some_and(|(_, before)| *before > read) {
            line.samples.clear();
        }
        line.samples.push_back((now_ms, read));
        while line.samples.len() > 2 && line.samples.front().is_some_and(|(at, _)| at + RATE_MS < now_ms) {
            line.samples.pop_front();
        }
        let pace = line.pace(&progress);
        line.state = State::Running(progress);
        pace
    }

    /// Takes up how a run ended.
    pub(super) fn ended(&mut self, run: RunReport) {
        let key = (run.node.to_string(), run.job.to_string(), run.run_id.to_string());
        self.lines.insert(key, Line { state: State::Ended(run), samples: VecDeque::new() });
        let ended = self.lines.iter().filter(|(_, line)| matches!(line.state, State::Ended(_)));
        let over = ended.clone().count().saturating_sub(MAX_ENDED);
        let oldest: Vec<_> = ended.take(over).map(|(key, _)| key.clone()).collect();
        oldest.iter().for_each(|key| drop(self.lines.remove(key)));
    }

    /// The page.
    pub(super) fn render(&self, page: &Page) -> String {
        if self.lines.is_empty() {
            return "Nothing is under way.\n".to_owned();
        }
        let mut table = Table::new(vec![
            Column::left("NODE").shrinks_to(8),
            Column::left("JOB").shrinks_to(6),
            Column::left("ACTION").importance(3),
            Column::left("PROGRESS"),
            Column::right(""),
            Column::right("READ"),
            Column::right("FILES").importance(2),
            Column::right("RATE").importance(4),
            Column::right("LEFT"),
            Column::left("DOING").importance(1).shrinks_to(10),
        ]);
        self.lines.values().for_each(|line| table.row(line.cells()));
        let mut lines = table.lines(page.columns, page.colour);
        if let Some(rows) = page.rows.filter(|rows| lines.len() >= *rows) {
            let missing = lines.len() - rows.saturating_sub(2);
            lines.truncate(rows.saturating_sub(2));
            lines.push(format!("… {missing} more"));
        }
        lines.join("\n") + "\n"
    }
}

impl Line {
    fn pace(&self, progress: &ProgressReport) -> Pace {
        let ends = self.samples.front().zip(self.samples.back());
        let bytes_per_second = ends.and_then(|((from_ms, from), (to_ms, to))| {
            let ms = to_ms.saturating_sub(*from_ms);
            (ms > 0).then(|| to.saturating_sub(*from) as f64 * 1000.0 / ms as f64)
        });
        let left = progress.expected_bytes.map(|expected| expected.saturating_sub(progress.read_bytes));
        let left_seconds = match (left, bytes_per_second) {
            (Some(left), Some(rate)) if rate >= 1.0 => Some((left as f64 / rate) as u64),
            _ => None,
        };
        Pace { bytes_per_second, left_seconds }
    }

    fn cells(&self) -> Vec<Cell> {
        match &self.state {
            State::Running(progress) => {
                let pace = self.pace(progress);
                let share = progress.share();
                vec![
                    Cell::plain(progress.node.to_string()),
                    Cell::plain(progress.job.to_string()),
                    Cell::plain(progress.action.to_string()),
                    Cell::plain(bar(share)),
                    Cell::optional(share.map(|share| percent((share * 100.0) as f32))),
                    Cell::plain(bytes(progress.read_bytes)),
                    Cell::plain(progress.files.to_string()),
                    Cell::optional(pace.bytes_per_second.map(|rate| format!("{}/s", bytes(rate as u64)))),
                    Cell::optional(pace.left_seconds.map(short_duration)),
                    Cell::styled(progress.phase.to_string(), Style::Dim),
                ]
            }
            State::Ended(run) => {
                let style = outcome_style(run.outcome);
                vec![
                    Cell::plain(run.node.to_string()),
                    Cell::plain(run.job.to_string()),
                    Cell::plain(run.action.to_string()),
                    Cell::styled(run.outcome.as_str(), style),
                    Cell::plain(""),
                    Cell::plain(bytes(run.read_bytes)),
                    Cell::plain(run.files.to_string()),
                    Cell::plain(""),
                    Cell::plain(""),
                    Cell::styled(run.message.as_ref().map(ToString::to_string).unwrap_or_default(), Style::Dim),
                ]
            }
        }
    }
}

/// `██████░░░░`; without a share, nobody knows how much there is.
fn bar(share: Option<f64>) -> String {
    let full = share.map_or(0, |share| (share * BAR as f64) as usize).min(BAR);
    format!("{}{}", "█".repeat(full), "░".repeat(BAR - full))
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::v1::BackupProgress;

    use super::{Board, Pace, ProgressReport, bar};

    fn read(bytes: u64, expected: Option<u64>) -> ProgressReport {
        let progress = BackupProgress { run_id: "r".to_owned(), bytes, bytes_expected: expected, ..Default::default() };
        ProgressReport::new("pi-1", progress)
    }

    #[test]
    fn the_pace_is_that_of_the_last_seconds() {
        let mut board = Board::default();
        let pace = |rate: Option<f64>, left| Pace { bytes_per_second: rate, left_seconds: left };
        for (at_ms, bytes, expected, shown) in [
            (0, 0, Some(10_000), pace(None, None)),
            (1_000, 1_000, Some(10_000), pace(Some(1000.0), Some(9))),
            (1_000, 1_000, None, pace(Some(1000.0), None)),
            (2_000, 4_000, Some(10_000), pace(Some(2000.0), Some(3))),
            // More than was expected.
            (3_000, 12_000, Some(10_000), pace(Some(4000.0), Some(0))),
            // It stands still.
            (40_000, 12_000, Some(20_000), pace(Some(0.0), None)),
            // It has begun anew.
            (41_000, 5, Some(20_000), pace(None, None)),
        ] {
            if at_ms == 40_000 {
                board.progress(read(12_000, expected), 39_000);
            }
            assert_eq!(board.progress(read(bytes, expected), at_ms), shown, "{at_ms}");
        }
    }

    #[test]
    fn bars_have_one_width() {
        for share in [None, Some(0.0), Some(0.5), Some(0.99), Some(1.0), Some(7.0)] {
            assert_eq!(bar(share).chars().count(), 16, "{share:?}");
        }
    }
}
