//! `ctl man`.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// Options of `ctl man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write a page for each command into this folder, in place of the first page to standard output
    folder: Option<PathBuf>,
}

/// Writes manual pages (roff).
pub(crate) fn run(args: &ManArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    match &args.folder {
        None => {
            let mut page = Vec::new();
            Man::new(crate::command()).render(&mut page)?;
            invocation.console.data(&String::from_utf8_lossy(&page))?;
        }
        Some(folder) => {
            let fail = |error| CtlError::failed(format!("writing pages to {}: {error}", folder.display()));
            fs::create_dir_all(folder).map_err(fail)?;
            clap_mangen::generate_to(crate::command(), folder).map_err(fail)?;
        }
    }
    Ok(ExitStatus::Fine)
}
