//! `ctl node reboot`.

use clap::Args;
use rackhaven_proto::model::Operation;

use super::order::{self, OrderArgs};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// Options of `ctl node reboot`.
#[derive(Debug, Args)]
pub(crate) struct RebootArgs {
    #[command(flatten)]
    order: OrderArgs,
}

/// Reboots a node.
pub(crate) async fn run(args: RebootArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    order::run(Operation::Reboot, args.order, invocation).await
}
