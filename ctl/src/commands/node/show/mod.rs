//! `ctl node show`.

mod figures;
mod live;
mod past;
mod render;
mod report;
mod sample;
mod tables;

use std::time::Duration;

use clap::Args;
use rackhaven_proto::model::NodeName;
use rackhaven_proto::v1::GetNodeRequest;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

pub(crate) use live::{Graph, LiveNode};
use report::NodeDetailReport;

/// Options of `ctl node show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The node
    name: NodeName,
    /// Draw how it was since so long ago: 90m, 24h, 7d, 365d
    #[arg(long, value_name = "TIME", value_parser = past::parse_ago)]
    since: Option<Duration>,
    /// Until so long ago, not until now
    #[arg(long, value_name = "TIME", value_parser = past::parse_ago, requires = "since")]
    until: Option<Duration>,
}

impl ShowArgs {
    /// Whether it is about the past.
    pub(crate) fn is_of_the_past(&self) -> bool {
        self.since.is_some()
    }
}

/// Shows one node.
pub(crate) async fn run(args: ShowArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    if let Some(since) = args.since {
        return past::run(&args.name, since, args.until, invocation).await;
    }
    let connection = invocation.connect().await?;
    let request = GetNodeRequest { name: args.name.to_string() };
    let detail = connection.answer(connection.fleet().get_node(request)).await?;
    let report = NodeDetailReport::new(detail).map_err(|invalid| CtlError::strange_answer(&invalid))?;
    invocation.show(&report)?;
    Ok(ExitStatus::Fine)
}
