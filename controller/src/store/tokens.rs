use rackhaven_pki::{CertificateInfo, SecretHash, Subject, TokenId};
use rackhaven_proto::model::{Labels, Role};
use rusqlite::{Connection, OptionalExtension, params};

use super::audit::append;
use super::nodes::{labels_from_json, labels_to_json};
use super::{AuditEntry, Store, StoreError};

/// What an invitation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenPurpose {
    /// New nodes.
    Node,
    /// One enrolled node that comes back with a new key.
    Rejoin,
    /// A user, with this role.
    User(Role),
}

impl TokenPurpose {
    fn word(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Rejoin => "rejoin",
            Self::User(_) => "user",
        }
    }
}

/// An invitation as it is on the disk: its secret only as a hash.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenRow {
    /// The public part.
    pub id: TokenId,
    /// SHA-256 of the secret.
    pub secret_hash: SecretHash,
    /// What it is for.
    pub purpose: TokenPurpose,
    /// The only name it is good for; empty if any.
    pub name: String,
    /// Given to the nodes that use it.
    pub labels: Labels,
    /// Its end, milliseconds since 1970-01-01 UTC.
    pub ends_ms: i64,
    /// How often it can still be used.
    pub uses_left: u32,
    /// How often its secret was guessed wrong.
    pub failures: u32,
}

/// What an enrolment does to the store, decided outside.
pub(crate) struct Enrolment {
    pub(crate) token: TokenId,
    pub(crate) purpose: TokenPurpose,
    pub(crate) subject: Subject,
    pub(crate) labels: Labels,
    pub(crate) certificate: CertificateInfo,
    pub(crate) pem: String,
    pub(crate) now_ms: i64,
    pub(crate) audit: AuditEntry,
}

fn find(connection: &Connection, id: &TokenId) -> Result<Option<TokenRow>, StoreError> {
    let found = connection
        .query_row(
            "SELECT secret_hash, purpose, name, role, labels, ends_ms, uses_left, failures FROM tokens WHERE id = ?1",
            [id.as_str()],
            |row| {
                Ok((
                    row.get::<_, [u8; 32]>(0)?,
                    row.get::<_, String>(1)?,
                    row.get(2)?,
                    row.get::<_, Option<String>>(3)?,
                    row.get::<_, String>(4)?,
                    row.get(5)?,
                    row.get(6)?,
                    row.get(7)?,
                ))
            },
        )
        .optional()
        .map_err(StoreError::sqlite("reading an invitation"))?;
    let Some((hash, purpose, name, role, labels, ends_ms, uses_left, failures)) = found else { return Ok(None) };
    let purpose = match (purpose.as_str(), role) {
        ("user", Some(role)) => TokenPurpose::User(role.parse().map_err(StoreError::bad("invitation"))?),
        ("rejoin", _) => TokenPurpose::Rejoin,
        _ => TokenPurpose::Node,
    };
    Ok(Some(TokenRow {
        id: id.clone(),
        secret_hash: SecretHash(hash),
        purpose,
        name,
        labels: labels_from_json(&labels)?,
        ends_ms,
        uses_left,
        failures,
    }))
}

impl Store {
    /// Stores a new invitation.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn store_token(&self, token: TokenRow, now_ms: i64, audit: AuditEntry) -> Result<(), StoreError> {
        self.run(move |connection| {
            append(connection, &audit)?;
            let role = match token.purpose {
                TokenPurpose::User(role) => Some(role.as_str()),
                _ => None,
            };
            connection
                .execute(
                    "INSERT INTO tokens (id, secret_hash, purpose, name, role, labels, created_ms, ends_ms, uses_left, \
                     failures) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0)",
                    params![
                        token.id.as_str(),
                        token.secret_hash.0,
                        token.purpose.word(),
                        token.name,
                        role,
                        labels_to_json(&token.labels),
                        now_ms,
                        token.ends_ms,
                        token.uses_left
                    ],
                )
                .map(drop)
                .map_err(StoreError::sqlite("storing an invitation"))
        })
        .await
    }

    /// An invitation, and what a key got by it before, if it did.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn token(
        &self,
        id: TokenId,
        key_hash: [u8; 32],
    ) -> Result<Option<(TokenRow, Option<String>)>, StoreError> {
        self.run(move |connection| {
            let Some(token) = find(connection, &id)? else { return Ok(None) };
            let earlier = connection
                .query_row(
                    "SELECT pem FROM certificates JOIN token_uses USING (serial) \
                     WHERE token_id = ?1 AND token_uses.key_hash = ?2 AND revoked_ms IS NULL",
                    params![id.as_str(), key_hash],
                    |row| row.get(0),
                )
                .optional()
                .map_err(StoreError::sqlite("reading an invitation's uses"))?;
            Ok(Some((token, earlier)))
        })
        .await
    }

    /// Counts a wrong guess at an invitation's secret.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_token_failure(&self, id: TokenId) -> Result<(), StoreError> {
        self.run(move |connection| {
            connection
                .execute("UPDATE tokens SET failures = failures + 1 WHERE id = ?1", [id.as_str()])
                .map(drop)
                .map_err(StoreError::sqlite("counting a wrong guess"))
        })
        .await
    }

    /// Performs an enrolment as a whole: the use of the invitation, the node or user, the certificate. False if the
    /// invitation was used up, or the name taken, by somebody else in the meantime.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn enrol(&self, enrolment: Enrolment) -> Result<bool, StoreError> {
        self.run(move |connection| {
            let Enrolment { token, purpose, subject, labels, certificate, pem, now_ms, audit } = enrolment;
            if let (TokenPurpose::Node, Subject::Node(name)) = (purpose, &subject)
                && super::nodes::exists(connection, name)?
            {
                return Ok(false);
            }
            let used = connection
                .execute(
                    "UPDATE tokens SET uses_left = uses_left - 1 WHERE id = ?1 AND uses_left > 0",
                    [token.as_str()],
                )
                .map_err(StoreError::sqlite("using an invitation"))?;
            if used == 0 {
                return Ok(false);
            }
            append(connection, &audit)?;
            match (&subject, purpose) {
                (Subject::Node(name), TokenPurpose::Rejoin) => {
                    super::certificates::revoke_all(connection, "node", name.as_str(), now_ms)?;
                }
                (Subject::Node(name), _) => super::nodes::insert(connection, name, &labels, now_ms)?,
                (Subject::User(name), TokenPurpose::User(role)) => {
                    super::certificates::revoke_all(connection, "user", name.as_str(), now_ms)?;
                    super::users::insert(connection, name, role, now_ms)?;
                }
                (Subject::User(_), _) => return Ok(false),
            }
            super::certificates::insert(connection, &subject, &certificate, &pem, now_ms)?;
            connection
                .execute(
                    "INSERT INTO token_uses (token_id, key_hash, serial) VALUES (?1, ?2, ?3)",
                    params![token.as_str(), certificate.key_hash, certificate.serial],
                )
                .map(|_| true)
                .map_err(StoreError::sqlite("storing an invitation's use"))
        })
        .await
    }
}
