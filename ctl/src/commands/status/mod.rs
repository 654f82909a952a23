//! `ctl status`: the screen one sees first.

mod render;
mod report;
mod watch;

use std::time::Duration;

use clap::Args;
use rackhaven_proto::model::Verdict;
use rackhaven_proto::v1::GetStatusRequest;

use crate::connection::Connection;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::units::parse_duration;

pub(crate) use render::verdict_text;
pub(crate) use report::StatusReport;

/// Options of `ctl status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Draw again and again until Ctrl-C
    #[arg(short, long)]
    watch: bool,
    /// How often to look with --watch
    #[arg(long, value_parser = parse_duration, default_value = "2s", value_name = "TIME")]
    interval: Duration,
    /// Exit with 3 unless all is well
    #[arg(long, conflicts_with = "watch")]
    check: bool,
}

/// Shows the fleet.
pub(crate) async fn run(args: StatusArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    if args.watch {
        return watch::run(args.interval, invocation).await;
    }
    let connection = invocation.connect().await?;
    let report = fetch(&connection).await?;
    let shown = invocation.show(&report);
    // The verdict counts even if nobody reads the page.
    if args.check && report.verdict() != Verdict::Ok {
        return Ok(ExitStatus::Unhealthy);
    }
    shown.map(|()| ExitStatus::Fine)
}

/// Asks the controller.
pub(crate) async fn fetch(connection: &Connection) -> Result<StatusReport, CtlError> {
    let status = connection.answer(connection.fleet().get_status(GetStatusRequest {})).await?;
    StatusReport::new(status, &connection.origin).map_err(|invalid| CtlError::strange_answer(&invalid))
}
