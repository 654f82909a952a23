//! Commands to nodes: written down, sent, sent again after a reconnect, and followed to their end.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rackhaven_proto::model::{Command, CommandId, CommandOutcome, NodeName, Operation};
use tokio::sync::watch;

use crate::store::{AuditEntry, CommandRow, CommandState, Store, StoreError};

/// All commands that have not ended.
pub struct Commands {
    store: Store,
    open: Mutex<HashMap<CommandId, Open>>,
}

struct Open {
    row: CommandRow,
    /// Whether it is on the disk.
    stored: bool,
    /// When it expires, monotonic milliseconds.
    expires_ms: u64,
    state: watch::Sender<CommandState>,
}

impl Commands {
    /// Those of the store. What had expired while the controller was away expires with the first sweep.
    pub fn load(store: Store, rows: Vec<CommandRow>, now_ms: u64, wall_ms: i64) -> Self {
        let open = rows
            .into_iter()
            .map(|row| {
                let left_ms = u64::try_from(row.expires_ms.saturating_sub(wall_ms)).unwrap_or(0);
                let state = watch::Sender::new(row.state.clone());
                (row.id.clone(), Open { row, stored: true, expires_ms: now_ms.saturating_add(left_ms), state })
            })
            .collect();
        Self { store, open: Mutex::new(open) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CommandId, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a command down; how it goes on can be watched. A full disk must not keep a node from being switched off:
    /// such a command goes on all the same, and the log is its record.
    ///
    /// # Errors
    /// When another could not be stored: it is then not sent either.
    pub async fn begin(
        &self,
        row: CommandRow,
        timeout_ms: u32,
        now_ms: u64,
        wall_ms: i64,
        audit: AuditEntry,
    ) -> Result<watch::Receiver<CommandState>, StoreError> {
        let stored = match self.store.store_command(row.clone(), wall_ms, audit.clone()).await {
            Ok(()) => true,
            Err(error) if row.operation == Operation::PowerOff => {
                let AuditEntry { who, origin, .. } = audit;
                let (id, node, reason) = (&row.id, &row.node, &row.reason);
                tracing::error!(%id, %node, who, origin, reason, %error, "a poweroff goes on that could not be stored");
                false
            }
            Err(error) => return Err(error),
        };
        let (state, watcher) = watch::channel(CommandState::Queued);
        let expires_ms = now_ms.saturating_add(timeout_ms.into());
        self.lock().insert(row.id.clone(), Open { row, stored, expires_ms, state });
        Ok(watcher)
    }

    /// What a node that has (again) a session must be sent: all of its commands that have not ended or expired.
    pub fn due(&self, node: &NodeName, now_ms: u64) -> Vec<Command> {
        let open = self.lock();
        let theirs = open.values().filter(|open| open.row.node == *node && open.expires_ms > now_ms);
        theirs
            .map(|open| Command {
                id: open.row.id.clone(),
                expires_in_ms: u32::try_from(open.expires_ms - now_ms).unwrap_or(u32::MAX),
                requested_by: open.row.requested_by.clone(),
                reason: open.row.reason.clone(),
                operation: open.row.operation,
            })
            .collect()
    }

    /// Takes in what a node says of a command. The command, if the node has such a one and it was still open.
    ///
    /// # Errors
    /// When it could not be stored; the node will say it again. Who watches is told at once.
    pub async fn answer(
        &self,
        node: &NodeName,
        id: CommandId,
        outcome: CommandOutcome,
    ) -> Result<Option<CommandRow>, StoreError> {
        let written = self.store.answer_command(node.clone(), id.clone(), outcome.clone()).await;
        let mut commands = self.lock();
        let Some(open) = commands.get(&id).filter(|open| open.row.node == *node) else { return written.map(|_| None) };
        let state = CommandState::Answered(outcome);
        let ended = state.is_final();
        match written {
            Ok(false) if open.stored => return Ok(None),
            Err(error) if open.stored => {
                open.state.send_replace(state);
                return Err(error);
            }
            // Of what is not on the disk, nothing more can be written there.
            _ => {}
        }
        let row = open.row.clone();
        open.state.send_replace(state);
        if ended {
            commands.remove(&id);
        }
        Ok(Some(row))
    }

    /// Ends what no node took in time.
    pub async fn sweep(&self, now_ms: u64) {
        let late: Vec<_> = {
            let open = self.lock();
            let late =
                open.values().filter(|open| open.expires_ms <= now_ms && *open.state.borrow() == CommandState::Queued);
            late.map(|open| (open.row.node.clone(), open.row.id.clone())).collect()
        };
        for (node, id) in late {
            if let Err(error) = self.answer(&node, id, CommandOutcome::Expired).await {
                tracing::error!(%error, "an expired command could not be stored");
            }
        }
    }

    /// Forgets a node's commands.
    pub fn forget(&self, node: &NodeName) {
        self.lock().retain(|_, open| open.row.node != *node);
    }
}
