use clap::Args;
use rackhaven_proto::model::k3s::{Arch, K3sVersion};
use rackhaven_proto::v1::RemoveArtifactsRequest;

use super::report::ArtifactsReport;
use crate::confirm::{Confirmation, place};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// Options of `ctl k3s artifacts remove`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The release, such as v1.31.4+k3s1
    version: K3sVersion,
    /// Only for these processors: amd64, arm64, armhf
    #[arg(long)]
    arch: Option<Arch>,
}

/// Removes files from the controller. Nodes keep what they have.
pub(super) async fn run(args: RemoveArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let confirmation = Confirmation::possible(invocation)?;
    let connection = invocation.connect().await?;
    let place = place(&connection).await?;
    let arch = args.arch.map_or("", Arch::as_str);
    let of = if arch.is_empty() { String::new() } else { format!(" for {arch}") };
    confirmation.ask(
        invocation,
        &format!("Will remove the files of {}{of} from the controller.", args.version),
        &place,
    )?;
    let request = RemoveArtifactsRequest { version: args.version.to_string(), arch: arch.to_owned() };
    let removed = connection.answer(connection.k3s().remove_artifacts(request)).await?.removed;
    invocation.show(&ArtifactsReport::new(removed)?)?;
    Ok(ExitStatus::Fine)
}
