//! `ctl power status`.

use clap::Args;
use rackhaven_proto::v1::GetPowerStatusRequest;

use super::report::PowerReport;
use super::watch;
use crate::connection::Connection;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// Options of `ctl power status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Draw each change until Ctrl-C; while an outage goes on, with a bar for each node
    #[arg(short, long)]
    watch: bool,
}

/// Shows the supply.
pub(crate) async fn run(args: StatusArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    if args.watch {
        return watch::run(invocation).await;
    }
    let connection = invocation.connect().await?;
    let report = fetch(&connection).await?;
    invocation.show(&report)?;
    Ok(ExitStatus::Fine)
}

/// Asks the controller.
pub(super) async fn fetch(connection: &Connection) -> Result<PowerReport, CtlError> {
    let status = connection.answer(connection.power().get_status(GetPowerStatusRequest {})).await?;
    PowerReport::new(status).map_err(|invalid| CtlError::strange_answer(&invalid))
}
