use clap::Args;
use rackhaven_proto::model::k3s::K3sVersion;
use rackhaven_proto::v1::K3sUpgradeRequest;

use super::progress::follow_sequence;
use crate::confirm::{Confirmation, place};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::units::whole_seconds;

/// Options of `ctl k3s upgrade`.
#[derive(Debug, Args)]
pub(crate) struct UpgradeArgs {
    /// The release, such as v1.32.1+k3s1
    version: K3sVersion,
    /// How long the pods of each node may take to move away
    #[arg(long, default_value = "5m", value_name = "TIME", value_parser = whole_seconds)]
    within: u32,
    /// Leave the pods where they are; they go on while K3s is replaced
    #[arg(long, conflicts_with = "within")]
    no_drain: bool,
}

/// Brings the cluster to another release.
pub(super) async fn run(args: UpgradeArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let confirmation = Confirmation::possible(invocation)?;
    let connection = invocation.connect().await?;
    let place = place(&connection).await?;
    let harm = format!(
        "Will bring all nodes of the cluster to {}, one after another, servers first. K3s cannot go back.",
        args.version
    );
    confirmation.ask(invocation, &harm, &place)?;
    let request = K3sUpgradeRequest {
        version: args.version.to_string(),
        drain_seconds: if args.no_drain { 0 } else { args.within },
    };
    follow_sequence(connection.k3s_cluster().upgrade(request), &connection, invocation).await
}
