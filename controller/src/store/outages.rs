use rusqlite::{OptionalExtension, params};

use super::{Store, StoreError};

/// So many outages are kept, with their timelines.
const KEEP: i64 = 500;

/// One outage, manual shutdown or drill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutageRow {
    /// Unique.
    pub number: u64,
    /// Its kind's word.
    pub kind: String,
    /// Why nodes went down; empty if none did.
    pub cause: String,
    /// When it began, milliseconds since 1970-01-01 UTC.
    pub begun_ms: i64,
    /// When it ended; none while it goes on.
    pub ended_ms: Option<i64>,
}

/// One line of a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineRow {
    /// The outage.
    pub outage: u64,
    /// Since it began, milliseconds.
    pub at_ms: u64,
    /// By the wall clock, milliseconds since 1970-01-01 UTC.
    pub wall_ms: i64,
    /// Empty for the fleet as a whole.
    pub node: String,
    /// A stable word.
    pub kind: String,
    /// For a person.
    pub message: String,
}

/// What is written down of outages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutageRecord {
    /// One has begun.
    Begun(OutageRow),
    /// Something happened in it.
    Line(TimelineRow),
    /// It has ended.
    Ended {
        /// Which.
        number: u64,
        /// Why nodes went down; empty if none did.
        cause: String,
        /// When, milliseconds since 1970-01-01 UTC.
        wall_ms: i64,
    },
}

impl Store {
    /// Writes down what happened, in this order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_outage(&self, records: Vec<OutageRecord>) -> Result<(), StoreError> {
        self.run(move |connection| {
            for record in records {
                let written = match record {
                    OutageRecord::Begun(row) => connection
                        .prepare_cached(
                            "INSERT OR IGNORE INTO outages (number, kind, cause, begun_ms, ended_ms) \
                             VALUES (?1, ?2, ?3, ?4, NULL)",
                        )
                        .and_then(|mut statement| {
                            statement.execute(params![row.number.cast_signed(), row.kind, row.cause, row.begun_ms])
                        })
                        .and_then(|_| {
                            connection.execute(
                                "DELETE FROM outages WHERE number <= (SELECT max(number) FROM outages) - ?1",
                                [KEEP],
                            )?;
                            connection.execute(
                                "DELETE FROM outage_events WHERE outage <= (SELECT max(number) FROM outages) - ?1",
                                [KEEP],
                            )
                        }),
                    OutageRecord::Line(row) => connection
                        .prepare_cached(
                            "INSERT INTO outage_events (outage, at_ms, wall_ms, node, kind, message) \
                             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                        )
                        .and_then(|mut statement| {
                            statement.execute(params![
                                row.outage.cast_signed(),
                                row.at_ms.cast_signed(),
                                row.wall_ms,
                                row.node,
                                row.kind,
                                row.message
                            ])
                        }),
                    OutageRecord::Ended { number, cause, wall_ms } => connection
                        .prepare_cached("UPDATE outages SET cause = ?2, ended_ms = ?3 WHERE number = ?1")
                        .and_then(|mut statement| statement.execute(params![number.cast_signed(), cause, wall_ms])),
                };
                written.map_err(StoreError::sqlite("recording an outage"))?;
            }
            Ok(())
        })
        .await
    }

    /// The newest outages first: at most `limit`, or only the one with this number; drills where they are asked for.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn outages(
        &self,
        limit: u32,
        number: Option<u64>,
        with_drills: bool,
    ) -> Result<Vec<OutageRow>, StoreError> {
        self.run(move |connection| {
            connection
                .prepare_cached(
                    "SELECT number, kind, cause, begun_ms, ended_ms FROM outages \
                     WHERE (?2 IS NULL OR number = ?2) AND (?3 OR kind != 'drill') ORDER BY number DESC LIMIT ?1",
                )
                .and_then(|mut statement| {
                    statement
                        .query_map(params![limit, number.map(u64::cast_signed), with_drills], |row| {
                            Ok(OutageRow {
                                number: row.get::<_, i64>(0)?.cast_unsigned(),
                                kind: row.get(1)?,
                                cause: row.get(2)?,
                                begun_ms: row.get(3)?,
                                ended_ms: row.get(4)?,
                            })
                        })?
                        .collect()
                })
                .map_err(StoreError::sqlite("reading outages"))
        })
        .await
    }

    /// The timeline of an outage, oldest line first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn timeline(&self, outage: u64) -> Result<Vec<TimelineRow>, StoreError> {
        self.run(move |connection| {
            connection
                .prepare_cached(
                    "SELECT at_ms, wall_ms, node, kind, message FROM outage_events WHERE outage = ?1 ORDER BY position",
                )
                .and_then(|mut statement| {
                    statement
                        .query_map([outage.cast_signed()], |row| {
                            Ok(TimelineRow {
                                outage,
                                at_ms: row.get::<_, i64>(0)?.cast_unsigned(),
                                wall_ms: row.get(1)?,
                                node: row.get(2)?,
                                kind: row.get(3)?,
                                message: row.get(4)?,
                            })
                        })?
                        .collect()
                })
                .map_err(StoreError::sqlite("reading a timeline"))
        })
        .await
    }

    /// The highest number that an outage has had; 0 without one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn last_outage(&self) -> Result<u64, StoreError> {
        self.run(|connection| {
            connection
                .query_row("SELECT max(number) FROM outages", [], |row| row.get::<_, Option<i64>>(0))
                .optional()
                .map(|found| found.flatten().map_or(0, i64::cast_unsigned))
                .map_err(StoreError::sqlite("reading outages"))
        })
        .await
    }
}
