use rackhaven_proto::Invalid;
use rackhaven_proto::model::Severity;
use rackhaven_proto::v1;
use serde::Serialize;

use crate::output::{Page, as_word};
use crate::style::Style;
use crate::table::{Cell, Column, Table};
use crate::text::Text;
use crate::times::rfc3339;

/// Most alerts that `ctl status` names.
const MOST_IN_STATUS: usize = 5;

/// One alert; `docs/ctl.md` promises this shape.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AlertReport {
    pub(crate) key: Text,
    pub(crate) rule: Text,
    #[serde(serialize_with = "as_word")]
    pub(crate) severity: Severity,
    pub(crate) state: &'static str,
    pub(crate) node: Option<Text>,
    pub(crate) instance: Option<Text>,
    pub(crate) summary: Text,
    pub(crate) advice: Text,
    pub(crate) value: Option<f64>,
    pub(crate) since: Option<String>,
    pub(crate) silenced: bool,
    pub(crate) acknowledged_by: Option<Text>,
}

/// A severity of the wire.
pub(super) fn severity(wire: i32) -> Result<Severity, Invalid> {
    v1::Severity::try_from(wire).map_err(|_| Invalid::new("severity", format!("{wire} is not known")))?.try_into()
}

/// How a severity is drawn.
pub(crate) fn style(severity: Severity) -> Style {
    match severity {
        Severity::Info => Style::Plain,
        Severity::Warning => Style::Warn,
        Severity::Critical => Style::Bad,
    }
}

impl AlertReport {
    /// From the controller's answer.
    pub(crate) fn new(alert: &v1::Alert) -> Result<Self, Invalid> {
        Ok(Self {
            key: Text::new(&alert.key),
            rule: Text::new(&alert.rule),
            severity: severity(alert.severity)?,
            state: if alert.firing { "firing" } else { "pending" },
            node: Text::given(&alert.node),
            instance: Text::given(&alert.instance),
            summary: Text::new(&alert.summary),
            advice: Text::new(&alert.advice),
            value: alert.value,
            since: rfc3339(alert.since_unix_ms),
            silenced: alert.silenced,
            acknowledged_by: Text::given(&alert.acknowledged_by),
        })
    }

    /// What an admin has said of it.
    pub(crate) fn said(&self) -> String {
        let mut said = Vec::new();
        said.extend(self.acknowledged_by.as_ref().map(|by| format!("known to {by}")));
        said.extend(self.silenced.then(|| "silenced".to_owned()));
        said.join(", ")
    }
}

/// All of them under their titles.
pub(super) fn table(alerts: &[AlertReport], page: &Page) -> Vec<String> {
    let mut table = Table::new(vec![
        Column::left("SINCE").expects(14).importance(2),
        Column::left("SEVERITY").importance(3),
        Column::left("STATE").importance(1),
        Column::left("NODE").shrinks_to(8).expects(8).importance(3),
        Column::left("WHAT").shrinks_to(24).expects(30),
        Column::left("SAID").importance(1),
        Column::left("ALERT").shrinks_to(20).expects(24),
    ]);
    for alert in alerts {
        let style = if alert.state == "pending" { Style::Dim } else { style(alert.severity) };
        table.row(vec![
            Cell::optional(alert.since.as_ref().map(|moment| page.zone.brief(moment))),
            Cell::styled(alert.severity.as_str(), style),
            Cell::plain(alert.state),
            Cell::optional(alert.node.as_ref().map(ToString::to_string)),
            Cell::plain(alert.summary.as_str()),
            Cell::plain(alert.said()),
            Cell::plain(alert.key.as_str()),
        ]);
    }
    table.lines(page.columns, page.colour)
}

/// What `ctl status` says of alerts; nothing if none fires. `firing`: how many there are in all.
pub(crate) fn section(alerts: &[AlertReport], firing: u32, page: &Page) -> Vec<String> {
    if alerts.is_empty() {
        return Vec::new();
    }
    let title = format!("ALERTS {firing} firing (ctl alerts list)");
    let mut lines = vec![Style::Bold.paint(&page.fit(&title), page.colour)];
    for alert in alerts.iter().take(MOST_IN_STATUS) {
        let node = alert.node.as_ref().map(|node| format!("{node}: ")).unwrap_or_default();
        let said = Some(alert.said()).filter(|said| !said.is_empty()).map(|said| format!(" ({said})"));
        let line = format!("{} {node}{}{}", alert.severity, alert.summary, said.unwrap_or_default());
        lines.push(style(alert.severity).paint(&page.fit(&line), page.colour));
    }
    let more = (firing as usize).saturating_sub(alerts.len().min(MOST_IN_STATUS));
    if more > 0 {
        lines.push(format!("… {more} more"));
    }
    lines
}
