//! Encryption with age: an archive as a whole, so that `age -d` gives back what plain zstd and tar read.

use std::fmt;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;

use age::stream::{StreamReader, StreamWriter};
use age::x25519::Recipient;
use age::{Decryptor, Encryptor, IdentityFile};

/// What opens encrypted archives.
pub struct Identities(Vec<Box<dyn age::Identity + Send + Sync>>);

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({})", self.0.len())
    }
}

impl Identities {
    /// From a file as age-keygen writes it.
    ///
    /// # Errors
    /// When it cannot be read, or holds no identity.
    pub fn from_file(path: &Path) -> io::Result<Self> {
        let file = IdentityFile::from_buffer(BufReader::new(std::fs::File::open(path)?))?;
        let identities = file.into_identities().map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self(identities))
    }
}

/// Encrypts what is written to it. It must be finished.
///
/// # Errors
/// When a recipient is none, or nothing can be written.
pub fn encrypting<W: Write>(to: W, recipients: &[String]) -> io::Result<StreamWriter<W>> {
    let recipients: Vec<Recipient> = recipients
        .iter()
        .map(|text| text.parse().map_err(|error| io::Error::other(format!("the recipient {text}: {error}"))))
        .collect::<io::Result<_>>()?;
    let encryptor = Encryptor::with_recipients(recipients.iter().map(|recipient| recipient as &dyn age::Recipient));
    encryptor.map_err(|error| io::Error::other(error.to_string()))?.wrap_output(to)
}

pub(super) fn decrypted<R: Read + Seek>(from: R, identities: &Identities) -> io::Result<StreamReader<R>> {
    let wrong = |error: age::DecryptError| io::Error::new(io::ErrorKind::PermissionDenied, error.to_string());
    let decryptor = Decryptor::new(from).map_err(wrong)?;
    decryptor.decrypt(identities.0.iter().map(|identity| &**identity as &dyn age::Identity)).map_err(wrong)
}
