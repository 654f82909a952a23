//! The engine's command line.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

/// The command line as data: for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Brings K3s to a node, looks whether it can run there, and takes it away again.
#[derive(Debug, Parser)]
#[command(name = "rackhaven-k3s", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Looks whether K3s can run here, and prints what it found
    Check(Check),
    /// Prints which of an order's files are not in their places yet, by SHA-256
    Missing(Missing),
    /// Carries out an order of the controller's, as the agent hands it over
    Run(Run),
}

/// A look by hand.
#[derive(Debug, Args)]
pub struct Check {
    /// As what K3s is to run
    #[arg(long, value_enum, default_value = "agent")]
    pub role: Role,
    /// Put right what can be
    #[arg(long)]
    pub fix: bool,
    /// Where the node's files are
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
}

/// A look at what an order needs.
#[derive(Debug, Args)]
pub struct Missing {
    /// The order, as protobuf
    #[arg(long, value_name = "FILE")]
    pub order: PathBuf,
    /// Where the node's files are
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
}

/// An order that is carried out.
#[derive(Debug, Args)]
pub struct Run {
    /// The order, as protobuf
    #[arg(long, value_name = "FILE")]
    pub order: PathBuf,
    /// How far it is is written here, as protobuf
    #[arg(long, value_name = "FILE")]
    pub status: PathBuf,
    /// What became of it is written here, as protobuf
    #[arg(long, value_name = "FILE")]
    pub result: PathBuf,
    /// Where the order's files are, each named by its SHA-256
    #[arg(long, value_name = "DIR")]
    pub artifacts: PathBuf,
    /// Where the node's files are
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
    /// How long K3s may take until it runs, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 900, hide = true, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub start_timeout_s: u64,
}

/// As what K3s runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Keeps the cluster's state.
    Server,
    /// Runs pods.
    Agent,
}
