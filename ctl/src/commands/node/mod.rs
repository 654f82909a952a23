//! `ctl node`: the machines.

mod invitation;
mod invite;
mod label;
mod list;
mod logs;
mod order;
mod poweroff;
mod reboot;
mod rejoin;
mod remove;
mod selector;
mod show;
mod summary;

use clap::Subcommand;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

pub(crate) use invitation::host_for_command;
pub(crate) use selector::Selector;
pub(crate) use show::{Graph, LiveNode};
pub(crate) use summary::{NodeReport, node_table};

/// What can be done with nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// All nodes, worst first
    List(list::ListArgs),
    /// All that is known of one node, or how it was (--since)
    Show(show::ShowArgs),
    /// What is in a node's journal
    Logs(logs::LogsArgs),
    /// Make an invitation for new nodes: prints the command to run there
    Invite(invite::InviteArgs),
    /// Let a node come back with a new key, after its card was written anew
    Rejoin(rejoin::RejoinArgs),
    /// Set (KEY=VALUE) and remove (KEY-) labels of a node
    Label(label::LabelArgs),
    /// Reboot a node
    Reboot(reboot::RebootArgs),
    /// Power a node off
    Poweroff(poweroff::PoweroffArgs),
    /// Forget a node: its certificates are revoked
    Remove(remove::RemoveArgs),
}

impl NodeCommand {
    /// Whether its figures can be had as CSV.
    pub(crate) fn has_csv(&self) -> bool {
        matches!(self, Self::Show(args) if args.is_of_the_past())
    }

    /// Does it.
    pub(crate) async fn run(self, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
        match self {
            Self::List(args) => list::run(args, invocation).await,
            Self::Show(args) => show::run(args, invocation).await,
            Self::Logs(args) => logs::run(args, invocation).await,
            Self::Invite(args) => invite::run(args, invocation).await,
            Self::Rejoin(args) => rejoin::run(args, invocation).await,
            Self::Label(args) => label::run(args, invocation).await,
            Self::Reboot(args) => reboot::run(args, invocation).await,
            Self::Poweroff(args) => poweroff::run(args, invocation).await,
            Self::Remove(args) => remove::run(args, invocation).await,
        }
    }
}
