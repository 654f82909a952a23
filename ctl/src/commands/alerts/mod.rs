//! `ctl alerts`: what an admin must know.

mod ack;
mod history;
mod list;
mod report;
mod silence;
mod test;
mod unsilence;

use clap::Subcommand;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

pub(crate) use report::{AlertReport, section, style};

/// What can be done with alerts.
#[derive(Debug, Subcommand)]
pub(crate) enum AlertsCommand {
    /// What fires or is about to, and the silences
    List,
    /// Say that you know of an alert: it is not repeated unless it gets worse
    Ack(ack::AckArgs),
    /// Have nothing told for a time of what matches
    Silence(silence::SilenceArgs),
    /// End a silence
    Unsilence(unsilence::UnsilenceArgs),
    /// Send a test through the channels
    Test(test::TestArgs),
    /// When alerts fired, were sent and were over
    History(history::HistoryArgs),
}

impl AlertsCommand {
    /// Does it.
    pub(crate) async fn run(self, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
        match self {
            Self::List => list::run(invocation).await,
            Self::Ack(args) => ack::run(args, invocation).await,
            Self::Silence(args) => silence::run(args, invocation).await,
            Self::Unsilence(args) => unsilence::run(args, invocation).await,
            Self::Test(args) => test::run(args, invocation).await,
            Self::History(args) => history::run(args, invocation).await,
        }
    }
}
