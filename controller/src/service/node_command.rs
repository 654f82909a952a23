use std::sync::Arc;

use rackhaven_pki::{hex, random};
use rackhaven_proto::Invalid;
use rackhaven_proto::model::{Command, CommandId, CommandOutcome, NodeName, Operation};
use rackhaven_proto::v1;
use rackhaven_proto::v1::command_progress::State;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;
use tonic::{Response, Status};

use super::{Answers, bad_input, store_failed};
use crate::core::Core;
use crate::net::CallContext;
use crate::store::{CommandRow, CommandState};

/// A command waits so long for its node unless told otherwise, milliseconds.
const DEFAULT_TIMEOUT_MS: u32 = 30_000;
/// Longest wait, milliseconds: a command that comes hours later surprises.
const MAX_TIMEOUT_MS: u32 = 3_600_000;

/// Orders `operation` of a node, and streams what becomes of it.
pub(super) async fn run(
    core: &Arc<Core>,
    context: &CallContext,
    node: NodeName,
    operation: Operation,
    request: v1::NodeCommandRequest,
) -> Result<Response<Answers<v1::CommandProgress>>, Status> {
    let timeout_ms = if request.timeout_ms == 0 { DEFAULT_TIMEOUT_MS } else { request.timeout_ms };
    if timeout_ms > MAX_TIMEOUT_MS {
        return Err(bad_input(Invalid::new("timeout_ms", format!("{timeout_ms} is more than {MAX_TIMEOUT_MS}"))));
    }
    let id = random::<16>().map_err(|error| Status::internal(error.to_string()))?;
    let id: CommandId = hex(&id).parse().map_err(bad_input)?;
    let (now_ms, wall_ms) = (core.clock.monotonic_ms(), core.clock.wall_ms());
    let row = CommandRow {
        id: id.clone(),
        node: node.clone(),
        operation,
        requested_by: context.caller.to_string(),
        reason: request.reason,
        expires_ms: wall_ms.saturating_add(timeout_ms.into()),
        state: CommandState::Queued,
    };
    let command = v1::Command::from(Command {
        id: id.clone(),
        expires_in_ms: timeout_ms,
        requested_by: row.requested_by.clone(),
        reason: row.reason.clone(),
        operation,
    });
    // What the node would refuse is refused here.
    Command::try_from(command.clone()).map_err(bad_input)?;
    let action = match operation {
        Operation::Reboot => "Fleet/RebootNode",
        Operation::PowerOff => "Fleet/PowerOffNode",
    };
    let audit = core.audit_entry(&context.caller, &context.origin, action, node.as_str(), "ok");
    let watcher = core.commands.begin(row, timeout_ms, now_ms, wall_ms, audit).await.map_err(store_failed)?;
    if let Some(outbox) = core.registry.outbox(&node) {
        // If it does not go out now, it goes out with the next session.
        outbox.try_send(v1::controller_message::Body::Command(command));
    }
    let progress = WatchStream::new(watcher).map(move |state| Ok(progress(&id, state)));
    Ok(Response::new(Box::pin(progress)))
}

fn progress(id: &CommandId, state: CommandState) -> v1::CommandProgress {
    let (state, message) = match state {
        CommandState::Queued => (State::Queued, String::new()),
        CommandState::Answered(CommandOutcome::Accepted) => (State::Accepted, String::new()),
        CommandState::Answered(CommandOutcome::Succeeded) => (State::Succeeded, String::new()),
        CommandState::Answered(CommandOutcome::Failed(message)) => (State::Failed, message),
        CommandState::Answered(CommandOutcome::Expired) => (State::Expired, String::new()),
    };
    v1::CommandProgress { command_id: id.to_string(), state: state.into(), message }
}
