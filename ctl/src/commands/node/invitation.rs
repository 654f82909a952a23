use rackhaven_proto::model::Endpoint;
use rackhaven_proto::v1::Invitation;
use serde::Serialize;

use crate::connection::{Connection, Origin};
use crate::error::CtlError;
use crate::invocation::Invocation;
use crate::output::{Page, Report};
use crate::text::Text;
use crate::times::rfc3339;

/// What `ctl node invite` and `ctl node rejoin` tell.
#[derive(Debug, Serialize)]
pub(crate) struct InvitationReport {
    token: Text,
    expires: Option<String>,
    endpoints: Vec<Text>,
    command: String,
}

impl Report for InvitationReport {
    fn render(&self, _page: &Page) -> String {
        format!("{}\n", self.command)
    }
}

/// Shows an invitation as the command to run on the node, and beside it how long that is good.
pub(crate) fn show(
    invitation: Invitation,
    connection: &Connection,
    invocation: &mut Invocation,
    for_whom: &str,
) -> Result<(), CtlError> {
    let token = Text::new(&invitation.token);
    let host = host_for_command(&invitation.endpoints, &connection.origin, invocation)?;
    let expires = rfc3339(invitation.ends_unix_ms);
    let report = InvitationReport {
        command: format!("rackhaven-agent join {host} --token {token}"),
        token,
        endpoints: invitation.endpoints.iter().map(|endpoint| Text::new(endpoint)).collect(),
        expires,
    };
    let zone = invocation.page().zone;
    let until = report.expires.as_deref().map(|moment| zone.full(moment)).unwrap_or_default();
    invocation.console.note(&format!("# Run this as root on {for_whom}; it is good until {until}."));
    invocation.show(&report)
}

/// The address by which a new machine can reach the controller: what the controller says, or else what was dialled from
/// here, or else this machine, on which the controller itself runs.
pub(crate) fn host_for_command(
    endpoints: &[String],
    origin: &Origin,
    invocation: &mut Invocation,
) -> Result<Endpoint, CtlError> {
    if let Some(first) = endpoints.first() {
        return first.parse().map_err(|invalid| CtlError::strange_answer(&invalid));
    }
    if let Some(dialled) = &origin.endpoint {
        return Ok(dialled.clone());
    }
    let hostname =
        nix::unistd::gethostname().map_err(|error| CtlError::failed(format!("reading the host name: {error}")))?;
    let endpoint: Endpoint = hostname
        .to_string_lossy()
        .parse()
        .map_err(|invalid| CtlError::failed(format!("this machine's name is no address: {invalid}")))?;
    invocation.console.note(&format!(
        "warning: the controller was not told its own addresses; {} must be found from the other machine",
        endpoint.host()
    ));
    Ok(endpoint)
}
