//! `ctl k3s`: K3s on the nodes.

mod artifacts;
mod check;
mod cordon;
mod drain;
mod init;
mod join;
mod leave;
mod options;
mod progress;
mod snapshot;
mod status;
mod token;
mod uncordon;
mod upgrade;

use clap::Subcommand;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// What can be done with K3s.
#[derive(Debug, Subcommand)]
pub(crate) enum K3sCommand {
    /// The files of K3s's releases that the controller keeps for nodes: list, add, remove
    #[command(subcommand)]
    Artifacts(artifacts::ArtifactsCommand),
    /// The nodes of K3s, as its API and their agents tell of them
    Status,
    /// Look whether K3s can run on nodes, and put right what keeps it from that
    Check(check::CheckArgs),
    /// Make a node the first server of a new cluster
    Init(init::InitArgs),
    /// Take nodes into the cluster
    Join(join::JoinArgs),
    /// Take nodes out of the cluster and remove K3s from them
    Leave(leave::LeaveArgs),
    /// Save the cluster's state on a server
    Snapshot(snapshot::SnapshotArgs),
    /// Bring the cluster to another release, one node after another
    Upgrade(upgrade::UpgradeArgs),
    /// What nodes join by: rotate
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Keep new pods away from nodes
    Cordon(cordon::CordonArgs),
    /// Let new pods come to nodes again
    Uncordon(uncordon::UncordonArgs),
    /// Cordon nodes and evict their pods, as far as disruption budgets allow
    Drain(drain::DrainArgs),
}

impl K3sCommand {
    /// Does it.
    pub(crate) async fn run(self, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
        match self {
            Self::Artifacts(command) => command.run(invocation).await,
            Self::Status => status::run(invocation).await,
            Self::Check(args) => check::run(args, invocation).await,
            Self::Init(args) => init::run(args, invocation).await,
            Self::Join(args) => join::run(args, invocation).await,
            Self::Leave(args) => leave::run(args, invocation).await,
            Self::Snapshot(args) => snapshot::run(args, invocation).await,
            Self::Upgrade(args) => upgrade::run(args, invocation).await,
            Self::Token(command) => command.run(invocation).await,
            Self::Cordon(args) => cordon::run(args, invocation).await,
            Self::Uncordon(args) => uncordon::run(args, invocation).await,
            Self::Drain(args) => drain::run(args, invocation).await,
        }
    }
}
