//! `ctl node poweroff`.

use clap::Args;
use rackhaven_proto::model::Operation;

use super::order::{self, OrderArgs};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// Options of `ctl node poweroff`.
#[derive(Debug, Args)]
pub(crate) struct PoweroffArgs {
    #[command(flatten)]
    order: OrderArgs,
}

/// Switches a node off.
pub(crate) async fn run(args: PoweroffArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    order::run(Operation::PowerOff, args.order, invocation).await
}
