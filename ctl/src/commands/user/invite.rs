//! `ctl user invite`.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use rackhaven_proto::model::{Role, UserName};
use rackhaven_proto::v1::{self, InviteUserRequest};
use serde::Serialize;

use crate::commands::node::host_for_command;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};
use crate::text::Text;
use crate::times::rfc3339;
use crate::units::whole_seconds;

/// Options of `ctl user invite`.
#[derive(Debug, Args)]
pub(crate) struct InviteArgs {
    /// The user's name; one who exists already gets the new role, and loses the certificates from before
    name: UserName,
    /// What the user may do: viewers look, operators act on nodes, admins decide who and what belongs to the fleet
    #[arg(long, value_parser = role_parser())]
    role: Role,
    /// How long the invitation is good
    #[arg(long, value_parser = whole_seconds, default_value = "1h", value_name = "TIME")]
    ttl: u32,
}

fn role_parser() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::as_str)).try_map(|word| word.parse::<Role>())
}

/// What `ctl user invite` tells; the same shape as a node's invitation.
#[derive(Debug, Serialize)]
struct UserInvitationReport {
    token: Text,
    expires: Option<String>,
    endpoints: Vec<Text>,
    command: String,
}

/// Makes an invitation.
pub(crate) async fn run(args: InviteArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let request = InviteUserRequest {
        name: args.name.to_string(),
        role: v1::Role::from(args.role).into(),
        ttl_seconds: args.ttl,
    };
    let invitation = connection.answer(connection.access().invite_user(request)).await?;
    let token = Text::new(&invitation.token);
    let host = host_for_command(&invitation.endpoints, &connection.origin, invocation)?;
    let report = UserInvitationReport {
        command: format!("ctl login {host} --token {token}"),
        token,
        endpoints: invitation.endpoints.iter().map(|endpoint| Text::new(endpoint)).collect(),
        expires: rfc3339(invitation.ends_unix_ms),
    };
    let zone = invocation.page().zone;
    let until = report.expires.as_deref().map(|moment| zone.full(moment)).unwrap_or_default();
    invocation.console.note(&format!("# For {} to run as themselves; it is good once, until {until}.", args.name));
    invocation.show(&report)?;
    Ok(ExitStatus::Fine)
}

impl Report for UserInvitationReport {
    fn render(&self, _page: &Page) -> String {
        format!("{}\n", self.command)
    }
}
