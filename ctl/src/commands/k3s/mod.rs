//! `ctl k3s`: K3s on the nodes.

mod abort;
mod apply;
mod artifacts;
mod brief;
mod check;
mod cordon;
mod delete;
mod drain;
mod get;
mod init;
mod join;
mod leave;
mod logs;
mod object;
mod options;
mod progress;
mod rollout;
mod scale;
mod sequence;
mod snapshot;
mod status;
mod token;
mod uncordon;
mod upgrade;

use clap::Subcommand;

pub(crate) use brief::{K3sReport, section};

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
    /// End the sequence that goes on, such as an upgrade; the same command goes on with it later
    Abort,
    /// What nodes join by: rotate
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Keep new pods away from nodes
    Cordon(cordon::CordonArgs),
    /// Let new pods come to nodes again
    Uncordon(uncordon::UncordonArgs),
    /// Cordon nodes and evict their pods, as far as disruption budgets allow
    Drain(drain::DrainArgs),
    /// What is in the cluster: pods, deployments, services, …
    Get(get::GetArgs),
    /// Bring objects of the cluster to what a file says
    Apply(apply::ApplyArgs),
    /// Set how many pods a Deployment or a StatefulSet has
    Scale(scale::ScaleArgs),
    /// Delete an object of the cluster
    Delete(delete::DeleteArgs),
    /// What a pod has logged
    Logs(logs::LogsArgs),
    /// How a Deployment comes to its newest form, or back: status, history, restart, undo
    #[command(subcommand)]
    Rollout(rollout::RolloutCommand),
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
            Self::Abort => abort::run(invocation).await,
            Self::Token(command) => command.run(invocation).await,
            Self::Cordon(args) => cordon::run(args, invocation).await,
            Self::Uncordon(args) => uncordon::run(args, invocation).await,
            Self::Drain(args) => drain::run(args, invocation).await,
            Self::Get(args) => get::run(args, invocation).await,
            Self::Apply(args) => apply::run(args, invocation).await,
            Self::Scale(args) => scale::run(args, invocation).await,
            Self::Delete(args) => delete::run(args, invocation).await,
            Self::Logs(args) => logs::run(args, invocation).await,
            Self::Rollout(command) => command.run(invocation).await,
        }
    }
}
