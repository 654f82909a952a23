use crate::model::{Command, CommandId, CommandOutcome, Invalid, Operation, plain_text};
use crate::v1;

/// Longest reason, in bytes.
const MAX_REASON_BYTES: usize = 512;

impl From<Operation> for v1::command::Operation {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Reboot => Self::Reboot(v1::Reboot {}),
            Operation::PowerOff => Self::PowerOff(v1::PowerOff {}),
        }
    }
}

impl TryFrom<v1::Command> for Command {
    type Error = Invalid;

    fn try_from(wire: v1::Command) -> Result<Self, Invalid> {
        plain_text("command.reason", &wire.reason, MAX_REASON_BYTES)?;
        plain_text("command.requested_by", &wire.requested_by, 128)?;
        let operation = match wire.operation {
            None => return Err(Invalid::new("command.operation", "is missing or not known to this version")),
            Some(v1::command::Operation::Reboot(_)) => Operation::Reboot,
            Some(v1::command::Operation::PowerOff(_)) => Operation::PowerOff,
        };
        Ok(Self {
            id: wire.id.parse()?,
            expires_in_ms: wire.expires_in_ms,
            requested_by: wire.requested_by,
            reason: wire.reason,
            operation,
        })
    }
}

impl From<Command> for v1::Command {
    fn from(command: Command) -> Self {
        Self {
            id: command.id.to_string(),
            expires_in_ms: command.expires_in_ms,
            requested_by: command.requested_by,
            reason: command.reason,
            operation: Some(command.operation.into()),
        }
    }
}

impl TryFrom<v1::CommandUpdate> for (CommandId, CommandOutcome) {
    type Error = Invalid;

    fn try_from(wire: v1::CommandUpdate) -> Result<Self, Invalid> {
        use v1::command_update::State;
        plain_text("command_update.message", &wire.message, 1024)?;
        let outcome = match State::try_from(wire.state) {
            Ok(State::Accepted) => CommandOutcome::Accepted,
            Ok(State::Succeeded) => CommandOutcome::Succeeded,
            Ok(State::Failed) => CommandOutcome::Failed(wire.message),
            Ok(State::Expired) => CommandOutcome::Expired,
            Ok(State::Unspecified) | Err(_) => {
                return Err(Invalid::new("command_update.state", format!("{} is not known", wire.state)));
            }
        };
        Ok((wire.id.parse()?, outcome))
    }
}

impl From<(CommandId, CommandOutcome)> for v1::CommandUpdate {
    fn from((id, outcome): (CommandId, CommandOutcome)) -> Self {
        use v1::command_update::State;
        let (state, message) = match outcome {
            CommandOutcome::Accepted => (State::Accepted, String::new()),
            CommandOutcome::Succeeded => (State::Succeeded, String::new()),
            CommandOutcome::Failed(message) => (State::Failed, message),
            CommandOutcome::Expired => (State::Expired, String::new()),
        };
        Self { id: id.to_string(), state: state.into(), message }
    }
}
