//! The listening side: the controller.

use std::sync::Arc;

use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{DistinguishedName, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use crate::clock::TrustClock;
use crate::verify::{certificates, check_at_believable_time, handshake_signatures, is_about_time, provider, unix_time};
use crate::{CertificateInfo, PkiError, PrivateKey};

/// TLS for the controller: TLS 1.3 only, no resumption, client certificates of the cluster's CA asked for but not
/// required (a machine that enrols has none).
///
/// A client certificate that is wrong only in its time of validity passes the handshake, so that its holder can renew
/// it; **the caller must check [`CertificateInfo::not_after_unix_s`] before anything else is allowed.**
///
/// # Errors
/// When certificate or key cannot be used.
pub fn tls(
    chain_pem: &str,
    key: &PrivateKey,
    ca_pem: &str,
    clock: Arc<dyn TrustClock>,
) -> Result<Arc<ServerConfig>, PkiError> {
    let mut roots = RootCertStore::empty();
    for der in certificates(ca_pem, "CA certificate")? {
        roots.add(der).map_err(|source| PkiError::Tls { what: "CA certificate", source })?;
    }
    let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| PkiError::malformed("CA certificate", error))?;
    let chain = certificates(chain_pem, "server certificate")?;
    let key = PrivateKeyDer::from_pem_slice(key.to_pem().as_bytes())
        .map_err(|error| PkiError::malformed("private key", error))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|source| PkiError::Tls { what: "TLS 1.3", source })?
        .with_client_cert_verifier(Arc::new(LenientOnTime { inner, clock }))
        .with_single_cert(chain, key)
        .map_err(|source| PkiError::Tls { what: "server certificate and key", source })?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Checks everything of a client's certificate in the handshake but leaves its time of validity to the caller.
#[derive(Debug)]
struct LenientOnTime {
    inner: Arc<dyn ClientCertVerifier>,
    clock: Arc<dyn TrustClock>,
}

impl ClientCertVerifier for LenientOnTime {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let check = |at| self.inner.verify_client_cert(end_entity, intermediates, at);
        match check_at_believable_time(&*self.clock, end_entity, check) {
            Err(error) if is_about_time(&error) => match CertificateInfo::from_der(end_entity) {
                Ok(info) => check(unix_time(info.not_before_unix_s)),
                Err(_) => Err(error),
            },
            other => other,
        }
    }

    handshake_signatures!();
}
