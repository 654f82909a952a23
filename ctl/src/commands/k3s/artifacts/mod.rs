//! `ctl k3s artifacts`.

mod add;
mod chosen;
mod remove;
mod report;

use clap::Subcommand;
use rackhaven_proto::v1::ListArtifactsRequest;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use report::ArtifactsReport;

/// What can be done with the files of releases.
#[derive(Debug, Subcommand)]
pub(crate) enum ArtifactsCommand {
    /// What the controller has
    List,
    /// Give it files of a release, checked against the release's own list
    Add(add::AddArgs),
    /// Remove the files of a version
    Remove(remove::RemoveArgs),
}

impl ArtifactsCommand {
    /// Does it.
    pub(super) async fn run(self, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
        match self {
            Self::List => {
                let connection = invocation.connect().await?;
                let all = connection.answer(connection.k3s().list_artifacts(ListArtifactsRequest {})).await?;
                invocation.show(&ArtifactsReport::new(all.artifacts)?)?;
                Ok(ExitStatus::Fine)
            }
            Self::Add(args) => add::run(args, invocation).await,
            Self::Remove(args) => remove::run(args, invocation).await,
        }
    }
}
