//! `rackhaven-k3s`: brings K3s to a node, looks whether it can run there, and takes it away again.

use std::process::ExitCode;

use clap::Parser;
use rackhaven_k3s::cli::Cli;
use rackhaven_k3s::stop::Stop;
use rackhaven_k3s::{app, signals};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // What it writes without saying how holds secrets.
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
    let stop = Stop::default();
    if let Err(error) = signals::watch(&stop) {
        eprintln!("rackhaven-k3s: taking signals: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::from(app::perform(&cli, &stop))
}
