use clap::Args;
use rackhaven_proto::v1::UncordonRequest;

use super::progress::follow;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// Options of `ctl k3s uncordon`.
#[derive(Debug, Args)]
pub(crate) struct UncordonArgs {
    /// Nodes, as the fleet calls them or the cluster
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
}

/// Lets new pods come to nodes again, whoever kept them away.
pub(super) async fn run(args: UncordonArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let mut client = connection.k3s();
    follow(client.uncordon(UncordonRequest { nodes: args.nodes }), &connection, invocation).await
}
