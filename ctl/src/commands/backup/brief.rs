//! The backups in `ctl status`.

use rackhaven_proto::v1::BackupSummary;
use serde::Serialize;

use crate::output::Page;
use crate::style::Style;
use crate::units::{count, short_duration};

/// All backups in a few figures; `docs/ctl.md` promises this shape.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BackupsReport {
    jobs: u32,
    running: u32,
    failed: u32,
    late: u32,
    troubled: u32,
    never: u32,
    oldest_good_age_seconds: Option<f64>,
}

impl BackupsReport {
    /// From the controller's answer.
    pub(crate) fn new(summary: &BackupSummary) -> Self {
        Self {
            jobs: summary.jobs,
            running: summary.running,
            failed: summary.failed,
            late: summary.late,
            troubled: summary.troubled,
            never: summary.never,
            oldest_good_age_seconds: summary.oldest_good_age_ms.map(|ms| ms as f64 / 1000.0),
        }
    }
}

/// The title and its line.
pub(crate) fn section(report: &BackupsReport, page: &Page) -> Vec<String> {
    let title = "BACKUPS  ";
    let style = match report {
        BackupsReport { failed: 1.., .. } => Style::Bad,
        BackupsReport { late, troubled, .. } if late + troubled > 0 => Style::Warn,
        _ => Style::Plain,
    };
    let mut parts = vec![count(report.jobs as usize, "job")];
    let counts = [
        (report.failed, "failed"),
        (report.late, "late"),
        (report.troubled, "with other troubles"),
        (report.never, "never saved"),
        (report.running, "under way"),
    ];
    parts.extend(counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    parts.extend(report.oldest_good_age_seconds.map(|age| format!("all saved within {}", short_duration(age as u64))));
    let room = Page { columns: page.columns.map(|columns| columns.saturating_sub(title.len())), ..page.clone() };
    let text = style.paint(&room.fit(&parts.join(" · ")), page.colour);
    vec![format!("{}{text}", Style::Bold.paint(title, page.colour))]
}
