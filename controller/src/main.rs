//! `rackhaven-controller`: the daemon on the master.

use std::process::ExitCode;

use clap::Parser;
use rackhaven_controller::app::{Paths, read_config, run};
use rackhaven_controller::cli::{Cli, Command};
use rackhaven_controller::clock::Clock;
use rackhaven_controller::init::{Endpoints, Lives, become_owner, init};
use rackhaven_proto::daemon::start_logging;
use rackhaven_proto::model::Endpoint;

fn main() -> ExitCode {
    match start(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rackhaven-controller: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: Cli) -> anyhow::Result<()> {
    if let Command::Init { paths, .. } = &cli.command {
        become_owner(&paths.state_dir)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match cli.command {
        Command::Init { paths, cluster_name, endpoints } => {
            let config = read_config(&paths.config)?;
            let admins = first_given(&endpoints, &config.endpoints)?;
            let endpoints = Endpoints { told: endpoints, admins };
            let lives = Lives { server_s: config.certificates.server_life_s, user_s: config.certificates.user_life_s };
            let now_ms = Clock::start().wall_ms();
            let cluster = runtime.block_on(init(&paths.state_dir, &cluster_name, &endpoints, lives, now_ms))?;
            println!("cluster {} ({}) made in {}", cluster.name, cluster.id, paths.state_dir.display());
            println!("next: rackhaven-controller run, unless its service runs already, which goes on by itself");
            println!("then: ctl --context-file {} status", paths.state_dir.join("admin.context").display());
            Ok(())
        }
        Command::Run { paths, boot_id_file } => {
            let config = read_config(&paths.config)?;
            start_logging(&config.log)?;
            runtime.block_on(run(Paths { config: paths.config, state: paths.state_dir, boot_id: boot_id_file }, config))
        }
        Command::CheckConfig { paths } => {
            std::fs::metadata(&paths.config)
                .map_err(|error| anyhow::anyhow!("reading {}: {error}", paths.config.display()))?;
            read_config(&paths.config)?;
            println!("{} is good", paths.config.display());
            Ok(())
        }
    }
}

/// The endpoints of the flags, or of the configuration, or this host.
fn first_given(flags: &[Endpoint], configured: &[Endpoint]) -> anyhow::Result<Vec<Endpoint>> {
    if !flags.is_empty() {
        return Ok(flags.to_vec());
    }
    if !configured.is_empty() {
        return Ok(configured.to_vec());
    }
    let host = nix::unistd::gethostname()?;
    Ok(vec![host.to_string_lossy().parse()?])
}
