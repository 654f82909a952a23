//! `ctl alerts ack`.

use clap::Args;
use rackhaven_proto::Invalid;
use rackhaven_proto::v1::AckAlertRequest;
use serde::Serialize;

use super::report::AlertReport;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};

/// Options of `ctl alerts ack`.
#[derive(Debug, Args)]
pub(crate) struct AckArgs {
    /// The alerts, as `ctl alerts list` names them
    #[arg(value_name = "ALERT", required = true)]
    alerts: Vec<String>,
}

/// What `ctl alerts ack` tells; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct AckReport {
    acknowledged: Vec<AlertReport>,
}

/// Says that alerts are known.
pub(super) async fn run(args: AckArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let mut acknowledged = Vec::new();
    for key in args.alerts {
        let response = connection.answer(connection.alerts().ack(AckAlertRequest { key })).await?;
        let alert = response.alert.ok_or_else(|| Invalid::new("alert", "is missing"));
        let report = alert.and_then(|alert| AlertReport::new(&alert));
        acknowledged.push(report.map_err(|invalid| CtlError::strange_answer(&invalid))?);
    }
    invocation.show(&AckReport { acknowledged })?;
    Ok(ExitStatus::Fine)
}

impl Report for AckReport {
    fn render(&self, page: &Page) -> String {
        let line = |alert: &AlertReport| page.fit(&format!("{}: not repeated unless it gets worse", alert.key)) + "\n";
        self.acknowledged.iter().map(line).collect()
    }
}
