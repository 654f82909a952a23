//! `rackhaven-agent`: the daemon on every node.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use rackhaven_agent::app::{Paths, read_config, run};
use rackhaven_agent::host::linux::LinuxClock;
use rackhaven_agent::join::{Join, join, read_token};
use rackhaven_agent::state::StateFolder;
use rackhaven_proto::daemon::{LogSettings, start_logging};
use rackhaven_proto::model::{Endpoint, NodeName};

#[derive(Parser)]
#[command(name = "rackhaven-agent", version, about = "Rackhaven's daemon on every node: measures, obeys, survives")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Join a fleet by an invitation (made with `ctl node invite`)
    Join {
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
        #[command(flatten)]
        paths: PathFlags,
        /// Where this boot's id is read. For containers and tests, whose kernel does not change its own when they
        /// restart
        #[arg(long, value_name = "FILE", hide_short_help = true)]
        boot_id_file: Option<PathBuf>,
    },
    /// Check the configuration file and say what is wrong with it
    CheckConfig {
        #[command(flatten)]
        paths: PathFlags,
    },
}

#[derive(Args)]
struct PathFlags {
    /// The configuration file; one that is not there means all defaults
    #[arg(long, value_name = "FILE", default_value = "/etc/rackhaven/agent.toml")]
    config: PathBuf,
    /// Where the agent keeps what it knows
    #[arg(long, value_name = "DIR", default_value = "/var/lib/rackhaven/agent")]
    state_dir: PathBuf,
}

fn main() -> ExitCode {
    match start(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rackhaven-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: Cli) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match cli.command {
        Command::Join { paths, endpoint, token, token_file, name, replace } => {
            // What is found damaged on the way is told.
            start_logging(&LogSettings::default())?;
            let token = read_token(token, token_file)?;
            let folder =
                StateFolder::open(&paths.state_dir).with_context(|| format!("making {}", paths.state_dir.display()))?;
            let hostname = nix::unistd::gethostname().context("reading the host name")?;
            let asked = Join { endpoint, token, name, replace };
            let name = runtime.block_on(join(&folder, Arc::new(LinuxClock), &hostname.to_string_lossy(), asked))?;
            println!("joined as {name}");
            Ok(())
        }
        Command::Run { paths, boot_id_file } => {
            let config = read_config(&paths.config)?;
            start_logging(&config.log)?;
            let paths = Paths { config: paths.config, state: paths.state_dir, boot_id: boot_id_file };
            runtime.block_on(run(paths, config))
        }
        Command::CheckConfig { paths } => {
            std::fs::metadata(&paths.config).with_context(|| format!("reading {}", paths.config.display()))?;
            read_config(&paths.config)?;
            println!("{} is good", paths.config.display());
            Ok(())
        }
    }
}
