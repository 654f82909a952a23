use rackhaven_pki::{CertificateInfo, Subject};
use rusqlite::{Connection, params};

use super::{Store, StoreError};

/// A certificate that the controller issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRow {
    /// Its serial number, lower-case hexadecimal.
    pub serial: String,
    /// Whose it is.
    pub subject: Subject,
    /// When it was issued, milliseconds since 1970-01-01 UTC.
    pub issued_ms: i64,
    /// Its end, seconds since 1970-01-01 UTC.
    pub not_after_s: i64,
    /// Whether it was revoked.
    pub revoked: bool,
}

pub(super) fn insert(
    connection: &Connection,
    subject: &Subject,
    info: &CertificateInfo,
    pem: &str,
    now_ms: i64,
) -> Result<(), StoreError> {
    connection
        .execute(
            "INSERT INTO certificates (serial, kind, name, key_hash, pem, issued_ms, not_after_s) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![info.serial, subject.kind(), subject.name(), info.key_hash, pem, now_ms, info.not_after_unix_s],
        )
        .map(drop)
        .map_err(StoreError::sqlite("storing a certificate"))
}

pub(super) fn revoke_all(connection: &Connection, kind: &str, name: &str, now_ms: i64) -> Result<(), StoreError> {
    connection
        .execute(
            "UPDATE certificates SET revoked_ms = ?3 WHERE kind = ?1 AND name = ?2 AND revoked_ms IS NULL",
            params![kind, name, now_ms],
        )
        .map(drop)
        .map_err(StoreError::sqlite("revoking certificates"))
}

impl Store {
    /// All certificates that were ever issued and not yet forgotten.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn certificates(&self) -> Result<Vec<CertificateRow>, StoreError> {
        self.run(|connection| {
            let mut statement = connection
                .prepare("SELECT serial, kind, name, issued_ms, not_after_s, revoked_ms IS NOT NULL FROM certificates")
                .map_err(StoreError::sqlite("reading certificates"))?;
            let rows = statement
                .query_map([], |row| {
                    Ok((
                        row.get::<_, String>(0)?,
                        row.get::<_, String>(1)?,
                        row.get::<_, String>(2)?,
                        row.get(3)?,
                        row.get(4)?,
                        row.get(5)?,
                    ))
                })
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(StoreError::sqlite("reading certificates"))?;
            rows.into_iter()
                .map(|(serial, kind, name, issued_ms, not_after_s, revoked)| {
                    let subject = match kind.as_str() {
                        "node" => Subject::Node(name.parse().map_err(StoreError::bad("certificate"))?),
                        _ => Subject::User(name.parse().map_err(StoreError::bad("certificate"))?),
                    };
                    Ok(CertificateRow { serial, subject, issued_ms, not_after_s, revoked })
                })
                .collect()
        })
        .await
    }

    /// Stores a renewed certificate.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn store_certificate(
        &self,
        subject: Subject,
        info: CertificateInfo,
        pem: String,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.run(move |connection| insert(connection, &subject, &info, &pem, now_ms)).await
    }

    /// Revokes all certificates of a subject but one, because the one is in use now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn retire_others(&self, subject: Subject, serial: String, now_ms: i64) -> Result<(), StoreError> {
        self.run(move |connection| {
            connection
                .execute(
                    "UPDATE certificates SET revoked_ms = ?4 \
                     WHERE kind = ?1 AND name = ?2 AND serial <> ?3 AND revoked_ms IS NULL",
                    params![subject.kind(), subject.name(), serial, now_ms],
                )
                .map(drop)
                .map_err(StoreError::sqlite("retiring certificates"))
        })
        .await
    }
}
