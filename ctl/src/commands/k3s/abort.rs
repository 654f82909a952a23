use rackhaven_proto::v1::K3sAbortRequest;
use serde::Serialize;

use super::sequence::SequenceReport;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};
use crate::style::Style;

/// What `ctl k3s abort` tells; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct AbortReport {
    aborted: Option<SequenceReport>,
}

/// Ends the sequence that goes on. What it has done stays done, and the same command goes on with it: there is no question
/// before it.
pub(super) async fn run(invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let response = connection.answer(connection.k3s_cluster().abort(K3sAbortRequest {})).await?;
    let aborted = response.sequence.map(SequenceReport::new).transpose()?;
    invocation.show(&AbortReport { aborted })?;
    invocation.console.note(
        "A node that is at work comes to the end of its own order; one that was being drained stays cordoned. See ctl k3s \
         status",
    );
    Ok(ExitStatus::Fine)
}

impl Report for AbortReport {
    fn render(&self, page: &Page) -> String {
        let what = self.aborted.as_ref().map(|aborted| format!(" {}", aborted.line())).unwrap_or_default();
        page.painted(Style::Good, &format!("Aborted:{what}")).join("\n") + "\n"
    }
}
