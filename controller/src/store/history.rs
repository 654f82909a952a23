use std::path::Path;

use rackhaven_pki::durable;
use rusqlite::params;

use super::{Database, StoreError, schema};

/// The averages of one node over one minute; each figure absent where none was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct MinuteRow {
    /// Whose.
    pub node: String,
    /// Minutes since 1970-01-01 UTC.
    pub minute: i64,
    /// CPU in use, percent.
    pub cpu: Option<f64>,
    /// Memory in use, percent.
    pub memory: Option<f64>,
    /// The hottest sensor, degrees Celsius.
    pub temperature: Option<f64>,
    /// Load average over one minute.
    pub load: Option<f64>,
    /// The fullest file system, percent.
    pub disk: Option<f64>,
}

/// The figures of the past, in a database of their own: it may be lost without harm.
#[derive(Clone)]
pub struct History {
    database: Database,
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

    /// Stores a minute of many nodes and forgets all minutes before `keep_from_minute`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn store_minutes(&self, rows: Vec<MinuteRow>, keep_from_minute: i64) -> Result<(), StoreError> {
        self.database
            .run(move |connection| {
                let mut statement = connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO minutes (node, minute, cpu, memory, temperature, load, disk) \
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    )
                    .map_err(StoreError::sqlite("storing history"))?;
                for row in rows {
                    statement
                        .execute(params![
                            row.node,
                            row.minute,
                            row.cpu,
                            row.memory,
                            row.temperature,
                            row.load,
                            row.disk
                        ])
                        .map_err(StoreError::sqlite("storing history"))?;
                }
                connection
                    .execute("DELETE FROM minutes WHERE minute < ?1", [keep_from_minute])
                    .map(drop)
                    .map_err(StoreError::sqlite("pruning history"))
            })
            .await
    }

    /// A node's minutes from `from_minute` on, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn minutes(&self, node: String, from_minute: i64) -> Result<Vec<MinuteRow>, StoreError> {
        self.database
            .run(move |connection| {
                let mut statement = connection
                    .prepare_cached(
                        "SELECT minute, cpu, memory, temperature, load, disk FROM minutes \
                         WHERE node = ?1 AND minute >= ?2 ORDER BY minute",
                    )
                    .map_err(StoreError::sqlite("reading history"))?;
                statement
                    .query_map(params![node, from_minute], |row| {
                        Ok(MinuteRow {
                            node: node.clone(),
                            minute: row.get(0)?,
                            cpu: row.get(1)?,
                            memory: row.get(2)?,
                            temperature: row.get(3)?,
                            load: row.get(4)?,
                            disk: row.get(5)?,
                        })
                    })
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(StoreError::sqlite("reading history"))
            })
            .await
    }
}
