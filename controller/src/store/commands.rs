use rackhaven_proto::model::{CommandId, CommandOutcome, NodeName, Operation};
use rusqlite::params;

use super::audit::append;
use super::{AuditEntry, Store, StoreError};

/// How far a command is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandState {
    /// Written down; the node has not answered.
    Queued,
    /// What the node said last.
    Answered(CommandOutcome),
}

impl CommandState {
    /// Whether nothing more will come.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Answered(outcome) if outcome.is_final())
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Answered(CommandOutcome::Accepted) => "accepted",
            Self::Answered(CommandOutcome::Succeeded) => "succeeded",
            Self::Answered(CommandOutcome::Failed(_)) => "failed",
            Self::Answered(CommandOutcome::Expired) => "expired",
        }
    }
}

/// A command as it is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRow {
    /// Unique.
    pub id: CommandId,
    /// Whom it is for.
    pub node: NodeName,
    /// What to do.
    pub operation: Operation,
    /// Who asked.
    pub requested_by: String,
    /// Why.
    pub reason: String,
    /// When it ends if it has not been taken, milliseconds since 1970-01-01 UTC.
    pub expires_ms: i64,
    /// How far it is.
    pub state: CommandState,
}

impl Store {
    /// Writes a command down, before it is sent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn store_command(&self, command: CommandRow, now_ms: i64, audit: AuditEntry) -> Result<(), StoreError> {
        self.run(move |connection| {
            append(connection, &audit)?;
            connection
                .execute(
                    "INSERT INTO commands (id, node, operation, requested_by, reason, created_ms, expires_ms, state, \
                     message) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'queued', '')",
                    params![
                        command.id.as_str(),
                        command.node.as_str(),
                        command.operation.as_str(),
                        command.requested_by,
                        command.reason,
                        now_ms,
                        command.expires_ms
                    ],
                )
                .map(drop)
                .map_err(StoreError::sqlite("storing a command"))
        })
        .await
    }

    /// Writes down what became of a node's command; false if it has no such open command.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn answer_command(
        &self,
        node: NodeName,
        id: CommandId,
        outcome: CommandOutcome,
    ) -> Result<bool, StoreError> {
        self.run(move |connection| {
            let state = CommandState::Answered(outcome.clone());
            let message = match outcome {
                CommandOutcome::Failed(message) => message,
                _ => String::new(),
            };
            connection
                .execute(
                    "UPDATE commands SET state = ?3, message = ?4 \
                     WHERE id = ?1 AND node = ?2 AND state IN ('queued', 'accepted')",
                    params![id.as_str(), node.as_str(), state.word(), message],
                )
                .map(|changed| changed > 0)
                .map_err(StoreError::sqlite("storing a command's outcome"))
        })
        .await
    }

    /// All commands that have not ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_commands(&self) -> Result<Vec<CommandRow>, StoreError> {
        self.run(|connection| {
            let mut statement = connection
                .prepare(
                    "SELECT id, node, operation, requested_by, reason, expires_ms, state FROM commands \
                     WHERE state IN ('queued', 'accepted') ORDER BY created_ms",
                )
                .map_err(StoreError::sqlite("reading commands"))?;
            let rows = statement
                .query_map([], |row| {
                    Ok((
                        row.get::<_, String>(0)?,
                        row.get::<_, String>(1)?,
                        row.get::<_, String>(2)?,
                        row.get(3)?,
                        row.get(4)?,
                        row.get(5)?,
                        row.get::<_, String>(6)?,
                    ))
                })
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(StoreError::sqlite("reading commands"))?;
            rows.into_iter()
                .map(|(id, node, operation, requested_by, reason, expires_ms, state)| {
                    Ok(CommandRow {
                        id: id.parse().map_err(StoreError::bad("command"))?,
                        node: node.parse().map_err(StoreError::bad("command"))?,
                        operation: operation.parse().map_err(StoreError::bad("command"))?,
                        requested_by,
                        reason,
                        expires_ms,
                        state: match state.as_str() {
                            "accepted" => CommandState::Answered(CommandOutcome::Accepted),
                            _ => CommandState::Queued,
                        },
                    })
                })
                .collect()
        })
        .await
    }
}
