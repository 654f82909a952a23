//! Decides what becomes of a command that comes in. Pure.

use rackhaven_proto::model::{Command, CommandOutcome};

use crate::state::Entry;

/// What to do with a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Write it down as accepted, say so, perform it.
    Perform,
    /// It came before: only say again how far it is.
    Repeat(CommandOutcome),
    /// It came too late: write that down and say it.
    Expire,
}

/// Decides, from what is remembered of this command.
pub fn decide(command: &Command, known: Option<&Entry>) -> Decision {
    match known {
        Some(entry) => Decision::Repeat(entry.outcome.clone()),
        None if command.expires_in_ms == 0 => Decision::Expire,
        None => Decision::Perform,
    }
}

/// What became of a command that was accepted in an earlier run of the agent, and whose end was not written down. All
/// of today's operations take the machine down, so that another boot means success.
pub fn after_restart(entry: &Entry, boot_id: &str) -> Option<CommandOutcome> {
    match entry.outcome {
        CommandOutcome::Accepted if entry.boot_id == boot_id => Some(CommandOutcome::Failed(
            "the agent was stopped while it was being performed; it is not repeated".to_owned(),
        )),
        CommandOutcome::Accepted => Some(CommandOutcome::Succeeded),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::model::{Command, CommandOutcome, Operation};

    use super::{Decision, after_restart, decide};
    use crate::state::Entry;

    #[test]
    fn golden() {
        let command = |expires_in_ms| Command {
            id: "c1".parse().unwrap(),
            expires_in_ms,
            requested_by: String::new(),
            reason: String::new(),
            operation: Operation::Reboot,
        };
        let entry = |outcome| Entry {
            id: "c1".parse().unwrap(),
            operation: Operation::Reboot,
            boot_id: "b1".to_owned(),
            outcome,
            stored: false,
        };
        assert_eq!(decide(&command(1), None), Decision::Perform);
        assert_eq!(decide(&command(0), None), Decision::Expire);
        for outcome in [CommandOutcome::Accepted, CommandOutcome::Succeeded, CommandOutcome::Expired] {
            assert_eq!(decide(&command(1), Some(&entry(outcome.clone()))), Decision::Repeat(outcome.clone()));
            assert_eq!(decide(&command(0), Some(&entry(outcome.clone()))), Decision::Repeat(outcome));
        }
        assert!(matches!(after_restart(&entry(CommandOutcome::Accepted), "b1"), Some(CommandOutcome::Failed(_))));
        assert_eq!(after_restart(&entry(CommandOutcome::Accepted), "b2"), Some(CommandOutcome::Succeeded));
        assert_eq!(after_restart(&entry(CommandOutcome::Succeeded), "b1"), None);
    }
}
