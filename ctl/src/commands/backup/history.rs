//! `ctl backup history`: runs that have ended.

use clap::Args;
use rackhaven_proto::Invalid;
use rackhaven_proto::model::{JobName, NodeName};
use rackhaven_proto::v1::ListBackupRunsRequest;
use serde::Serialize;

use super::render::{outcome_style, result};
use super::report::RunReport;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};
use crate::table::{Cell, Column, Table};
use crate::units::{bytes, short_ms};

/// Options of `ctl backup history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Only these jobs
    #[arg(value_name = "JOB")]
    jobs: Vec<JobName>,
    /// Only this node; may be repeated
    #[arg(long = "node", value_name = "NAME")]
    nodes: Vec<NodeName>,
    /// At most so many, the newest; one is shown with all that is known of it
    #[arg(long, default_value_t = 20, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

/// What `ctl backup history` tells; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct HistoryReport {
    runs: Vec<RunReport>,
    #[serde(skip)]
    one: bool,
}

/// Shows what was.
pub(super) async fn run(args: HistoryArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let request = ListBackupRunsRequest {
        nodes: args.nodes.iter().map(ToString::to_string).collect(),
        jobs: args.jobs.iter().map(ToString::to_string).collect(),
        limit: args.limit,
    };
    let response = connection.answer(connection.backups().list_runs(request)).await?;
    let runs = response.runs.into_iter().map(|row| {
        let run = row.run.ok_or_else(|| Invalid::new("runs.run", "is missing"))?;
        RunReport::new(&row.node, run)
    });
    let runs = runs.collect::<Result<Vec<_>, _>>().map_err(|invalid| CtlError::strange_answer(&invalid))?;
    if runs.is_empty() {
        invocation.console.note("No run yet.");
    }
    invocation.show(&HistoryReport { runs, one: args.limit == 1 })?;
    Ok(ExitStatus::Fine)
}

impl Report for HistoryReport {
    fn render(&self, page: &Page) -> String {
        match self.runs.as_slice() {
            [] => String::new(),
            [run] if self.one => result(run, page).join("\n") + "\n",
            runs => table(runs, page),
        }
    }
}

fn table(runs: &[RunReport], page: &Page) -> String {
    let mut columns = vec![
        Column::left("STARTED"),
        Column::left("NODE").shrinks_to(8),
        Column::left("JOB").shrinks_to(6),
        Column::left("ACTION"),
        Column::left("OUTCOME"),
        Column::right("TOOK"),
        Column::right("FILES").importance(1),
        Column::right("READ").importance(2),
        Column::right("STORED").importance(3),
        Column::left("MESSAGE").importance(4).shrinks_to(16),
    ];
    if page.wide {
        columns.extend([Column::left("TRIGGER"), Column::left("ARCHIVE"), Column::left("RUN")]);
    }
    let mut table = Table::new(columns);
    for run in runs {
        let mut cells = vec![
            Cell::optional(run.started.as_ref().map(|moment| page.zone.brief(moment))),
            Cell::plain(run.node.to_string()),
            Cell::plain(run.job.to_string()),
            Cell::plain(run.action.to_string()),
            Cell::styled(run.outcome.as_str(), outcome_style(run.outcome)),
            Cell::plain(short_ms((run.duration_seconds * 1000.0) as u64)),
            Cell::plain(run.files.to_string()),
            Cell::plain(bytes(run.read_bytes)),
            Cell::plain(bytes(run.stored_bytes)),
            Cell::optional(run.message.as_ref().map(ToString::to_string)),
        ];
        if page.wide {
            cells.extend([
                Cell::plain(run.trigger.to_string()),
                Cell::optional(run.archive.as_ref().map(ToString::to_string)),
                Cell::plain(run.run_id.to_string()),
            ]);
        }
        table.row(cells);
    }
    table.lines(page.columns, page.colour).join("\n") + "\n"
}
