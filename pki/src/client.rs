//! The dialling side: agents and ctl.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rackhaven_proto::model::Endpoint;
use rustls::client::Resumption;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::Channel;

use crate::clock::TrustClock;
use crate::verify::{certificates, check_at_believable_time, handshake_signatures, is_about_time, provider};
use crate::{Credentials, PkiError, sha256};

/// How long a TCP connection and a TLS handshake may each take.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2 keep-alive: after so long without a frame a ping is sent, and its answer awaited for half of that.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// TLS as the holder of `credentials`: TLS 1.3 only, the server verified by the cluster's CA and its fixed name.
///
/// # Errors
/// When certificate or key cannot be used.
pub fn tls(credentials: &Credentials, clock: Arc<dyn TrustClock>) -> Result<Arc<ClientConfig>, PkiError> {
    let mut roots = RootCertStore::empty();
    for der in certificates(&credentials.ca_pem, "CA certificate")? {
        roots.add(der).map_err(|source| PkiError::Tls { what: "CA certificate", source })?;
    }
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| PkiError::malformed("CA certificate", error))?;
    let chain = certificates(&credentials.certificate_pem, "certificate")?;
    let key = PrivateKeyDer::from_pem_slice(credentials.key.to_pem().as_bytes())
        .map_err(|error| PkiError::malformed("private key", error))?;
    let mut config = builder()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(CaVerifier { inner, clock }))
        .with_client_auth_cert(chain, key)
        .map_err(|source| PkiError::Tls { what: "certificate and key", source })?;
    finish(&mut config);
    Ok(Arc::new(config))
}

/// TLS for a machine that has an invitation and nothing else: the server must show the CA with this fingerprint.
///
/// # Errors
/// When TLS cannot be set up at all.
pub fn enrolment_tls(ca_fingerprint: [u8; 32], clock: Arc<dyn TrustClock>) -> Result<Arc<ClientConfig>, PkiError> {
    let verifier = PinVerifier { ca_fingerprint, clock };
    let mut config = builder()?.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
    finish(&mut config);
    Ok(Arc::new(config))
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, PkiError> {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|source| PkiError::Tls { what: "TLS 1.3", source })
}

fn finish(config: &mut ClientConfig) {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
}

/// Why a controller could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No connection: name, network, or nobody listening.
    #[error("cannot reach {endpoint}: {source}")]
    Unreachable {
        /// What was dialled.
        endpoint: Endpoint,
        /// The system's reason.
        source: io::Error,
    },
    /// Somebody answers, but it is not our controller, or a certificate is not good.
    #[error("{endpoint} was not trusted: {reason}")]
    Untrusted {
        /// What was dialled.
        endpoint: Endpoint,
        /// Why, for a person.
        reason: String,
    },
}

/// Connects to one endpoint and shakes hands.
///
/// # Errors
/// [`DialError`], after 10 s for each of the two steps at the latest.
pub async fn dial(
    endpoint: &Endpoint,
    tls: &Arc<ClientConfig>,
    server_name: &str,
) -> Result<TlsStream<TcpStream>, DialError> {
    let unreachable = |source| DialError::Unreachable { endpoint: endpoint.clone(), source };
    let name = ServerName::try_from(server_name.to_owned()).map_err(|error| DialError::Untrusted {
        endpoint: endpoint.clone(),
        reason: format!("server name {server_name:?}: {error}"),
    })?;
    let tcp =
        in_time("connecting", TcpStream::connect((endpoint.host(), endpoint.port()))).await.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    let handshake = TlsConnector::from(Arc::clone(tls)).connect(name, tcp);
    in_time("the TLS handshake", handshake).await.map_err(|error| explain(endpoint, error))
}

async fn in_time<T>(what: &str, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(STEP_TIMEOUT, step).await.unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("{what} took longer than {} s", STEP_TIMEOUT.as_secs())))
    })
}

/// A gRPC channel over one connection; it ends with the connection.
///
/// # Errors
/// When HTTP/2 cannot be set up on it.
pub async fn channel(stream: TlsStream<TcpStream>) -> Result<Channel, tonic::transport::Error> {
    let mut once = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_: http::Uri| {
        let taken = once.take().ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "the connection has ended"));
        std::future::ready(taken)
    });
    tonic::transport::Endpoint::from_static("http://controller.internal")
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE / 2)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
}

/// Turns a failed handshake into something that a person can act on.
fn explain(endpoint: &Endpoint, error: io::Error) -> DialError {
    let endpoint = endpoint.clone();
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return DialError::Unreachable { endpoint, source: error };
    };
    let reason = match tls {
        rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { time, not_before }) => format!(
            "this machine's clock is wrong by at least {}: it is before the beginning of the controller's certificate",
            days(not_before.as_secs().saturating_sub(time.as_secs()))
        ),
        rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { time, not_after }) => format!(
            "by this machine's clock the controller's certificate ended {} ago: either this clock is wrong by {} or more, \
             or the controller has not renewed its certificate",
            days(time.as_secs().saturating_sub(not_after.as_secs())),
            days(time.as_secs().saturating_sub(not_after.as_secs())),
        ),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is from another authority; is this the right controller?".to_owned()
        }
        rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
            "its authority is not the one in the invitation (the fingerprint differs); nothing was sent to it"
                .to_owned()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another cluster or is not a controller's".to_owned(),
        rustls::Error::InvalidMessage(_) => "it does not speak TLS".to_owned(),
        other => other.to_string(),
    };
    DialError::Untrusted { endpoint, reason }
}

/// Seconds as a person would say them.
fn days(seconds: u64) -> String {
    match seconds {
        0..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Verifies by the cluster's CA and the fixed name, at a believable time.
#[derive(Debug)]
struct CaVerifier {
    inner: Arc<WebPkiServerVerifier>,
    clock: Arc<dyn TrustClock>,
}

impl ServerCertVerifier for CaVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        check_at_believable_time(&*self.clock, end_entity, |at| {
            self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, at)
        })
    }

    handshake_signatures!();
}

/// Verifies by the fingerprint of the CA that the server shows. The cluster's name is not known yet; that the leaf is
/// a server's is checked by its extended key usage.
#[derive(Debug)]
struct PinVerifier {
    ca_fingerprint: [u8; 32],
    clock: Arc<dyn TrustClock>,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let refuse = || rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        let authority = intermediates.iter().find(|der| sha256(der) == self.ca_fingerprint).ok_or_else(refuse)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned()).map_err(|_| refuse())?;
        let leaf = rustls::server::ParsedCertificate::try_from(end_entity)?;
        let algorithms = provider().signature_verification_algorithms.all;
        let verified = check_at_believable_time(&*self.clock, end_entity, |at| {
            rustls::client::verify_server_cert_signed_by_trust_anchor(&leaf, &roots, &[], at, algorithms)
        });
        match verified {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(error) if is_about_time(&error) => Err(error),
            Err(_) => Err(refuse()),
        }
    }

    handshake_signatures!();
}
