//! `ctl`: the admin's tool of Rackhaven.

use std::process::ExitCode;

use rackhaven_ctl::{Console, Environment, run};

fn main() -> ExitCode {
    run(std::env::args_os(), Environment::of_process(), Console::of_process()).into()
}
