//! `rackhaven-agent`: the daemon on every node.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use rackhaven_agent::app::{Paths, read_config, run};
use rackhaven_agent::cli::{Cli, Command};
use rackhaven_agent::host::linux::LinuxClock;
use rackhaven_agent::join::{Join, join, read_token};
use rackhaven_agent::shutdown::unmount_all;
use rackhaven_agent::state::{StateFolder, record_stop};
use rackhaven_proto::daemon::{LogSettings, start_logging};

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
            if replace {
                eprintln!("an agent that runs goes on under its old identity until: systemctl restart rackhaven-agent");
            }
            Ok(())
        }
        Command::Run { paths, boot_id_file } => {
            let config = read_config(&paths.config)?;
            start_logging(&config.log)?;
            let paths = Paths { config: paths.config, state: paths.state_dir, boot_id: boot_id_file };
            runtime.block_on(run(paths, config))
        }
        Command::RecordStop { paths, boot_id_file } => {
            record_stop(&StateFolder::open(&paths.state_dir)?, &boot_id_file)
        }
        Command::UnmountNetwork { types } => {
            println!("{}", unmount_all(&types).map_err(anyhow::Error::msg)?);
            Ok(())
        }
        Command::CheckConfig { paths } => {
            std::fs::metadata(&paths.config).with_context(|| format!("reading {}", paths.config.display()))?;
            read_config(&paths.config)?;
            println!("{} is good", paths.config.display());
            Ok(())
        }
    }
}
