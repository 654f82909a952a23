//! `ctl k3s`: K3s on the nodes.

mod artifacts;
mod cordon;
mod drain;
mod progress;
mod status;
mod uncordon;

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
            Self::Cordon(args) => cordon::run(args, invocation).await,
            Self::Uncordon(args) => uncordon::run(args, invocation).await,
            Self::Drain(args) => drain::run(args, invocation).await,
        }
    }
}
