//! `ctl whoami`.

use rackhaven_proto::model::Role;
use rackhaven_proto::v1::WhoAmIRequest;
use serde::Serialize;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report, as_word};
use crate::text::Text;

/// What `ctl whoami` tells; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct WhoamiReport {
    name: Text,
    #[serde(serialize_with = "as_word")]
    role: Role,
    cluster: Text,
    cluster_id: Text,
    context: Option<String>,
    address: String,
}

/// Asks the controller.
pub(crate) async fn run(invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let answer = connection.answer(connection.access().who_am_i(WhoAmIRequest {})).await?;
    let role = Role::try_from(answer.role()).map_err(|invalid| CtlError::strange_answer(&invalid))?;
    let report = WhoamiReport {
        name: Text::new(&answer.name),
        role,
        cluster: Text::new(&answer.cluster_name),
        cluster_id: Text::new(&answer.cluster_id),
        context: connection.origin.context.clone(),
        address: connection.origin.address.clone(),
    };
    invocation.show(&report)?;
    Ok(ExitStatus::Fine)
}

impl Report for WhoamiReport {
    fn render(&self, _page: &Page) -> String {
        let context = self.context.as_ref().map(|context| format!(", context {context}")).unwrap_or_default();
        format!("{} ({}) in cluster {}{context}, at {}\n", self.name, self.role, self.cluster, self.address)
    }
}
