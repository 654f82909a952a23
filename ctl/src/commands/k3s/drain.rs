use clap::Args;
use rackhaven_proto::v1::DrainRequest;

use super::progress::follow;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::units::whole_seconds;

/// Options of `ctl k3s drain`.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// Nodes, as the fleet calls them or the cluster
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
    /// For each node; what is left then stays, and is told
    #[arg(long, default_value = "5m", value_name = "TIME", value_parser = whole_seconds)]
    within: u32,
    /// Evict pods, too, that nothing would start elsewhere
    #[arg(long)]
    force: bool,
    /// Evict pods, too, that lose data with it
    #[arg(long)]
    delete_emptydir_data: bool,
    /// What pods are given to end, in the place of their own time
    #[arg(long, value_name = "TIME", value_parser = whole_seconds)]
    grace_period: Option<u32>,
}

/// Cordons nodes and evicts their pods, as far as disruption budgets allow.
pub(super) async fn run(args: DrainArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let request = DrainRequest {
        nodes: args.nodes,
        timeout_s: args.within,
        force: args.force,
        delete_emptydir_data: args.delete_emptydir_data,
        grace_period_s: args.grace_period,
    };
    let connection = invocation.connect().await?;
    let mut client = connection.k3s();
    follow(client.drain(request), &connection, invocation).await
}
