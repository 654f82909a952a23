//! `ctl power abort`.

use clap::Args;
use rackhaven_proto::v1::AbortPowerRequest;
use serde::Serialize;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};
use crate::style::Style;
use crate::text::Text;
use crate::units::count;

/// Options of `ctl power abort`.
#[derive(Debug, Args)]
pub(crate) struct AbortArgs {
    /// Why, for the timeline and the audit log
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
}

/// What `ctl power abort` tells; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct AbortReport {
    kept: Vec<Text>,
    coming_back: Vec<Text>,
}

/// Ends what goes on. It is asked for in a hurry and hits nobody: there is no question before it.
pub(super) async fn run(args: AbortArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let response = connection.answer(connection.power().abort(AbortPowerRequest { reason: args.reason })).await?;
    let texts = |names: &[String]| names.iter().map(|name| Text::new(name)).collect();
    let report = AbortReport { kept: texts(&response.kept), coming_back: texts(&response.coming_back) };
    invocation.show(&report)?;
    if !report.coming_back.is_empty() {
        invocation.console.note("See them come back: ctl power status --watch");
    }
    Ok(ExitStatus::Fine)
}

impl Report for AbortReport {
    fn render(&self, page: &Page) -> String {
        let listed = |names: &[Text]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let mut lines = vec![Style::Good.paint("Aborted.", page.colour)];
        if !self.kept.is_empty() {
            lines.push(format!("{} kept: {}", count(self.kept.len(), "node"), listed(&self.kept)));
        }
        if !self.coming_back.is_empty() {
            let off = count(self.coming_back.len(), "node");
            lines.push(format!("{off} off already and on the way back: {}", listed(&self.coming_back)));
        }
        lines.join("\n") + "\n"
    }
}
