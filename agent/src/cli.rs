//! The command line of `rackhaven-agent`.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};
use rackhaven_proto::model::{Endpoint, NodeName};

/// The command line as data: for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// The whole command line.
#[derive(Parser)]
#[command(name = "rackhaven-agent", version, about = "Rackhaven's daemon on every node: measures, obeys, survives")]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What it can be told to do.
#[derive(Subcommand)]
pub enum Command {
    /// Join a fleet by an invitation (made with `ctl node invite`)
    Join {
        /// Where it finds its files.
        #[command(flatten)]
        paths: PathFlags,
        /// Where the controller is
        #[arg(value_name = "HOST:PORT")]
        endpoint: Endpoint,
        /// The invitation. Other users of this machine can see it while the command runs; prefer --token-file or
        /// RACKHAVEN_TOKEN
        #[arg(long)]
        token: Option<String>,
        /// A file with the invitation, - for standard input
        #[arg(long, value_name = "FILE", conflicts_with = "token")]
        token_file: Option<PathBuf>,
        /// This node's name [default: the invitation's, or this host's]
        #[arg(long)]
        name: Option<NodeName>,
        /// Replace the identity that this machine has already
        #[arg(long)]
        replace: bool,
    },
    /// Run the agent
    Run {
        /// Where it finds its files.
        #[command(flatten)]
        paths: PathFlags,
        /// Where this boot's id is read. For containers and tests, whose kernel does not change its own when they
        /// restart
        #[arg(long, value_name = "FILE", hide_short_help = true)]
        boot_id_file: Option<PathBuf>,
    },
    /// Write everything to the disks, and then that this machine stops in order. Run by systemd, at the end of each boot
    #[command(hide = true)]
    RecordStop {
        /// Where it finds its files.
        #[command(flatten)]
        paths: PathFlags,
        /// Where this boot's id is read
        #[arg(long, value_name = "FILE", default_value = "/proc/sys/kernel/random/boot_id")]
        boot_id_file: PathBuf,
    },
    /// Unmount all file systems of these types, by force. Run by the agent, as a unit beyond its sandbox
    #[command(hide = true)]
    UnmountNetwork {
        /// As mount(8) names them
        #[arg(value_name = "TYPE", required = true)]
        types: Vec<String>,
    },
    /// Check the configuration file and say what is wrong with it
    CheckConfig {
        /// Where it finds its files.
        #[command(flatten)]
        paths: PathFlags,
    },
}

/// Where it finds its files.
#[derive(Args)]
pub struct PathFlags {
    /// The configuration file; one that is not there means all defaults
    #[arg(long, value_name = "FILE", default_value = "/etc/rackhaven/agent.toml")]
    pub config: PathBuf,
    /// Where the agent keeps what it knows
    #[arg(long, value_name = "DIR", default_value = "/var/lib/rackhaven/agent")]
    pub state_dir: PathBuf,
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
