//! `ctl alerts history`.

use clap::Args;
use rackhaven_proto::Invalid;
use rackhaven_proto::model::Severity;
use rackhaven_proto::v1::{self, ListAlertHistoryRequest};
use serde::Serialize;

use super::report::{severity, style};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report, as_word};
use crate::table::{Cell, Column, Table};
use crate::text::Text;
use crate::times::rfc3339;

/// Options of `ctl alerts history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Only this alert's, as `ctl alerts list` names it
    #[arg(value_name = "ALERT", default_value = "", hide_default_value = true)]
    alert: String,
    /// At most so many, the newest
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

/// What `ctl alerts history` tells; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct HistoryReport {
    history: Vec<TurnReport>,
}

/// One turn in an alert's life.
#[derive(Debug, Serialize)]
struct TurnReport {
    time: Option<String>,
    alert: Option<Text>,
    kind: Text,
    #[serde(serialize_with = "as_word")]
    severity: Severity,
    who: Option<Text>,
    message: Text,
}

/// Shows what became of alerts.
pub(super) async fn run(args: HistoryArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let request = ListAlertHistoryRequest { key: args.alert, limit: args.limit };
    let response = connection.answer(connection.alerts().list_history(request)).await?;
    let history = response.turns.iter().map(TurnReport::new).collect::<Result<_, _>>();
    invocation.show(&HistoryReport { history: history.map_err(|invalid| CtlError::strange_answer(&invalid))? })?;
    Ok(ExitStatus::Fine)
}

impl TurnReport {
    fn new(turn: &v1::AlertTurn) -> Result<Self, Invalid> {
        Ok(Self {
            time: rfc3339(turn.wall_unix_ms),
            alert: Text::given(&turn.key),
            kind: Text::new(&turn.kind),
            severity: severity(turn.severity)?,
            who: Text::given(&turn.who),
            message: Text::new(&turn.message),
        })
    }
}

impl Report for HistoryReport {
    fn render(&self, page: &Page) -> String {
        if self.history.is_empty() {
            return "Nothing has fired yet.\n".to_owned();
        }
        let mut table = Table::new(vec![
            Column::left("TIME").expects(14),
            Column::left("ALERT").shrinks_to(20).expects(24),
            Column::left("WHAT"),
            Column::left("SEVERITY").importance(1),
            Column::left("WHO").importance(2),
            Column::left("MESSAGE").shrinks_to(24).expects(30),
        ]);
        let form = if page.wide { crate::times::Zone::full } else { crate::times::Zone::brief };
        for turn in &self.history {
            table.row(vec![
                Cell::optional(turn.time.as_ref().map(|moment| form(&page.zone, moment))),
                Cell::optional(turn.alert.as_ref().map(ToString::to_string)),
                Cell::plain(turn.kind.as_str()),
                Cell::styled(turn.severity.as_str(), style(turn.severity)),
                Cell::optional(turn.who.as_ref().map(ToString::to_string)),
                Cell::plain(turn.message.as_str()),
            ]);
        }
        table.lines(page.columns, page.colour).join("\n") + "\n"
    }
}
