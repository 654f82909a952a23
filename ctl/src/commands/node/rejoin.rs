//! `ctl node rejoin`.

use clap::Args;
use rackhaven_proto::model::NodeName;
use rackhaven_proto::v1::RejoinNodeRequest;

use super::invitation;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::units::whole_seconds;

/// Options of `ctl node rejoin`.
#[derive(Debug, Args)]
pub(crate) struct RejoinArgs {
    /// The node
    name: NodeName,
    /// How long the invitation is good
    #[arg(long, value_parser = whole_seconds, default_value = "1h", value_name = "TIME")]
    ttl: u32,
}

/// Makes an invitation by which an enrolled node comes back.
pub(crate) async fn run(args: RejoinArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let request = RejoinNodeRequest { name: args.name.to_string(), ttl_seconds: args.ttl };
    let invitation = connection.answer(connection.fleet().rejoin_node(request)).await?;
    invitation::show(invitation, &connection, invocation, args.name.as_str())?;
    Ok(ExitStatus::Fine)
}
