//! `ctl user`: the people who may use the controller.

mod invite;
mod list;
mod revoke;

use clap::Subcommand;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// All users and their roles
    List,
    /// Make an invitation for a user: prints the command for them to run
    Invite(invite::InviteArgs),
    /// End a user's access at once
    Revoke(revoke::RevokeArgs),
}

impl UserCommand {
    /// Does it.
    pub(crate) async fn run(self, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
        match self {
            Self::List => list::run(invocation).await,
            Self::Invite(args) => invite::run(args, invocation).await,
            Self::Revoke(args) => revoke::run(args, invocation).await,
        }
    }
}
