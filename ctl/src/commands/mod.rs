//! The commands: a folder for each noun, a file for each verb.

mod alerts;
mod audit;
mod backup;
mod completions;
mod context;
mod events;
mod k3s;
mod login;
mod man;
mod node;
mod power;
mod status;
mod top;
mod user;
mod whoami;

use clap::Subcommand;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// All that ctl can be told to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The whole fleet at a glance
    Status(status::StatusArgs),
    /// The whole fleet live, on a full screen
    Top(top::TopArgs),
    /// The machines: list, show, invite, rejoin, label, reboot, power off, remove
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// The supply: status, plan, drill, shutdown, abort, history
    #[command(subcommand)]
    Power(power::PowerCommand),
    /// What nodes save: jobs, run, verify, restore, prune, history, archives, watch, stop
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// What an admin must know: list, ack, silence, unsilence, test, history
    #[command(subcommand)]
    Alerts(alerts::AlertsCommand),
    /// K3s on the nodes: the cluster, and what runs in it
    #[command(subcommand)]
    K3s(k3s::K3sCommand),
    /// What has happened in the fleet
    Events(events::EventsArgs),
    /// Who did what
    Audit(audit::AuditArgs),
    /// Log in to a controller with an invitation
    Login(login::LoginArgs),
    /// The controllers that you are logged in to
    #[command(subcommand)]
    Context(context::ContextCommand),
    /// The people who may use the controller
    #[command(subcommand)]
    User(user::UserCommand),
    /// Who the controller takes you for
    Whoami,
    /// Completions for a shell
    Completions(completions::CompletionsArgs),
    /// Manual pages
    Man(man::ManArgs),
}

impl Command {
    /// Whether its figures can be had as CSV.
    pub(crate) fn has_csv(&self) -> bool {
        matches!(self, Self::Node(command) if command.has_csv())
    }

    /// Does it.
    pub(crate) async fn run(self, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
        match self {
            Self::Status(args) => Box::pin(status::run(args, invocation)).await,
            Self::Top(args) => Box::pin(top::run(args, invocation)).await,
            Self::Node(command) => Box::pin(command.run(invocation)).await,
            Self::Power(command) => Box::pin(command.run(invocation)).await,
            Self::Backup(command) => Box::pin(command.run(invocation)).await,
            Self::Alerts(command) => Box::pin(command.run(invocation)).await,
            Self::K3s(command) => Box::pin(command.run(invocation)).await,
            Self::Events(args) => Box::pin(events::run(args, invocation)).await,
            Self::Audit(args) => Box::pin(audit::run(args, invocation)).await,
            Self::Login(args) => Box::pin(login::run(args, invocation)).await,
            Self::Context(command) => command.run(invocation),
            Self::User(command) => Box::pin(command.run(invocation)).await,
            Self::Whoami => Box::pin(whoami::run(invocation)).await,
            Self::Completions(args) => completions::run(&args, invocation),
            Self::Man(args) => man::run(&args, invocation),
        }
    }
}
