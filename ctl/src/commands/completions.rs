//! `ctl completions`.

use clap::Args;
use clap_complete::Shell;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// Options of `ctl completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell's
    shell: Shell,
}

/// Writes the completions to standard output.
pub(crate) fn run(args: &CompletionsArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command(), "ctl", &mut script);
    invocation.console.data(&String::from_utf8_lossy(&script))?;
    Ok(ExitStatus::Fine)
}
