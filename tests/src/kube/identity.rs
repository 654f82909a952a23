//! The double's own authority, and its certificate.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// What a server shows, and what makes it believed.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) authority_pem: String,
    pub(super) server: Arc<ServerConfig>,
}

impl Identity {
    /// That of the folder, or a new one that is kept there: `server-ca.crt` and `server-ca.key`.
    pub(super) fn kept(folder: &Path, addresses: &[IpAddr]) -> anyhow::Result<Self> {
        let (certificate, key) = (folder.join("server-ca.crt"), folder.join("server-ca.key"));
        if !certificate.exists() {
            let (params, made) = authority()?;
            let pem = params.self_signed(&made).context("making an authority")?.pem();
            std::fs::write(&key, made.serialize_pem()).context("keeping the authority's key")?;
            std::fs::write(&certificate, pem).context("keeping the authority")?;
        }
        let pem = std::fs::read_to_string(&certificate).context("reading the authority")?;
        let key = KeyPair::from_pem(&std::fs::read_to_string(&key)?).context("reading the authority's key")?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).context("reading the authority")?;
        let issuer = Issuer::from_ca_cert_pem(&pem, key).context("reading the authority")?;
        Self::of(&issuer, pem, der, addresses)
    }

    /// A new one for these addresses.
    pub(super) fn new(addresses: &[IpAddr]) -> anyhow::Result<Self> {
        let (params, key) = authority()?;
        let authority = params.self_signed(&key).context("making an authority")?;
        Self::of(&Issuer::new(params, key), authority.pem(), authority.der().clone(), addresses)
    }

    fn of(
        issuer: &Issuer<'_, KeyPair>,
        authority_pem: String,
        authority: CertificateDer<'static>,
        addresses: &[IpAddr],
    ) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(vec!["kubernetes".to_owned(), "localhost".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "k3s");
        params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
        let key = KeyPair::generate().context("making a key")?;
        let certificate = params.signed_by(&key, issuer).context("making a certificate")?;
        let chain = vec![certificate.der().clone(), authority];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(Self { authority_pem, server: Arc::new(server) })
    }
}

fn authority() -> anyhow::Result<(CertificateParams, KeyPair)> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "k3s-server-ca@double");
    Ok((params, KeyPair::generate().context("making a key")?))
}
