//! Certificate checks for both sides of a connection, with a clock that may be wrong.

use std::sync::{Arc, LazyLock};

use rustls::CertificateError;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::clock::TrustClock;
use crate::{CertificateInfo, PkiError};

/// The one provider of cryptography, everywhere.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    Arc::clone(&PROVIDER)
}

/// The methods of a certificate verifier that are about signatures in the handshake, the same for each of ours.
macro_rules! handshake_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &rustls_pki_types::CertificateDer<'_>,
            dss: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            let algorithms = &crate::verify::provider().signature_verification_algorithms;
            rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &rustls_pki_types::CertificateDer<'_>,
            dss: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            let algorithms = &crate::verify::provider().signature_verification_algorithms;
            rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            crate::verify::provider().signature_verification_algorithms.supported_schemes()
        }
    };
}
pub(crate) use handshake_signatures;

/// All certificates of a PEM text, at least one.
pub(crate) fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let list = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| PkiError::malformed(what, error))?;
    if list.is_empty() {
        return Err(PkiError::malformed(what, "holds no certificate"));
    }
    Ok(list)
}

/// Runs `check` at the moment that `clock` makes believable.
///
/// That is its time, or its floor if that is later. A board without a battery-backed clock boots far in the past: while
/// its clock is provably not right (not synchronised, or before its own floor) a certificate that is not good at that
/// moment is judged at its own beginning instead, unless it had expired at the floor already.
pub(crate) fn check_at_believable_time<T>(
    clock: &dyn TrustClock,
    leaf: &CertificateDer<'_>,
    check: impl Fn(UnixTime) -> Result<T, rustls::Error>,
) -> Result<T, rustls::Error> {
    let (now, floor) = (clock.now_unix_s(), clock.floor_unix_s());
    let refused = match check(unix_time(now.max(floor))) {
        Err(error) if is_about_time(&error) => error,
        other => return other,
    };
    if clock.synchronised() && now >= floor {
        return Err(refused);
    }
    match CertificateInfo::from_der(leaf) {
        Ok(info) if info.not_after_unix_s >= floor => check(unix_time(info.not_before_unix_s)),
        _ => Err(refused),
    }
}

/// Whether a certificate was refused for its time of validity alone.
pub(crate) fn is_about_time(error: &rustls::Error) -> bool {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    matches!(
        error,
        rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })
    )
}

pub(crate) fn unix_time(unix_s: i64) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(unix_s).unwrap_or(0)))
}
