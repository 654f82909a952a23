//! `ctl k3s`: K3s on the nodes.

mod artifacts;

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
}

impl K3sCommand {
    /// Does it.
    pub(crate) async fn run(self, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
        match self {
            Self::Artifacts(command) => command.run(invocation).await,
        }
    }
}
