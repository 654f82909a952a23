use rackhaven_proto::model::{Event, Severity};
use rusqlite::{Connection, params};

use super::{Store, StoreError};

/// An event in its place in the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Growing.
    pub position: u64,
    /// The node it is about; empty for the controller's own.
    pub node: String,
    /// A stable word with dots.
    pub kind: String,
    /// How much it matters.
    pub severity: Severity,
    /// For a person.
    pub message: String,
    /// When it happened by the controller's clock, milliseconds since 1970-01-01 UTC.
    pub happened_ms: i64,
    /// When it was stored, likewise.
    pub stored_ms: i64,
}

/// Which events are asked for.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Only this node's; empty means all.
    pub node: String,
    /// Only later ones; 0 means all.
    pub after_position: u64,
    /// At most so many: those that follow `after_position`, or the newest.
    pub limit: u32,
}

fn insert(connection: &Connection, node: &str, event: &Event, now_ms: i64) -> Result<Option<EventRow>, StoreError> {
    // An event's age tells when it happened even if the node's clock was wrong.
    let happened_ms = match event.age_ms {
        Some(age_ms) => now_ms.saturating_sub_unsigned(age_ms),
        None => event.wall_unix_ms,
    };
    let inserted = connection
        .prepare_cached(
            "INSERT INTO events (node, id, kind, severity, message, happened_ms, stored_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (node, id) DO NOTHING",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                node,
                event.id.as_str(),
                event.kind,
                event.severity.as_str(),
                event.message,
                happened_ms,
                now_ms
            ])
        })
        .map_err(StoreError::sqlite("storing an event"))?;
    Ok((inserted > 0).then(|| EventRow {
        position: connection.last_insert_rowid().cast_unsigned(),
        node: node.to_owned(),
        kind: event.kind.clone(),
        severity: event.severity,
        message: event.message.clone(),
        happened_ms,
        stored_ms: now_ms,
    }))
}

impl Store {
    /// Stores an event, unless it was stored before. A new one is handed to `tell`, in the order of positions.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn store_event(
        &self,
        node: String,
        event: Event,
        now_ms: i64,
        tell: impl FnOnce(EventRow) + Send + 'static,
    ) -> Result<(), StoreError> {
        let store = move |connection: &Connection| insert(connection, &node, &event, now_ms);
        let stored = self.database.run_then(store, |stored| _ = stored.clone().map(tell));
        stored.await.map(drop)
    }

    /// The events that a filter asks for, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events(&self, filter: EventFilter) -> Result<Vec<EventRow>, StoreError> {
        self.run(move |connection| {
            let newest_first = filter.after_position == 0;
            let sql = if newest_first {
                "SELECT position, node, kind, severity, message, happened_ms, stored_ms FROM events \
                 WHERE position > ?1 AND (?2 = '' OR node = ?2) ORDER BY position DESC LIMIT ?3"
            } else {
                "SELECT position, node, kind, severity, message, happened_ms, stored_ms FROM events \
                 WHERE position > ?1 AND (?2 = '' OR node = ?2) ORDER BY position LIMIT ?3"
            };
            let mut statement = connection.prepare_cached(sql).map_err(StoreError::sqlite("reading events"))?;
            let rows = statement
                .query_map(params![filter.after_position.cast_signed(), filter.node, filter.limit], |row| {
                    let severity: String = row.get(3)?;
                    Ok((
                        severity,
                        EventRow {
                            position: row.get::<_, i64>(0)?.cast_unsigned(),
                            node: row.get(1)?,
                            kind: row.get(2)?,
                            severity: Severity::Info,
                            message: row.get(4)?,
                            happened_ms: row.get(5)?,
                            stored_ms: row.get(6)?,
                        },
                    ))
                })
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(StoreError::sqlite("reading events"))?;
            let mut events = rows
                .into_iter()
                .map(|(severity, row)| {
                    Ok(EventRow { severity: severity.parse().map_err(StoreError::bad("event"))?, ..row })
                })
                .collect::<Result<Vec<_>, StoreError>>()?;
            if newest_first {
                events.reverse();
            }
            Ok(events)
        })
        .await
    }
}
