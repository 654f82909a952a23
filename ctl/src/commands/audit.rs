//! `ctl audit`.

use clap::Args;
use rackhaven_proto::v1::{AuditRecord, ListAuditRequest};
use serde::Serialize;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Format, Page, Report};
use crate::style::Style;
use crate::table::{Cell, Column, Table};
use crate::text::Text;
use crate::times::rfc3339;

/// Options of `ctl audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// At most so many records, the newest
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Let the controller check the whole chain of hashes first
    #[arg(long)]
    verify: bool,
}

/// One record of the audit log; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct AuditReport {
    position: u64,
    time: Option<String>,
    who: Text,
    from: Text,
    action: Text,
    target: Text,
    outcome: Text,
    hash: Text,
}

/// Shows who did what.
pub(crate) async fn run(args: AuditArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let request = ListAuditRequest { limit: args.limit, verify: args.verify };
    let mut stream = connection.answer(connection.access().list_audit(request)).await?;
    let for_people = matches!(invocation.global.output, Format::Table | Format::Wide);
    let mut records = Vec::new();
    while let Some(record) = connection.answer_of_stream(&mut stream).await? {
        let report = AuditReport::new(record);
        match for_people {
            true => records.push(report),
            false => invocation.show_one(&report)?,
        }
    }
    if for_people {
        let lines = table(&records, &invocation.page());
        invocation.draw(lines)?;
    }
    if args.verify {
        invocation.console.note("The chain of hashes is whole.");
    }
    Ok(ExitStatus::Fine)
}

impl AuditReport {
    fn new(record: AuditRecord) -> Self {
        Self {
            position: record.position,
            time: rfc3339(record.wall_unix_ms),
            who: Text::new(&record.who),
            from: Text::new(&record.from),
            action: Text::new(&record.action),
            target: Text::new(&record.target),
            outcome: Text::new(&record.outcome),
            hash: Text::new(&record.hash),
        }
    }
}

impl Report for AuditReport {
    fn render(&self, page: &Page) -> String {
        table(std::slice::from_ref(self), page)
    }
}

fn table(records: &[AuditReport], page: &Page) -> String {
    let mut columns = vec![
        Column::left("TIME"),
        Column::left("WHO").shrinks_to(12),
        Column::left("FROM").importance(1),
        Column::left("ACTION"),
        Column::left("TARGET").importance(2).shrinks_to(12),
        Column::left("OUTCOME").shrinks_to(18),
    ];
    if page.wide {
        columns.extend([Column::right("POSITION"), Column::left("HASH")]);
    }
    let mut table = Table::new(columns);
    for record in records {
        let style = if record.outcome.as_str().starts_with("ok") { Style::Plain } else { Style::Warn };
        let form = if page.wide { crate::times::Zone::full } else { crate::times::Zone::brief };
        let mut cells = vec![
            Cell::optional(record.time.as_ref().map(|moment| form(&page.zone, moment))),
            Cell::plain(record.who.as_str()),
            Cell::plain(record.from.as_str()),
            Cell::plain(record.action.as_str()),
            Cell::plain(record.target.as_str()),
            Cell::styled(record.outcome.as_str(), style),
        ];
        if page.wide {
            cells.extend([Cell::plain(record.position.to_string()), Cell::plain(record.hash.as_str())]);
        }
        table.row(cells);
    }
    table.lines(page.columns, page.colour).join("\n") + "\n"
}
