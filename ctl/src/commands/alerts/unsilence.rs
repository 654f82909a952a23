//! `ctl alerts unsilence`.

use clap::Args;
use rackhaven_proto::v1::UnsilenceAlertsRequest;
use serde::Serialize;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};

/// Options of `ctl alerts unsilence`.
#[derive(Debug, Args)]
pub(crate) struct UnsilenceArgs {
    /// The silence's number, as `ctl alerts list` shows it
    #[arg(value_name = "NUMBER")]
    id: u64,
}

/// What `ctl alerts unsilence` tells; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct UnsilenceReport {
    ended: u64,
}

/// Ends a silence.
pub(super) async fn run(args: UnsilenceArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    connection.answer(connection.alerts().unsilence(UnsilenceAlertsRequest { id: args.id })).await?;
    invocation.show(&UnsilenceReport { ended: args.id })?;
    Ok(ExitStatus::Fine)
}

impl Report for UnsilenceReport {
    fn render(&self, _page: &Page) -> String {
        format!("silence {} has ended\n", self.ended)
    }
}
