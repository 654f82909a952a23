mod read;
mod rows;
#[cfg(test)]
mod tests;
mod write;

use std::path::Path;
use std::sync::Arc;

use rackhaven_pki::durable;

use super::{Database, StoreError, schema};
use crate::history::{Keep, Level, MinuteRow, Plan, Stretch, Window};

/// The figures of the past, in a database of their own: it may be lost without harm.
#[derive(Clone)]
pub struct History {
    database: Database,
}

/// What there is of a node in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePast {
    /// Oldest first, the finer ones last: those that no coarser row is made of yet.
    pub rows: Vec<(Level, Stretch)>,
    /// When the oldest figures of the node begin, seconds since 1970-01-01 UTC; none without any.
    pub first_s: Option<i64>,
}

impl History {
    /// Opens the history in `folder`. A damaged one is set aside and a new one begun; the message says so.
    ///
    /// # Errors
    /// When it can neither be opened nor made.
    pub fn open(folder: &Path) -> Result<(Self, Option<String>), StoreError> {
        let path = folder.join(schema::HISTORY.file_name);
        let (connection, message) = match schema::open(&path, &schema::HISTORY) {
            Ok(connection) => (connection, None),
            Err(StoreError::Damaged { reason, .. }) => {
                let kept = durable::set_aside(&path)
                    .map_err(|error| StoreError::BadRow { what: "history", reason: error.to_string() })?;
                let message = format!("the history was damaged ({reason}); set aside as {}", kept.display());
                (schema::open(&path, &schema::HISTORY)?, Some(message))
            }
            Err(error) => return Err(error),
        };
        Ok((Self { database: Database::start(connection, "history")? }, message))
    }

    /// Stores minutes of many nodes, rolls up what is over at `now_s` (seconds since 1970-01-01 UTC) and forgets what is
    /// beyond `keep`, all in one transaction. The same minutes may come again.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is stored then.
    pub async fn store_minutes(&self, rows: Arc<[MinuteRow]>, now_s: i64, keep: Keep) -> Result<(), StoreError> {
        self.database.run(move |connection| write::store(connection, &rows, now_s, &keep)).await
    }

    /// A node's minutes from `from_minute` on, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn minutes(&self, node: String, from_minute: i64) -> Result<Vec<Stretch>, StoreError> {
        self.database.run(move |connection| read::minutes(connection, &node, from_minute)).await
    }

    /// What there is of a node in a window, in the rows that were planned.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn past(&self, node: String, window: Window, plan: Plan) -> Result<NodePast, StoreError> {
        self.database.run(move |connection| read::past(connection, &node, window, plan)).await
    }

    /// Forgets a node.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget(&self, node: String) -> Result<(), StoreError> {
        self.database.run(move |connection| write::forget(connection, |name| name == node)).await
    }

    /// Forgets all nodes but these.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep_only(&self, nodes: Vec<String>) -> Result<(), StoreError> {
        self.database.run(move |connection| write::forget(connection, |name| !nodes.iter().any(|it| it == name))).await
    }
}
