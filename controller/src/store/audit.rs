use rusqlite::{Connection, OptionalExtension, params};

use super::{Store, StoreError};
use crate::audit::chain_hash;

/// Most records that are kept; the oldest go first.
const KEEP: u64 = 100_000;

/// What goes into the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// By the controller's clock, milliseconds since 1970-01-01 UTC.
    pub wall_ms: i64,
    /// node/NAME, user/NAME, local/UID, or anonymous.
    pub who: String,
    /// The peer's address.
    pub origin: String,
    /// The called method.
    pub action: String,
    /// What it was done to.
    pub target: String,
    /// ok, denied or failed, with the reason.
    pub outcome: String,
}

/// An entry in its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Growing without a gap.
    pub position: u64,
    /// What is recorded.
    pub entry: AuditEntry,
    /// SHA-256 over the hash before and this entry, lower-case hexadecimal.
    pub hash: String,
}

/// Adds a record to the chain, inside the transaction of what it records.
pub(super) fn append(connection: &Connection, entry: &AuditEntry) -> Result<(), StoreError> {
    let before: Option<String> = connection
        .prepare_cached("SELECT hash FROM audit ORDER BY position DESC LIMIT 1")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)).optional())
        .map_err(StoreError::sqlite("reading the audit log"))?;
    let hash = chain_hash(before.as_deref().unwrap_or_default(), entry);
    connection
        .prepare_cached(
            "INSERT INTO audit (wall_ms, who, origin, action, target, outcome, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                entry.wall_ms,
                entry.who,
                entry.origin,
                entry.action,
                entry.target,
                entry.outcome,
                hash
            ])
        })
        .map_err(StoreError::sqlite("writing the audit log"))?;
    Ok(())
}

impl Store {
    /// Adds one record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.run(move |connection| append(connection, &entry)).await
    }

    /// Adds several records together.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit_all(&self, entries: Vec<AuditEntry>) -> Result<(), StoreError> {
        self.run(move |connection| entries.iter().try_for_each(|entry| append(connection, entry))).await
    }

    /// The newest records, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit_records(&self, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.run(move |connection| {
            let mut statement = connection
                .prepare_cached(
                    "SELECT position, wall_ms, who, origin, action, target, outcome, hash FROM audit \
                     ORDER BY position DESC LIMIT ?1",
                )
                .map_err(StoreError::sqlite("reading the audit log"))?;
            let rows = statement
                .query_map([limit], |row| {
                    let entry = AuditEntry {
                        wall_ms: row.get(1)?,
                        who: row.get(2)?,
                        origin: row.get(3)?,
                        action: row.get(4)?,
                        target: row.get(5)?,
                        outcome: row.get(6)?,
                    };
                    Ok(AuditRow { position: row.get::<_, i64>(0)?.cast_unsigned(), entry, hash: row.get(7)? })
                })
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(StoreError::sqlite("reading the audit log"))?;
            Ok(rows.into_iter().rev().collect())
        })
        .await
    }

    /// Forgets what is beyond the bounds of audit log, events, commands and used-up invitations.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune(&self, now_ms: i64) -> Result<(), StoreError> {
        self.run(move |connection| {
            let day_ago = now_ms - 24 * 3600 * 1000;
            for (sql, value) in [
                ("DELETE FROM audit WHERE position <= (SELECT max(position) FROM audit) - ?1", KEEP.cast_signed()),
                ("DELETE FROM events WHERE position <= (SELECT max(position) FROM events) - ?1", KEEP.cast_signed()),
                ("DELETE FROM commands WHERE expires_ms < ?1 AND state IN ('succeeded', 'failed', 'expired')", day_ago),
                // What the store does not know is refused just as what it knows to be revoked.
                ("DELETE FROM certificates WHERE revoked_ms IS NOT NULL AND not_after_s < ?1", now_ms / 1000),
                ("DELETE FROM tokens WHERE ends_ms < ?1", day_ago),
                ("DELETE FROM token_uses WHERE ?1 > 0 AND token_id NOT IN (SELECT id FROM tokens)", now_ms),
            ] {
                connection.execute(sql, [value]).map_err(StoreError::sqlite("pruning the store"))?;
            }
            Ok(())
        })
        .await
    }
}
