use rackhaven_proto::Invalid;
use rackhaven_proto::model::Severity;
use rackhaven_proto::v1::{self, StoredEvent};
use serde::Serialize;

use crate::output::{Page, Report, as_word};
use crate::style::Style;
use crate::table::{Cell, Column, Table};
use crate::text::Text;
use crate::times::{Zone, rfc3339};

/// One event; `docs/ctl.md` promises this shape.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EventReport {
    pub(crate) position: u64,
    pub(super) time: Option<String>,
    pub(super) node: Option<Text>,
    #[serde(serialize_with = "as_word")]
    pub(super) severity: Severity,
    pub(super) kind: Text,
    pub(super) message: Text,
    pub(super) stored: Option<String>,
}

impl EventReport {
    /// From the controller's answer.
    pub(crate) fn new(event: StoredEvent) -> Result<Self, Invalid> {
        let severity = match v1::Severity::try_from(event.severity) {
            Ok(v1::Severity::Info) => Severity::Info,
            Ok(v1::Severity::Warning) => Severity::Warning,
            Ok(v1::Severity::Critical) => Severity::Critical,
            Ok(v1::Severity::Unspecified) | Err(_) => {
                return Err(Invalid::new("severity", format!("{} is not known", event.severity)));
            }
        };
        Ok(Self {
            position: event.position,
            time: rfc3339(event.happened_unix_ms),
            node: Text::given(&event.node),
            severity,
            kind: Text::new(&event.kind),
            message: Text::new(&event.message),
            stored: rfc3339(event.stored_unix_ms),
        })
    }

    /// One row under [`columns`].
    pub(super) fn cells(&self, page: &Page) -> Vec<Cell> {
        let style = match self.severity {
            Severity::Info => Style::Plain,
            Severity::Warning => Style::Warn,
            Severity::Critical => Style::Bad,
        };
        let form = if page.wide { Zone::full } else { Zone::brief };
        let mut cells = vec![
            Cell::optional(self.time.as_ref().map(|moment| form(&page.zone, moment))),
            Cell::optional(self.node.as_ref().map(ToString::to_string)),
            Cell::styled(self.severity.as_str(), style),
            Cell::plain(self.kind.as_str()),
            Cell::plain(self.message.as_str()),
        ];
        if page.wide {
            cells.insert(0, Cell::plain(self.position.to_string()));
        }
        cells
    }
}

impl Report for EventReport {
    fn render(&self, page: &Page) -> String {
        table(std::slice::from_ref(self), page)
    }
}

/// The columns of events. The machine's word for what happened gives way to the sentence for people.
pub(super) fn columns(page: &Page) -> Vec<Column> {
    let mut columns = vec![
        Column::left("TIME").expects(if page.wide { 19 } else { 14 }),
        Column::left("NODE").shrinks_to(8).expects(8),
        Column::left("SEVERITY").importance(2),
        Column::left("KIND").importance(1).expects(18),
        Column::left("MESSAGE").shrinks_to(36).expects(36),
    ];
    if page.wide {
        columns.insert(0, Column::right("POSITION"));
    }
    columns
}

/// All of them under their titles.
pub(crate) fn table(events: &[EventReport], page: &Page) -> String {
    let mut table = Table::new(columns(page));
    for event in events {
        table.row(event.cells(page));
    }
    table.lines(page.columns, page.colour).join("\n") + "\n"
}
