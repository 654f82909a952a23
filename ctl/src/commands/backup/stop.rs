//! `ctl backup stop`.

use clap::Args;
use rackhaven_proto::model::backup::BackupRunId;
use rackhaven_proto::v1::StopBackupsRequest;
use serde::Serialize;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};
use crate::units::count;

/// Options of `ctl backup stop`.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// The runs, as `ctl backup run` and `ctl backup jobs -o wide` name them
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<BackupRunId>,
}

/// What `ctl backup stop` tells; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct StopReport {
    told: Vec<String>,
}

/// Ends runs.
pub(super) async fn run(args: StopArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let told: Vec<_> = args.runs.iter().map(ToString::to_string).collect();
    let request = StopBackupsRequest { run_ids: told.clone() };
    connection.answer(connection.backups().stop(request)).await?;
    invocation.show(&StopReport { told })?;
    Ok(ExitStatus::Fine)
}

impl Report for StopReport {
    fn render(&self, page: &Page) -> String {
        page.fit(&format!("{} told to end; see `ctl backup watch`", count(self.told.len(), "run"))) + "\n"
    }
}
