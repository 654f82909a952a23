//! The double's own authority, and its certificate.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// What a server shows, and what makes it believed.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) authority_pem: String,
    pub(super) server: Arc<ServerConfig>,
}

impl Identity {
    /// A new one for these addresses.
    pub(super) fn new(addresses: &[IpAddr]) -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "k3s-server-ca@double");
        let key = KeyPair::generate().context("making a key")?;
        let authority = params.self_signed(&key).context("making an authority")?;
        let authority_pem = authority.pem();
        let issuer = Issuer::new(params, key);
        let mut params = CertificateParams::new(vec!["kubernetes".to_owned(), "localhost".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "k3s");
        params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
        let key = KeyPair::generate().context("making a key")?;
        let certificate = params.signed_by(&key, &issuer).context("making a certificate")?;
        let chain = vec![certificate.der().clone(), authority.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(Self { authority_pem, server: Arc::new(server) })
    }
}
