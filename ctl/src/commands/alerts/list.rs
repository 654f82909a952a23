//! `ctl alerts list`.

use rackhaven_proto::v1::{self, ListAlertsRequest};
use serde::Serialize;

use super::report::{AlertReport, table};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};
use crate::style::Style;
use crate::text::Text;
use crate::times::rfc3339;

/// What `ctl alerts list` tells; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct ListReport {
    alerts: Vec<AlertReport>,
    silences: Vec<SilenceReport>,
    channels: Vec<Text>,
}

/// One silence.
#[derive(Debug, Serialize)]
pub(super) struct SilenceReport {
    id: u64,
    matchers: Vec<Text>,
    until: Option<String>,
    by: Text,
    reason: Option<Text>,
}

impl SilenceReport {
    /// From the controller's answer.
    pub(super) fn new(silence: &v1::AlertSilence) -> Self {
        Self {
            id: silence.id,
            matchers: silence.matchers.iter().map(|matcher| Text::new(matcher)).collect(),
            until: rfc3339(silence.until_unix_ms),
            by: Text::new(&silence.by),
            reason: Text::given(&silence.reason),
        }
    }

    fn line(&self, page: &Page) -> String {
        let words: Vec<_> = self.matchers.iter().map(Text::as_str).collect();
        let until = self.until.as_ref().map(|moment| page.zone.brief(moment)).unwrap_or_default();
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        page.fit(&format!("{}  {}  until {until}  by {}{reason}", self.id, words.join(" "), self.by))
    }
}

impl Report for SilenceReport {
    fn render(&self, page: &Page) -> String {
        self.line(page) + "\n"
    }
}

/// Shows alerts and silences.
pub(super) async fn run(invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let response = connection.answer(connection.alerts().list(ListAlertsRequest {})).await?;
    let alerts = response.alerts.iter().map(AlertReport::new).collect::<Result<_, _>>();
    let report = ListReport {
        alerts: alerts.map_err(|invalid| CtlError::strange_answer(&invalid))?,
        silences: response.silences.iter().map(SilenceReport::new).collect(),
        channels: response.channels.iter().map(|name| Text::new(name)).collect(),
    };
    invocation.show(&report)?;
    Ok(ExitStatus::Fine)
}

impl Report for ListReport {
    fn render(&self, page: &Page) -> String {
        let mut lines = match self.alerts.is_empty() {
            true => vec!["Nothing fires.".to_owned()],
            false => table(&self.alerts, page),
        };
        if !self.silences.is_empty() {
            lines.push(String::new());
            lines.push(Style::Bold.paint("SILENCES", page.colour));
            lines.extend(self.silences.iter().map(|silence| silence.line(page)));
        }
        if self.channels.is_empty() {
            lines.push(String::new());
            lines.push(page.fit("Nobody is told: controller.toml has no [[alerts.channel]]."));
        }
        lines.join("\n") + "\n"
    }
}
