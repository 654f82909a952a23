//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser};

use crate::commands::Command;
use crate::console::Console;
use crate::context::ContextName;
use crate::environment::Environment;
use crate::exit::ExitStatus;
use crate::output::Format;
use crate::units::parse_duration;

const AFTER_HELP: &str = "\
Exit status:
  0  fine
  1  failed
  2  wrong usage
  3  `status --check` found the fleet unhealthy
  4  controller unreachable
  5  not allowed";

const AFTER_LONG_HELP: &str = "\
Environment:
  RACKHAVEN_CONTEXT  a context's file, in place of the current context
  RACKHAVEN_TOKEN    an invitation for `ctl login`
  NO_COLOR           no colours

Exit status:
  0  fine
  1  failed
  2  wrong usage
  3  `status --check` found the fleet unhealthy
  4  controller unreachable
  5  not allowed";

/// See and steer a rack of small boards.
#[derive(Debug, Parser)]
#[command(
    name = "ctl",
    version = rackhaven_proto::VERSION,
    after_help = AFTER_HELP,
    after_long_help = AFTER_LONG_HELP,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Use this context in place of the current one
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<ContextName>,
    /// Use the context in this file [env: RACKHAVEN_CONTEXT]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "context")]
    pub(crate) context_file: Option<PathBuf>,
    /// Use the controller's Unix socket, as root on its machine; without any context
    /// /run/rackhaven/controller.sock is used where it exists
    #[arg(long, global = true, value_name = "PATH", conflicts_with_all = ["context", "context_file"])]
    pub(crate) socket: Option<PathBuf>,
    /// Form of the output
    #[arg(short, long, global = true, value_enum, default_value = "table", value_name = "FORM")]
    pub(crate) output: Format,
    /// How long to wait for the controller
    #[arg(long, global = true, value_parser = parse_duration, default_value = "10s", value_name = "TIME")]
    pub(crate) timeout: Duration,
    /// Never colour, not even on a terminal [env: NO_COLOR]
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// Do harmful things without asking
    #[arg(short, long, global = true)]
    pub(crate) yes: bool,
}

/// Shows what clap has to say: help and version as data, a wrong command line as an error.
pub(crate) fn explain(error: &clap::Error, environment: &Environment, console: &mut Console) -> ExitStatus {
    let text = error.render();
    if error.use_stderr() {
        console.note(text.to_string().trim_end());
        return ExitStatus::Usage;
    }
    let colour = console.out_is_terminal && !environment.no_color;
    let shown = if colour { text.ansi().to_string() } else { text.to_string() };
    match console.data(&shown) {
        Ok(()) => ExitStatus::Fine,
        Err(error) => error.status(),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn ways_to_a_controller_exclude_each_other() {
        for bad in [
            ["ctl", "status", "--context=a", "--socket=/s"],
            ["ctl", "status", "--context=a", "--context-file=/f"],
            ["ctl", "status", "--context-file=/f", "--socket=/s"],
        ] {
            assert!(Cli::try_parse_from(bad).is_err(), "{bad:?} was taken");
        }
    }
}
