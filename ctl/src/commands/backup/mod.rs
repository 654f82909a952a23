//! `ctl backup`: what nodes save, and how to get it back.

mod archives;
mod board;
mod brief;
mod follow;
mod history;
mod jobs;
mod render;
mod report;
mod restore;
mod start;
mod stop;
mod watch;

use clap::Subcommand;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

pub(crate) use brief::{BackupsReport, section};

/// What can be done about backups.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// The jobs of all nodes and how they are; give jobs to nodes, take them back
    Jobs(jobs::JobsArgs),
    /// Save now
    Run(start::RunArgs),
    /// Read archives back and compare them with what they should be
    Verify(start::VerifyArgs),
    /// Bring files back
    Restore(restore::RestoreArgs),
    /// Remove the archives that retention does not keep
    Prune(start::PruneArgs),
    /// Runs that have ended, newest first
    History(history::HistoryArgs),
    /// The archives that there are, newest first
    Archives(archives::ArchivesArgs),
    /// Follow runs that are under way
    Watch(watch::WatchArgs),
    /// End runs cleanly, before their time
    Stop(stop::StopArgs),
}

impl BackupCommand {
    /// Does it.
    pub(crate) async fn run(self, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
        match self {
            Self::Jobs(args) => Box::pin(jobs::run(args, invocation)).await,
            Self::Run(args) => Box::pin(start::run(args, invocation)).await,
            Self::Verify(args) => Box::pin(start::verify(args, invocation)).await,
            Self::Restore(args) => Box::pin(restore::run(args, invocation)).await,
            Self::Prune(args) => Box::pin(start::prune(args, invocation)).await,
            Self::History(args) => history::run(args, invocation).await,
            Self::Archives(args) => Box::pin(archives::run(args, invocation)).await,
            Self::Watch(args) => Box::pin(watch::run(args, invocation)).await,
            Self::Stop(args) => stop::run(args, invocation).await,
        }
    }
}
