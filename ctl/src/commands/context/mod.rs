//! `ctl context`: the controllers that this user is logged in to.

mod choose;
mod list;
mod remove;

use clap::{Args, Subcommand};

use crate::context::ContextName;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// What can be done with contexts.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// All contexts; the current one is marked
    List,
    /// Make a context the current one
    Use(NameArgs),
    /// Delete a context with its key
    Remove(NameArgs),
}

/// Which context.
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// The context
    name: ContextName,
}

impl ContextCommand {
    /// Does it.
    pub(crate) fn run(self, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
        match self {
            Self::List => list::run(invocation),
            Self::Use(args) => choose::run(args, invocation),
            Self::Remove(args) => remove::run(args, invocation),
        }
    }
}
