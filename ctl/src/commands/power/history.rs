//! `ctl power history`: past outages; one of them with its drawing and its events.

use clap::Args;
use rackhaven_proto::v1::ListOutagesRequest;
use serde::Serialize;

use super::outage::OutageReport;
use super::summary::{moved, outcome, taken_down};
use super::timeline::{Span, drawing, event_table};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};
use crate::table::{Cell, Column, Table};
use crate::units::spoken;

/// Options of `ctl power history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Only this one, with its timeline
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    outage: Option<u64>,
    /// At most so many, the newest
    #[arg(long, default_value_t = 20, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Drills too
    #[arg(long)]
    drills: bool,
}

/// What `ctl power history` tells; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct HistoryReport {
    outages: Vec<OutageReport>,
    #[serde(skip)]
    one: bool,
}

/// Shows what was.
pub(super) async fn run(args: HistoryArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let number = args.outage.unwrap_or(0);
    let request = ListOutagesRequest { limit: args.limit, number, with_drills: args.drills || number > 0 };
    let response = connection.answer(connection.power().list_outages(request)).await?;
    let outages = response.outages.into_iter().map(OutageReport::new).collect::<Result<Vec<_>, _>>();
    let outages = outages.map_err(|invalid| CtlError::strange_answer(&invalid))?;
    if number > 0 && outages.is_empty() {
        return Err(CtlError::failed(format!("there is no outage {number}"))
            .hint("`ctl power history --drills` shows which there are"));
    }
    if outages.is_empty() {
        invocation.console.note("No outage yet.");
    }
    let one = number > 0 || outages.len() == 1;
    invocation.show(&HistoryReport { outages, one })?;
    Ok(ExitStatus::Fine)
}

impl Report for HistoryReport {
    fn render(&self, page: &Page) -> String {
        match self.outages.as_slice() {
            [] => String::new(),
            [outage] if self.one => whole(outage, page),
            outages => table(outages, page),
        }
    }
}

fn table(outages: &[OutageReport], page: &Page) -> String {
    let mut table = Table::new(vec![
        Column::right("NO"),
        Column::left("KIND"),
        Column::left("BEGUN"),
        Column::right("LASTED"),
        Column::right("OFF"),
        Column::left("OUTCOME").shrinks_to(14),
        Column::left("CAUSE").importance(1).shrinks_to(10),
    ]);
    for outage in outages {
        let (style, told) = outcome(outage);
        table.row(vec![
            Cell::plain(outage.number.to_string()),
            Cell::plain(outage.kind.as_str()),
            Cell::optional(outage.begun.as_ref().map(|moment| page.zone.full(moment))),
            Cell::optional(outage.lasted_seconds.map(|seconds| spoken(seconds as u64))),
            Cell::plain(taken_down(outage).to_string()),
            Cell::styled(told, style),
            Cell::optional(outage.cause.as_ref().map(ToString::to_string)),
        ]);
    }
    table.lines(page.columns, page.colour).join("\n") + "\n"
}

/// One of them: what it was, the bars, and the events.
fn whole(outage: &OutageReport, page: &Page) -> String {
    let what = match outage.kind.as_str() {
        "mains" => "Outage".to_owned(),
        "manual" => "Shutdown".to_owned(),
        "drill" => "Drill".to_owned(),
        other => format!("Outage ({other})"),
    };
    let begun = outage.begun.as_ref().map(|moment| format!(", {}", page.zone.full(moment))).unwrap_or_default();
    let (style, told) = outcome(outage);
    let became = match outage.lasted_seconds {
        Some(seconds) => format!("lasted {}: {told}", spoken(seconds as u64)),
        None => told,
    };
    let mut head = page.painted(style, &format!("{what} {}{begun}, {became}", outage.number));
    if let Some(cause) = &outage.cause {
        head.extend(page.wrapped(&format!("Cause: {cause}")));
    }
    let mut sections = vec![head];
    if moved(outage) {
        let ended_ms = outage.lasted_seconds.map_or(0, |seconds| (seconds * 1000.0) as u64);
        sections.push(drawing(outage, Span::whole(outage.last_ms().max(ended_ms)), page, None));
    }
    if !outage.events.is_empty() {
        sections.push(event_table(&outage.events, page));
    }
    sections.iter().map(|lines| lines.join("\n")).collect::<Vec<_>>().join("\n\n") + "\n"
}
