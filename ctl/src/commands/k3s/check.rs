use clap::Args;
use rackhaven_proto::v1::K3sCheckRequest;

use super::options::NodeOptions;
use super::progress::follow_sequence;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// Options of `ctl k3s check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The nodes
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
    /// Looks whether it can be a server; before there is a cluster that is what is looked at
    #[arg(long)]
    server: bool,
    /// Looks whether it can keep the cluster's state in etcd
    #[arg(long)]
    embedded_etcd: bool,
    /// Puts right what can be
    #[arg(long)]
    fix: bool,
    #[command(flatten)]
    options: NodeOptions,
}

/// Looks whether K3s can run.
pub(super) async fn run(args: CheckArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let request = K3sCheckRequest {
        nodes: args.nodes,
        server: args.server,
        embedded_etcd: args.embedded_etcd,
        options: args.options.asked(Vec::new(), Vec::new()),
        fix: args.fix,
    };
    follow_sequence(connection.k3s_cluster().check(request), &connection, invocation).await
}
