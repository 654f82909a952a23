use clap::Args;
use rackhaven_proto::v1::K3sLeaveRequest;

use super::progress::follow_sequence;
use crate::confirm::{Confirmation, place};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::units::whole_seconds;

/// Options of `ctl k3s leave`.
#[derive(Debug, Args)]
pub(crate) struct LeaveArgs {
    /// The nodes
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
    /// The nodes are gone for good: only the cluster forgets them
    #[arg(long)]
    forget: bool,
    /// How long their pods may take to move away
    #[arg(long, default_value = "5m", value_name = "TIME", value_parser = whole_seconds)]
    within: u32,
    /// Leave their pods where they are; they end with the node
    #[arg(long, conflicts_with = "within")]
    no_drain: bool,
}

/// Takes nodes out of the cluster.
pub(super) async fn run(args: LeaveArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let confirmation = Confirmation::possible(invocation)?;
    let connection = invocation.connect().await?;
    let place = place(&connection).await?;
    let names = args.nodes.join(", ");
    let harm = match (args.forget, args.no_drain) {
        (true, _) => format!("The cluster will forget {names}; nothing is done on them."),
        (false, true) => {
            format!("Will take {names} out of the cluster, and remove K3s with its pods and their data from them.")
        }
        (false, false) => {
            format!("Will drain {names}, take them out of the cluster, and remove K3s with its pods' data from them.")
        }
    };
    confirmation.ask(invocation, &harm, &place)?;
    let request = K3sLeaveRequest {
        nodes: args.nodes,
        forget: args.forget,
        drain_seconds: if args.no_drain { 0 } else { args.within },
    };
    follow_sequence(connection.k3s_cluster().leave(request), &connection, invocation).await
}
