//! `rackhaven-backup`: the backup engine.

use std::process::ExitCode;

use clap::Parser;
use rackhaven_backup::cli::Cli;

fn main() -> ExitCode {
    let _ = Cli::parse();
    ExitCode::FAILURE
}
