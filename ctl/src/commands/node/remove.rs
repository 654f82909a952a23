//! `ctl node remove`.

use clap::Args;
use rackhaven_proto::model::NodeName;
use rackhaven_proto::v1::RemoveNodeRequest;
use serde::Serialize;

use crate::confirm::{Confirmation, place};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};

use super::order::describe;

/// Options of `ctl node remove`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The node
    name: NodeName,
}

/// What `ctl node remove` tells.
#[derive(Debug, Serialize)]
struct RemoveReport {
    name: String,
    session_ended: bool,
}

/// Forgets a node.
pub(crate) async fn run(args: RemoveArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let confirmation = Confirmation::possible(invocation)?;
    let connection = invocation.connect().await?;
    let node = describe(&args.name, &connection, invocation).await?;
    let place = place(&connection).await?;
    let harm = format!("Will remove {node}: its certificates are revoked, its history is forgotten.");
    confirmation.ask(invocation, &harm, &place)?;
    let request = RemoveNodeRequest { name: args.name.to_string() };
    let response = connection.answer(connection.fleet().remove_node(request)).await?;
    invocation.show(&RemoveReport { name: args.name.to_string(), session_ended: response.session_ended })?;
    Ok(ExitStatus::Fine)
}

impl Report for RemoveReport {
    fn render(&self, _page: &Page) -> String {
        let session = if self.session_ended { ", and its session was ended" } else { "" };
        format!("{}: removed{session}\n", self.name)
    }
}
