//! Orders to one node: asked for, followed to their end.

use std::time::Duration;

use clap::Args;
use rackhaven_proto::Invalid;
use rackhaven_proto::model::{NodeName, Operation};
use rackhaven_proto::v1::command_progress::State;
use rackhaven_proto::v1::{CommandProgress, GetNodeRequest, NodeCommandRequest};
use serde::Serialize;

use super::summary::NodeReport;
use crate::confirm::{Confirmation, place};
use crate::connection::Connection;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Format, Page, Report};
use crate::text::Text;
use crate::units::{parse_duration, whole_ms};

/// Options of orders.
#[derive(Debug, Args)]
pub(crate) struct OrderArgs {
    /// The node
    name: NodeName,
    /// Why, for the node's log and the audit log
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
    /// How long the order may wait for the node
    #[arg(long, value_parser = parse_duration, default_value = "30s", value_name = "TIME")]
    timeout: Duration,
}

/// What an order tells at its end.
#[derive(Debug, Serialize)]
struct OrderReport {
    node: String,
    operation: &'static str,
    command_id: Text,
    state: &'static str,
    message: Option<Text>,
}

impl Report for OrderReport {
    fn render(&self, _page: &Page) -> String {
        let message = self.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        format!("{}: {} {}{message}\n", self.node, self.operation, self.state)
    }
}

/// Gives an order after a confirmation, and tells what becomes of it.
pub(crate) async fn run(
    operation: Operation,
    args: OrderArgs,
    invocation: &mut Invocation,
) -> Result<ExitStatus, CtlError> {
    let confirmation = Confirmation::possible(invocation)?;
    let connection = invocation.connect().await?;
    let node = describe(&args.name, &connection, invocation).await?;
    let place = place(&connection).await?;
    let harm = match operation {
        Operation::Reboot => format!("Will reboot {node}."),
        Operation::PowerOff => format!("Will power off {node}: it stays off until somebody switches it on."),
    };
    confirmation.ask(invocation, &harm, &place)?;
    let request =
        NodeCommandRequest { name: args.name.to_string(), reason: args.reason, timeout_ms: whole_ms(args.timeout) };
    let mut fleet = connection.fleet();
    let mut progress = match operation {
        Operation::Reboot => connection.answer(fleet.reboot_node(request)).await?,
        Operation::PowerOff => connection.answer(fleet.power_off_node(request)).await?,
    };
    while let Some(step) = progress.message().await.map_err(|status| connection.refused(&status))? {
        if let Some(status) = follow(&args.name, operation, &step, invocation)? {
            return Ok(status);
        }
    }
    Err(CtlError::failed(format!("the controller stopped telling what becomes of the {operation} of {}", args.name))
        .hint(format!("see `ctl events --node {}`", args.name)))
}

/// Tells of one step; the exit status if it is the last.
fn follow(
    name: &NodeName,
    operation: Operation,
    step: &CommandProgress,
    invocation: &mut Invocation,
) -> Result<Option<ExitStatus>, CtlError> {
    let message = Text::given(&step.message);
    let because = message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    let (state, failure) = match State::try_from(step.state) {
        Ok(State::Queued) => {
            invocation.console.note(&format!("{name}: {operation} waits for the node{because}"));
            return Ok(None);
        }
        Ok(State::Accepted) => {
            invocation.console.note(&format!("{name}: the node has taken the order{because}"));
            return Ok(None);
        }
        Ok(State::Succeeded) => ("succeeded", None),
        Ok(State::Failed) => ("failed", Some(CtlError::failed(format!("{name}: {operation} failed{because}")))),
        Ok(State::Expired) => {
            let expired =
                format!("{name}: the node did not take the {operation} in time; it will not be done later{because}");
            let next = format!("is the node up? see `ctl node show {name}`");
            ("expired", Some(CtlError::failed(expired).hint(next)))
        }
        Ok(State::Unspecified) | Err(_) => {
            let invalid = Invalid::new("command_progress.state", format!("{} is not known", step.state));
            return Err(CtlError::strange_answer(&invalid));
        }
    };
    let report = OrderReport {
        node: name.to_string(),
        operation: operation.as_str(),
        command_id: Text::new(&step.command_id),
        state,
        message,
    };
    // A failure is told as an error; programs get both.
    if failure.is_none() || matches!(invocation.global.output, Format::Json | Format::Yaml) {
        invocation.show(&report)?;
    }
    failure.map_or(Ok(Some(ExitStatus::Fine)), Err)
}

/// What will be hit, for the confirmation: a name alone is easily mistaken. With --yes nobody reads it.
pub(super) async fn describe(
    name: &NodeName,
    connection: &Connection,
    invocation: &Invocation,
) -> Result<String, CtlError> {
    if invocation.global.yes {
        return Ok(format!("node {name}"));
    }
    let detail = connection.answer(connection.fleet().get_node(GetNodeRequest { name: name.to_string() })).await?;
    let summary = detail.summary.ok_or_else(|| CtlError::strange_answer(&Invalid::new("summary", "is missing")))?;
    let node = NodeReport::new(summary).map_err(|invalid| CtlError::strange_answer(&invalid))?;
    let labels = node.label_list().map(|labels| format!(", {labels}")).unwrap_or_default();
    Ok(format!("node {name} ({} for {}{labels})", node.state, node.state_for()))
}
