use std::path::PathBuf;

use rackhaven_pki::durable::{self, StateError};
use rackhaven_pki::{Credentials, PrivateKey, TokenId};
use serde::{Deserialize, Serialize};

use super::{StateFolder, set_aside};

const IDENTITY: &str = "identity";
const PENDING: &str = "pending-key";

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It never joined.
    #[error("this node has not joined a fleet yet: {}", .0.display())]
    Missing(PathBuf),
    /// The file was damaged, and is set aside.
    #[error("{0}; this node must join again: ctl node rejoin NAME")]
    Damaged(String),
    /// The file system refuses.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Who this node is: key, certificate, CA and endpoints, one file.
///
/// # Errors
/// [`IdentityError`].
pub fn load_identity(folder: &StateFolder) -> Result<Credentials, IdentityError> {
    let path = folder.file(IDENTITY);
    let damaged = |reason: &str| IdentityError::Damaged(set_aside(&path, reason));
    let bytes = match durable::read_checked(&path, IDENTITY, 1) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(IdentityError::Missing(path)),
        Err(StateError::Corrupt { reason, .. }) => return Err(damaged(&reason)),
        Err(error) => return Err(error.into()),
    };
    let text = String::from_utf8(bytes).map_err(|_| damaged("is not text"))?;
    Credentials::from_toml(&text).map_err(|invalid| damaged(&invalid.to_string()))
}

/// Replaces the identity.
///
/// # Errors
/// When the disk refuses.
pub fn save_identity(folder: &StateFolder, credentials: &Credentials) -> Result<(), StateError> {
    durable::replace_checked(&folder.file(IDENTITY), IDENTITY, 1, credentials.to_toml().as_bytes(), 0o600)
}

/// The key of an enrolment that has not been answered yet: if the answer is lost, the same key asks again.
pub struct PendingKey {
    /// By which invitation.
    pub token: TokenId,
    /// The key.
    pub key: PrivateKey,
}

#[derive(Serialize, Deserialize)]
struct PendingFile {
    token: String,
    key: String,
}

/// The key of an enrolment that was begun with this invitation. A damaged one is said in the log.
pub fn load_pending_key(folder: &StateFolder, token: &TokenId) -> Option<PrivateKey> {
    let (file, damaged) = folder.read::<PendingFile>(PENDING, 1);
    if let Some(damaged) = damaged {
        tracing::warn!("{damaged}");
    }
    let file = file.filter(|file| file.token == token.as_str())?;
    PrivateKey::from_pem(&file.key).ok()
}

/// Keeps the key before the invitation is spent.
///
/// # Errors
/// When the disk refuses.
pub fn save_pending_key(folder: &StateFolder, pending: &PendingKey) -> Result<(), StateError> {
    folder.write(PENDING, 1, &PendingFile { token: pending.token.to_string(), key: pending.key.to_pem() })
}

/// The enrolment is complete.
///
/// # Errors
/// When the disk refuses.
pub fn forget_pending_key(folder: &StateFolder) -> Result<(), StateError> {
    durable::remove(&folder.file(PENDING))
}
