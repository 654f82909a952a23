use rackhaven_pki::{CertificateInfo, Subject};
use rackhaven_proto::model::{Role, UserName};
use rusqlite::{Connection, params};

use super::audit::append;
use super::{AuditEntry, Store, StoreError};

/// A user as it is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Unique.
    pub name: UserName,
    /// What the user may do.
    pub role: Role,
    /// When the first certificate was issued, milliseconds since 1970-01-01 UTC.
    pub created_ms: i64,
    /// When access was ended.
    pub revoked_ms: Option<i64>,
    /// End of the newest certificate, seconds since 1970-01-01 UTC.
    pub certificate_ends_s: Option<i64>,
}

pub(super) fn insert(connection: &Connection, name: &UserName, role: Role, now_ms: i64) -> Result<(), StoreError> {
    connection
        .execute(
            "INSERT INTO users (name, role, created_ms) VALUES (?1, ?2, ?3) \
             ON CONFLICT (name) DO UPDATE SET role = ?2, revoked_ms = NULL",
            params![name.as_str(), role.as_str(), now_ms],
        )
        .map(drop)
        .map_err(StoreError::sqlite("storing a user"))
}

impl Store {
    /// All users, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn users(&self) -> Result<Vec<UserRow>, StoreError> {
        self.run(|connection| {
            let mut statement = connection
                .prepare(
                    "SELECT name, role, created_ms, revoked_ms, (SELECT max(not_after_s) FROM certificates c \
                     WHERE c.kind = 'user' AND c.name = users.name) FROM users ORDER BY name",
                )
                .map_err(StoreError::sqlite("reading users"))?;
            let rows = statement
                .query_map([], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                })
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(StoreError::sqlite("reading users"))?;
            rows.into_iter()
                .map(|(name, role, created_ms, revoked_ms, certificate_ends_s)| {
                    Ok(UserRow {
                        name: name.parse().map_err(StoreError::bad("user"))?,
                        role: role.parse().map_err(StoreError::bad("user"))?,
                        created_ms,
                        revoked_ms,
                        certificate_ends_s,
                    })
                })
                .collect()
        })
        .await
    }

    /// Stores the first admin of a new cluster.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn create_admin(
        &self,
        name: UserName,
        certificate: CertificateInfo,
        pem: String,
        now_ms: i64,
        audit: AuditEntry,
    ) -> Result<(), StoreError> {
        self.run(move |connection| {
            append(connection, &audit)?;
            insert(connection, &name, Role::Admin, now_ms)?;
            super::certificates::insert(connection, &Subject::User(name), &certificate, &pem, now_ms)
        })
        .await
    }

    /// Ends a user's access; whether there was such a user.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_user(&self, name: UserName, now_ms: i64, audit: AuditEntry) -> Result<bool, StoreError> {
        self.run(move |connection| {
            append(connection, &audit)?;
            super::certificates::revoke_all(connection, "user", name.as_str(), now_ms)?;
            connection
                .execute("DELETE FROM tokens WHERE purpose = 'user' AND name = ?1", [name.as_str()])
                .map_err(StoreError::sqlite("revoking a user"))?;
            connection
                .execute(
                    "UPDATE users SET revoked_ms = ?2 WHERE name = ?1 AND revoked_ms IS NULL",
                    params![name.as_str(), now_ms],
                )
                .map(|changed| changed > 0)
                .map_err(StoreError::sqlite("revoking a user"))
        })
        .await
    }
}
