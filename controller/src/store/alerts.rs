use rackhaven_proto::model::Severity;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{NewOutboxRow, Store, StoreError, alert_outbox};
use crate::alerts::core::{Alert, Key, Silence};

/// So many turns of alerts are kept.
const KEEP_TURNS: i64 = 20_000;

/// A turn in an alert's life, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertTurn {
    /// When, milliseconds since 1970-01-01 UTC.
    pub wall_ms: i64,
    /// The alert's name.
    pub key: String,
    /// `fired`, `worsened`, `resolved`, `acknowledged`, `silenced`, `unsilenced`, `sent`, `refused`.
    pub kind: String,
    /// How bad it was.
    pub severity: Severity,
    /// Who did it, or through which channel; empty where nobody did.
    pub who: String,
    /// For a person.
    pub message: String,
}

/// What one look has led to: all of it is written, or nothing.
#[derive(Debug, Clone, Default)]
pub struct AlertCommit {
    /// Alerts as they are now.
    pub kept: Vec<Alert>,
    /// Alerts that are forgotten.
    pub gone: Vec<Key>,
    /// A silence that was made.
    pub silenced: Option<Silence>,
    /// Silences that are over.
    pub silences_over: Vec<u64>,
    /// What is to be told.
    pub outbox: Vec<NewOutboxRow>,
    /// Turns for the record.
    pub turns: Vec<AlertTurn>,
    /// The last event that was looked at.
    pub cursor: Option<u64>,
}

impl AlertCommit {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
            && self.gone.is_empty()
            && self.silenced.is_none()
            && self.silences_over.is_empty()
            && self.outbox.is_empty()
            && self.turns.is_empty()
    }

    /// Adds a later one to what could not be written.
    pub fn extend(&mut self, later: Self) {
        self.kept
            .retain(|alert| !later.gone.contains(&alert.key) && !later.kept.iter().any(|newer| newer.key == alert.key));
        self.gone.retain(|key| !later.kept.iter().any(|alert| alert.key == *key));
        self.kept.extend(later.kept);
        self.gone.extend(later.gone);
        self.silenced = later.silenced.or(self.silenced.take());
        self.silences_over.extend(later.silences_over);
        self.outbox.extend(later.outbox);
        self.turns.extend(later.turns);
        let forgotten = self.turns.len().saturating_sub(KEEP_TURNS as usize);
        self.turns.drain(..forgotten);
        self.cursor = later.cursor.or(self.cursor);
    }
}

/// As text for a column.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::BadRow { what: "alert", reason: error.to_string() })
}

/// From the text of a column.
pub(super) fn decode<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::BadRow { what: "alert", reason: error.to_string() })
}

fn texts<T: DeserializeOwned>(connection: &Connection, sql: &str) -> Result<Vec<T>, StoreError> {
    let rows = connection
        .prepare(sql)
        .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>())
        .map_err(StoreError::sqlite("reading alerts"))?;
    // What another version wrote is done without; what stands is found again.
    Ok(rows
        .iter()
        .filter_map(|text| {
            decode(text).inspect_err(|error| tracing::warn!(%error, "an alert that was stored is left out")).ok()
        })
        .collect())
}

fn write(connection: &Connection, commit: &AlertCommit) -> Result<(), StoreError> {
    let failed = || StoreError::sqlite("storing alerts");
    for key in &commit.gone {
        connection.execute("DELETE FROM alerts WHERE key = ?1", [key.to_string()]).map_err(failed())?;
    }
    for alert in &commit.kept {
        let text = encode(alert)?;
        connection
            .prepare_cached("INSERT OR REPLACE INTO alerts (key, alert) VALUES (?1, ?2)")
            .and_then(|mut statement| statement.execute(params![alert.key.to_string(), text]))
            .map_err(failed())?;
    }
    if let Some(silence) = &commit.silenced {
        let values = params![silence.id.cast_signed(), encode(silence)?];
        connection
            .execute("INSERT OR REPLACE INTO alert_silences (id, silence) VALUES (?1, ?2)", values)
            .map_err(failed())?;
    }
    for id in &commit.silences_over {
        connection.execute("DELETE FROM alert_silences WHERE id = ?1", [id.cast_signed()]).map_err(failed())?;
    }
    alert_outbox::insert(connection, &commit.outbox)?;
    insert_turns(connection, &commit.turns)?;
    if let Some(position) = commit.cursor {
        connection
            .execute("INSERT OR REPLACE INTO alert_cursor (one, position) VALUES (1, ?1)", [position.cast_signed()])
            .map_err(failed())?;
    }
    Ok(())
}

/// Stores turns, and forgets what is beyond the bound.
pub(super) fn insert_turns(connection: &Connection, turns: &[AlertTurn]) -> Result<(), StoreError> {
    let failed = || StoreError::sqlite("storing turns of alerts");
    for turn in turns {
        connection
            .prepare_cached(
                "INSERT INTO alert_history (wall_ms, key, kind, severity, who, message) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )
            .and_then(|mut statement| {
                let AlertTurn { wall_ms, key, kind, severity, who, message } = turn;
                statement.execute(params![wall_ms, key, kind, severity.as_str(), who, message])
            })
            .map_err(failed())?;
    }
    if !turns.is_empty() {
        let sql = "DELETE FROM alert_history WHERE position <= (SELECT max(position) FROM alert_history) - ?1";
        connection.execute(sql, [KEEP_TURNS]).map_err(failed())?;
    }
    Ok(())
}

impl Store {
    /// The alerts and silences that were stored, and the last event that was looked at.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn alerts(&self) -> Result<(Vec<Alert>, Vec<Silence>, Option<u64>), StoreError> {
        self.run(|connection| {
            let cursor = connection
                .query_row("SELECT position FROM alert_cursor", [], |row| row.get::<_, i64>(0))
                .optional()
                .map_err(StoreError::sqlite("reading alerts"))?;
            let alerts = texts(connection, "SELECT alert FROM alerts")?;
            let silences = texts(connection, "SELECT silence FROM alert_silences ORDER BY id")?;
            Ok((alerts, silences, cursor.map(i64::cast_unsigned)))
        })
        .await
    }

    /// Writes what one look has led to.
    ///
    /// # Errors
    /// [`StoreError`]; nothing of it is then written.
    pub async fn commit_alerts(&self, commit: AlertCommit) -> Result<(), StoreError> {
        self.run(move |connection| write(connection, &commit)).await
    }

    /// The newest turns of alerts, oldest first; of one alert, if a name is given.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn alert_turns(&self, key: String, limit: u32) -> Result<Vec<AlertTurn>, StoreError> {
        self.run(move |connection| {
            let read = |row: &rusqlite::Row<'_>| {
                Ok(AlertTurn {
                    wall_ms: row.get(0)?,
                    key: row.get(1)?,
                    kind: row.get(2)?,
                    severity: row.get::<_, String>(3)?.parse().unwrap_or(Severity::Warning),
                    who: row.get(4)?,
                    message: row.get(5)?,
                })
            };
            let mut turns = connection
                .prepare(
                    "SELECT wall_ms, key, kind, severity, who, message FROM alert_history \
                     WHERE ?1 = '' OR key = ?1 ORDER BY position DESC LIMIT ?2",
                )
                .and_then(|mut statement| {
                    statement.query_map(params![key, limit], read)?.collect::<Result<Vec<_>, _>>()
                })
                .map_err(StoreError::sqlite("reading turns of alerts"))?;
            turns.reverse();
            Ok(turns)
        })
        .await
    }
}
