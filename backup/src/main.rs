//! `rackhaven-backup`: the backup engine.

use std::process::ExitCode;

use clap::Parser;
use rackhaven_backup::cli::Cli;
use rackhaven_backup::stop::Stop;
use rackhaven_backup::{app, signals};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Archives hold what others may not read.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let stop = Stop::default();
    if let Err(error) = signals::watch(&stop) {
        eprintln!("rackhaven-backup: taking signals: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::from(app::perform(cli, &stop))
}
