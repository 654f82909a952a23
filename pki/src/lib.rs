//! Who is who: the cluster's certificate authority, identities, invitations, TLS for both sides, and how secrets and
//! state are kept on a disk that may lose power at any byte.

mod authority;
mod certificate;
pub mod client;
pub mod clock;
mod credentials;
pub mod durable;
mod identity;
mod key;
pub mod server;
mod token;
mod verify;

pub use authority::{Authority, Validity};
pub use certificate::CertificateInfo;
pub use credentials::Credentials;
pub use identity::{Identity, Subject};
pub use key::PrivateKey;
pub use token::{SecretHash, Token, TokenId};

/// What can go wrong with keys and certificates.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A certificate, key or request that cannot be read.
    #[error("{what}: {reason}")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Making or signing failed.
    #[error("{what}: {source}")]
    Signing {
        /// What was being made.
        what: &'static str,
        /// rcgen's reason.
        source: rcgen::Error,
    },
    /// The TLS library refused the key or certificate.
    #[error("{what}: {source}")]
    Tls {
        /// What was being set up.
        what: &'static str,
        /// rustls' reason.
        source: rustls::Error,
    },
}

impl PkiError {
    fn malformed(what: &'static str, reason: impl ToString) -> Self {
        Self::Malformed { what, reason: reason.to_string() }
    }
}

/// Fills an array with random bytes from the operating system.
///
/// # Errors
/// When the operating system has none to give.
pub fn random<const N: usize>() -> Result<[u8; N], PkiError> {
    let mut bytes = [0; N];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| PkiError::malformed("random bytes", "the operating system gave none"))?;
    Ok(bytes)
}

/// SHA-256 (FIPS 180-4) of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    out
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
