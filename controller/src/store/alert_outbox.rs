use std::collections::BTreeMap;

use rusqlite::{Connection, Row, params};

use super::alerts::{decode, encode, insert_turns};
use super::{AlertTurn, Store, StoreError};
use crate::alerts::core::Alert;

/// Most messages that wait, of all channels together; beyond it the oldest go, first those of what is over.
const MOST: i64 = 10_000;

/// Something to be told through one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOutboxRow {
    /// The channel's name.
    pub channel: String,
    /// Says that something is over.
    pub resolved: bool,
    /// Must not wait for what else may come.
    pub urgent: bool,
    /// When, milliseconds since 1970-01-01 UTC.
    pub created_ms: i64,
    /// What of the alert, as its word.
    pub kind: String,
    /// The alert as it was.
    pub alert: Alert,
}

/// The same in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxRow {
    /// Growing.
    pub position: u64,
    /// The message that it belongs to since it was tried first; empty before.
    pub batch: String,
    /// What is told.
    pub new: NewOutboxRow,
}

/// Puts rows in, and drops what is too much.
pub(super) fn insert(connection: &Connection, rows: &[NewOutboxRow]) -> Result<(), StoreError> {
    let failed = || StoreError::sqlite("storing what is to be told");
    for row in rows {
        let alert = encode(&row.alert)?;
        connection
            .prepare_cached(
                "INSERT INTO alert_outbox (channel, resolved, urgent, created_ms, batch, kind, alert) \
                 VALUES (?1, ?2, ?3, ?4, '', ?5, ?6)",
            )
            .and_then(|mut statement| {
                statement.execute(params![row.channel, row.resolved, row.urgent, row.created_ms, row.kind, alert])
            })
            .map_err(failed())?;
    }
    if rows.is_empty() {
        return Ok(());
    }
    let waiting: i64 =
        connection.query_row("SELECT count(*) FROM alert_outbox", [], |row| row.get(0)).map_err(failed())?;
    if waiting > MOST {
        let dropped = waiting - MOST;
        tracing::error!(dropped, "too many messages wait: the oldest are dropped");
        let sql = "DELETE FROM alert_outbox WHERE position IN \
                   (SELECT position FROM alert_outbox ORDER BY resolved DESC, position LIMIT ?1)";
        connection.execute(sql, [dropped]).map_err(failed())?;
    }
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<(u64, String, bool, bool, i64, String, String)> {
    Ok((
        row.get::<_, i64>(0)?.cast_unsigned(),
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
        row.get(6)?,
    ))
}

impl Store {
    /// What waits for a channel, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn outbox(&self, channel: String, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        self.run(move |connection| {
            let rows = connection
                .prepare_cached(
                    "SELECT position, batch, resolved, urgent, created_ms, kind, alert FROM alert_outbox \
                     WHERE channel = ?1 ORDER BY position LIMIT ?2",
                )
                .and_then(|mut statement| {
                    statement.query_map(params![channel, limit], read)?.collect::<Result<Vec<_>, _>>()
                })
                .map_err(StoreError::sqlite("reading what is to be told"))?;
            let mut waiting = Vec::new();
            for (position, batch, resolved, urgent, created_ms, kind, alert) in rows {
                match decode(&alert) {
                    Ok(alert) => {
                        let channel = channel.clone();
                        let new = NewOutboxRow { channel, resolved, urgent, created_ms, kind, alert };
                        waiting.push(OutboxRow { position, batch, new });
                    }
                    Err(error) => {
                        // It must not stand in the way of all others.
                        tracing::error!(%error, channel, "a message that was stored is left out");
                        connection
                            .execute("DELETE FROM alert_outbox WHERE position = ?1", [position.cast_signed()])
                            .map_err(StoreError::sqlite("removing what was to be told"))?;
                    }
                }
            }
            Ok(waiting)
        })
        .await
    }

    /// How much waits, by channel.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn outbox_lengths(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.run(|connection| {
            connection
                .prepare_cached("SELECT channel, count(*) FROM alert_outbox GROUP BY channel")
                .and_then(|mut statement| {
                    let lengths =
                        statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?;
                    lengths.collect()
                })
                .map_err(StoreError::sqlite("counting what is to be told"))
        })
        .await
    }

    /// Makes rows one message, so that it is the same message when it is tried again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bind_outbox(&self, positions: Vec<u64>, batch: String) -> Result<(), StoreError> {
        self.run(move |connection| {
            for position in positions {
                connection
                    .prepare_cached("UPDATE alert_outbox SET batch = ?1 WHERE position = ?2")
                    .and_then(|mut statement| statement.execute(params![batch, position.cast_signed()]))
                    .map_err(StoreError::sqlite("storing what is to be told"))?;
            }
            Ok(())
        })
        .await
    }

    /// Takes out what was told or refused, and writes down what became of it.
    ///
    /// # Errors
    /// [`StoreError`]; it is then told again.
    pub async fn leave_outbox(&self, positions: Vec<u64>, turns: Vec<AlertTurn>) -> Result<(), StoreError> {
        self.run(move |connection| {
            for position in positions {
                connection
                    .prepare_cached("DELETE FROM alert_outbox WHERE position = ?1")
                    .and_then(|mut statement| statement.execute([position.cast_signed()]))
                    .map_err(StoreError::sqlite("removing what was told"))?;
            }
            insert_turns(connection, &turns)
        })
        .await
    }

    /// Forgets what waits for channels that there are no more; how much.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn outbox_only_for(&self, channels: Vec<String>) -> Result<usize, StoreError> {
        self.run(move |connection| {
            let waiting = connection
                .prepare("SELECT DISTINCT channel FROM alert_outbox")
                .and_then(|mut statement| {
                    statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()
                })
                .map_err(StoreError::sqlite("reading what is to be told"))?;
            let mut gone = 0;
            for channel in waiting.iter().filter(|channel| !channels.contains(channel)) {
                gone += connection
                    .execute("DELETE FROM alert_outbox WHERE channel = ?1", [channel])
                    .map_err(StoreError::sqlite("removing what was to be told"))?;
            }
            Ok(gone)
        })
        .await
    }
}
