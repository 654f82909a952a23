use rackhaven_proto::Invalid;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::authority::BACKDATE_S;
use crate::{Identity, PkiError, hex, sha256};

/// What a certificate says, as far as it matters here. Its signature is not checked by reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The serial number, lower-case hexadecimal.
    pub serial: String,
    /// First valid moment, seconds since 1970-01-01 UTC.
    pub not_before_unix_s: i64,
    /// Last valid moment, seconds since 1970-01-01 UTC.
    pub not_after_unix_s: i64,
    /// SHA-256 of the subject's public key (SubjectPublicKeyInfo).
    pub key_hash: [u8; 32],
    /// The SAN URIs, in order.
    uris: Vec<String>,
}

impl CertificateInfo {
    /// Reads DER.
    ///
    /// # Errors
    /// When the bytes are no X.509 certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, PkiError> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|error| PkiError::malformed("certificate", error))?;
        let names = parsed
            .subject_alternative_name()
            .map_err(|error| PkiError::malformed("certificate's alternative names", error))?;
        let uris = names.map_or_else(Vec::new, |names| {
            let uri = |name: &GeneralName<'_>| match name {
                GeneralName::URI(uri) => Some((*uri).to_owned()),
                _ => None,
            };
            names.value.general_names.iter().filter_map(uri).collect()
        });
        Ok(Self {
            serial: hex(parsed.raw_serial()),
            not_before_unix_s: parsed.validity().not_before.timestamp(),
            not_after_unix_s: parsed.validity().not_after.timestamp(),
            key_hash: sha256(parsed.public_key().raw),
            uris,
        })
    }

    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn from_pem(pem: &str) -> Result<Self, PkiError> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| PkiError::malformed("certificate", error))?;
        Self::from_der(&der)
    }

    /// The one identity that the certificate carries.
    ///
    /// # Errors
    /// When there is none, more than one, or another kind of URI.
    pub fn identity(&self) -> Result<Identity, Invalid> {
        match self.uris.as_slice() {
            [uri] => uri.parse(),
            uris => {
                Err(Invalid::new("certificate identity", format!("{} URIs in the certificate, not one", uris.len())))
            }
        }
    }

    /// When to renew it: two thirds of its life after it was issued, seconds since 1970-01-01 UTC.
    pub fn renew_unix_s(&self) -> i64 {
        let issued = self.not_before_unix_s.saturating_add(BACKDATE_S);
        let life = self.not_after_unix_s.saturating_sub(issued);
        issued.saturating_add(life.saturating_mul(2) / 3)
    }
}
