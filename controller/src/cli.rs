//! The command line of `rackhaven-controller`.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};
use rackhaven_proto::model::Endpoint;

/// The command line as data: for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// The whole command line.
#[derive(Parser)]
#[command(
    name = "rackhaven-controller",
    version,
    about = "Rackhaven's daemon on the master: state, decisions, the API"
)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What it can be told to do.
#[derive(Subcommand)]
pub enum Command {
    /// Make a new cluster: its CA, the controller's certificate, and the first admin's context
    Init {
        /// Where it finds its files.
        #[command(flatten)]
        paths: PathFlags,
        /// The cluster's name, for people
        #[arg(long, default_value = "rack")]
        cluster_name: String,
        /// Where this controller is reached, best first; goes into admin.context [default: this host's name and port 7443]
        #[arg(long = "endpoint", value_name = "HOST:PORT")]
        endpoints: Vec<Endpoint>,
    },
    /// Run the controller
    Run {
        /// Where it finds its files.
        #[command(flatten)]
        paths: PathFlags,
        /// Where the id of this boot is read: for containers, which do not get a new one with a restart
        #[arg(long, value_name = "FILE", default_value = "/proc/sys/kernel/random/boot_id", hide_short_help = true)]
        boot_id_file: PathBuf,
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
    #[arg(long, value_name = "FILE", default_value = "/etc/rackhaven/controller.toml")]
    pub config: PathBuf,
    /// Where the controller keeps what it knows
    #[arg(long, value_name = "DIR", default_value = "/var/lib/rackhaven/controller")]
    pub state_dir: PathBuf,
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
