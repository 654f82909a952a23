use std::fmt;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

use crate::PkiError;

/// An ECDSA P-256 private key. Never shown, never logged.
pub struct PrivateKey(pub(crate) KeyPair);

impl PrivateKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate() -> Result<Self, PkiError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map(Self)
            .map_err(|source| PkiError::Signing { what: "making a private key", source })
    }

    /// Reads PKCS#8 in PEM.
    ///
    /// # Errors
    /// When the text is no such key. What is wrong with it is not told: the parser's reason may repeat parts of the text.
    pub fn from_pem(pem: &str) -> Result<Self, PkiError> {
        KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ECDSA_P256_SHA256).map(Self).map_err(|_| {
            PkiError::malformed("private key", "is not an ECDSA P-256 key in PKCS#8 PEM; truncated or damaged?")
        })
    }

    /// PKCS#8 in PEM.
    pub fn to_pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// A PKCS#10 certificate signing request in DER. It carries the public key only: the controller decides the rest.
    ///
    /// # Errors
    /// When signing fails.
    pub fn signing_request(&self) -> Result<Vec<u8>, PkiError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .serialize_request(&self.0)
            .map(|request| request.der().to_vec())
            .map_err(|source| PkiError::Signing { what: "certificate signing request", source })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::PrivateKey;

    #[test]
    fn a_damaged_key_is_not_repeated() {
        let pem = PrivateKey::generate().unwrap().to_pem();
        assert!(PrivateKey::from_pem(&pem).is_ok());
        let body = pem.lines().nth(1).unwrap();
        // A damaged end marker is what parsers like to show.
        let damaged = pem.replace("END PRIVATE KEY", &format!("END PRIVATE KEY{body}"));
        let error = PrivateKey::from_pem(&damaged).unwrap_err().to_string();
        assert!(!error.contains(body), "the key stands in: {error}");
    }
}
