//! `ctl alerts silence`.

use clap::Args;
use rackhaven_proto::v1::SilenceAlertsRequest;

use super::list::SilenceReport;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::units::whole_seconds;

/// Options of `ctl alerts silence`.
#[derive(Debug, Args)]
pub(crate) struct SilenceArgs {
    /// All of these must be so: rule, node, instance, severity, or a label of the node
    #[arg(value_name = "KEY=VALUE", required = true)]
    matchers: Vec<String>,
    /// For so long, such as 2h or 3d
    #[arg(long = "for", value_name = "TIME", value_parser = whole_seconds)]
    for_seconds: u32,
    /// Why, for those who wonder
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
}

/// Makes a silence.
pub(super) async fn run(args: SilenceArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let SilenceArgs { matchers, for_seconds, reason } = args;
    let request = SilenceAlertsRequest { matchers, for_seconds, reason };
    let silence = connection.answer(connection.alerts().silence(request)).await?;
    invocation.show(&SilenceReport::new(&silence))?;
    Ok(ExitStatus::Fine)
}
