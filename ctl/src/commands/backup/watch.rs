//! `ctl backup watch`: what is under way, from any terminal.

use clap::Args;
use rackhaven_proto::model::backup::BackupRunId;

use super::follow::{End, Following};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::screen::Signals;

/// Options of `ctl backup watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Only these runs, until they have ended; none for all, until Ctrl-C
    #[arg(value_name = "RUN")]
    runs: Vec<BackupRunId>,
}

/// Follows.
pub(super) async fn run(args: WatchArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let mut target = invocation.target()?;
    let connection = invocation.connect_to(&mut target).await?;
    let signals = Signals::listen()?;
    let run_ids: Vec<_> = args.runs.iter().map(ToString::to_string).collect();
    let mut following = match run_ids.is_empty() {
        true => Following::all(&target, false),
        false => Following::new(run_ids, &target, false),
    };
    match following.run(connection, signals, invocation).await? {
        End::Through { good: false } => Ok(ExitStatus::Failed),
        End::Through { good: true } | End::Left => Ok(ExitStatus::Fine),
    }
}
