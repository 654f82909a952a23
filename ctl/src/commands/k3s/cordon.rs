use clap::Args;
use rackhaven_proto::v1::CordonRequest;

use super::progress::follow;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// Options of `ctl k3s cordon`.
#[derive(Debug, Args)]
pub(crate) struct CordonArgs {
    /// Nodes, as the fleet calls them or the cluster
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
}

/// Keeps new pods away from nodes; those that are there stay.
pub(super) async fn run(args: CordonArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let mut client = connection.k3s();
    follow(client.cordon(CordonRequest { nodes: args.nodes }), &connection, invocation).await
}
