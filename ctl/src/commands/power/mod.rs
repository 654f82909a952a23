//! `ctl power`: the supply, and the way down and up again.

mod abort;
mod brief;
mod drill;
mod follow;
mod headline;
mod history;
mod outage;
mod plan;
mod render;
mod report;
mod shutdown;
mod status;
mod summary;
mod timeline;
mod ups;
mod watch;

use clap::Subcommand;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

pub(crate) use brief::section;
pub(crate) use report::PowerReport;
pub(crate) use ups::UpsReport;

/// What can be done about power.
#[derive(Debug, Subcommand)]
pub(crate) enum PowerCommand {
    /// The supply, what can start a shutdown, and the outage that goes on
    Status(status::StatusArgs),
    /// What a shutdown would do now, and whether the battery has time for it
    Plan,
    /// Rehearse the shutdown of nodes in every step but the power-off
    Drill(drill::DrillArgs),
    /// Take nodes down, in the order of their stages
    Shutdown(shutdown::ShutdownArgs),
    /// End a shutdown or drill: what has not gone stays, what is off is brought back
    Abort(abort::AbortArgs),
    /// Past outages with their timelines
    History(history::HistoryArgs),
}

impl PowerCommand {
    /// Does it.
    pub(crate) async fn run(self, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
        match self {
            Self::Status(args) => Box::pin(status::run(args, invocation)).await,
            Self::Plan => plan::run(invocation).await,
            Self::Drill(args) => Box::pin(drill::run(args, invocation)).await,
            Self::Shutdown(args) => Box::pin(shutdown::run(args, invocation)).await,
            Self::Abort(args) => abort::run(args, invocation).await,
            Self::History(args) => history::run(args, invocation).await,
        }
    }
}
