use clap::Args;
use rackhaven_proto::v1::K3sSnapshotRequest;

use super::progress::follow_sequence;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// Options of `ctl k3s snapshot`.
#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    /// The server on which it is made; otherwise the first
    #[arg(long)]
    node: Option<String>,
    /// How it is called, with the time after it: lower-case letters, digits, hyphens; otherwise rackhaven
    #[arg(long)]
    name: Option<String>,
    /// How many of this name are kept
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    keep: u32,
}

/// Saves the cluster's state.
pub(super) async fn run(args: SnapshotArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let request = K3sSnapshotRequest {
        node: args.node.unwrap_or_default(),
        name: args.name.unwrap_or_default(),
        keep: args.keep,
    };
    follow_sequence(connection.k3s_cluster().snapshot(request), &connection, invocation).await
}
