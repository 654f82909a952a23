//! Words and colours of runs.

use rackhaven_proto::model::backup::BackupOutcome;

use super::report::RunReport;
use crate::output::Page;
use crate::style::Style;
use crate::units::{bytes, count, spoken_ms};

/// So many problems, and lines of a dry run, are shown of each run.
const SHOWN_LINES: usize = 20;

/// The colour of an outcome.
pub(super) fn outcome_style(outcome: BackupOutcome) -> Style {
    match outcome {
        BackupOutcome::Ok => Style::Good,
        BackupOutcome::Warn | BackupOutcome::Partial | BackupOutcome::Stopped => Style::Warn,
        BackupOutcome::Failed | BackupOutcome::Refused => Style::Bad,
    }
}

/// How a run ended: a line, and what did not go well.
pub(super) fn result(run: &RunReport, page: &Page) -> Vec<String> {
    let took = spoken_ms((run.duration_seconds * 1000.0) as u64);
    let mut line = format!("{}: {} {}", run.name(), run.action, run.outcome.as_str());
    if run.outcome != BackupOutcome::Refused {
        line += &format!(" after {took}");
    }
    let mut figures = Vec::new();
    if run.files > 0 {
        figures.push(count(usize::try_from(run.files).unwrap_or(usize::MAX), "file"));
    }
    for (figure, what) in [(run.read_bytes, "read"), (run.stored_bytes, "stored")] {
        if figure > 0 {
            figures.push(format!("{} {what}", bytes(figure)));
        }
    }
    if !figures.is_empty() {
        line += &format!(", {}", figures.join(", "));
    }
    let mut lines = vec![outcome_style(run.outcome).paint(&page.fit(&line), page.colour)];
    lines.extend(run.message.as_ref().map(|message| page.fit(&format!("  {message}"))));
    lines.extend(run.archive.as_ref().map(|archive| page.fit(&format!("  archive {archive}"))));
    let shown = run.problems.iter().take(SHOWN_LINES);
    lines.extend(shown.map(|problem| page.fit(&format!("  {}: {}", problem.path, problem.reason))));
    let missing = run.problem_count.saturating_sub(run.problems.len().min(SHOWN_LINES) as u64);
    if missing > 0 {
        lines.push(format!("  … {missing} more problems"));
    }
    lines.extend(run.would.iter().take(SHOWN_LINES).map(|would| page.fit(&format!("  would: {would}"))));
    if run.would.len() > SHOWN_LINES {
        lines.push(format!("  … {} more", run.would.len() - SHOWN_LINES));
    }
    lines
}
