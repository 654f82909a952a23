//! `ctl user revoke`.

use clap::Args;
use rackhaven_proto::model::UserName;
use rackhaven_proto::v1::RevokeUserRequest;
use serde::Serialize;

use crate::confirm::{Confirmation, place};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};

/// Options of `ctl user revoke`.
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The user
    name: UserName,
}

/// What `ctl user revoke` tells.
#[derive(Debug, Serialize)]
struct RevokeReport {
    name: String,
    revoked: bool,
}

/// Ends a user's access.
pub(crate) async fn run(args: RevokeArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let confirmation = Confirmation::possible(invocation)?;
    let connection = invocation.connect().await?;
    let place = place(&connection).await?;
    let harm = format!("Will end the access of user {} and what they have open.", args.name);
    confirmation.ask(invocation, &harm, &place)?;
    connection.answer(connection.access().revoke_user(RevokeUserRequest { name: args.name.to_string() })).await?;
    invocation.show(&RevokeReport { name: args.name.to_string(), revoked: true })?;
    Ok(ExitStatus::Fine)
}

impl Report for RevokeReport {
    fn render(&self, _page: &Page) -> String {
        format!("{}: access revoked\n", self.name)
    }
}
