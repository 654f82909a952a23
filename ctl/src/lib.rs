//! The admin's tool: what the controller knows, as tables for people and JSON for programs, and orders to it.
//!
//! A command is one file under `commands`: it fetches, makes a report of its own documented shape, and renders it.

mod cli;
mod clock;
mod commands;
mod confirm;
mod connection;
mod console;
mod context;
mod environment;
mod error;
mod exit;
mod failure;
mod graph;
mod invocation;
mod output;
mod renewal;
mod screen;
mod sparkline;
mod style;
mod table;
mod target;
mod text;
mod time_axis;
mod times;
mod units;

use std::ffi::OsString;

use clap::{CommandFactory, Parser};

pub use console::Console;
pub use environment::Environment;
pub use exit::ExitStatus;

use cli::Cli;
use error::CtlError;
use invocation::Invocation;
use output::Format;

/// The command line as data: for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs one command line, the program's name first.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: Environment,
    mut console: Console,
) -> ExitStatus {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return cli::explain(&error, &environment, &mut console),
    };
    let mut invocation = Invocation { console, environment, global: cli.global };
    if invocation.global.output == Format::Csv && !cli.command.has_csv() {
        let error = CtlError::usage("-o csv is a form of `ctl node show NODE --since TIME` alone")
            .hint("for other commands there are table, wide, json and yaml");
        invocation.console.note(&format!("error: {error}"));
        return error.status();
    }
    match perform(cli.command, &mut invocation) {
        Ok(status) => status,
        Err(error) => {
            if !error.message().is_empty() {
                invocation.console.note(&format!("error: {error}"));
            }
            error.status()
        }
    }
}

fn perform(command: commands::Command, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CtlError::failed(format!("starting up: {error}")))?;
    let status = runtime.block_on(command.run(invocation));
    // A name look-up that still hangs in a thread must not hold up the end.
    runtime.shutdown_background();
    status
}
