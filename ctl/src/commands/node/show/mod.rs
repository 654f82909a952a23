//! `ctl node show`.

mod figures;
mod render;
mod report;
mod sample;
mod tables;

use clap::Args;
use rackhaven_proto::model::NodeName;
use rackhaven_proto::v1::GetNodeRequest;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

use report::NodeDetailReport;

/// Options of `ctl node show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The node
    name: NodeName,
}

/// Shows one node.
pub(crate) async fn run(args: ShowArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let request = GetNodeRequest { name: args.name.to_string() };
    let detail = connection.answer(connection.fleet().get_node(request)).await?;
    let report = NodeDetailReport::new(detail).map_err(|invalid| CtlError::strange_answer(&invalid))?;
    invocation.show(&report)?;
    Ok(ExitStatus::Fine)
}
