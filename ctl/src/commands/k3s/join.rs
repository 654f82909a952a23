use clap::Args;
use rackhaven_proto::v1::K3sJoinRequest;

use super::options::{NodeOptions, ServerOptions};
use super::progress::follow_sequence;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// Options of `ctl k3s join`.
#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The nodes
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "NODE")]
    nodes: Vec<String>,
    /// All nodes of the fleet but those that are in the cluster as something else
    #[arg(long)]
    all: bool,
    /// As servers; the cluster must keep its state in etcd
    #[arg(long)]
    server: bool,
    /// Puts right what keeps K3s from running
    #[arg(long)]
    fix: bool,
    #[command(flatten)]
    of_server: ServerOptions,
    #[command(flatten)]
    options: NodeOptions,
}

/// Takes nodes into the cluster.
pub(super) async fn run(args: JoinArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let ServerOptions { address, tls_sans } = args.of_server;
    let of_server = !address.is_empty() || !tls_sans.is_empty();
    if of_server && !args.server {
        return Err(CtlError::usage("--address and --tls-san are for servers").hint("add --server, or leave them out"));
    }
    if (args.all || args.nodes.len() > 1) && !address.is_empty() {
        return Err(CtlError::usage("--address is for one node at a time"));
    }
    let connection = invocation.connect().await?;
    let request = K3sJoinRequest {
        nodes: args.nodes,
        all: args.all,
        server: args.server,
        address,
        options: args.options.asked(tls_sans, Vec::new()),
        fix: args.fix,
    };
    follow_sequence(connection.k3s_cluster().join(request), &connection, invocation).await
}
