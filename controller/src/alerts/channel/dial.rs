use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The most that is read from a receiver in one attempt, bytes: what it answers is a line or a short page.
const ANSWER_LIMIT_BYTES: usize = 256 * 1024;
/// So many of a name's addresses are tried.
const ADDRESSES_MOST: usize = 4;
/// The longest file of certificates that is read, bytes.
const CERTIFICATES_LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// Bytes to and from a receiver.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug> Wire for T {}

/// A connection that ends with an error when the receiver answers beyond all measure.
#[derive(Debug)]
pub(super) struct Bounded {
    wire: Box<dyn Wire>,
    left_bytes: usize,
    peer: SocketAddr,
}

impl Bounded {
    /// Whom it leads to.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }
}

/// The certificates of authorities that are believed: those of a file, or else the system's.
///
/// # Errors
/// Why there are none.
pub(super) async fn authorities(ca_file: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, String> {
    let ca_file = ca_file.map(Path::to_owned);
    let read = tokio::task::spawn_blocking(move || match ca_file {
        Some(path) => of_file(&path).map_err(|error| format!("reading {}: {error}", path.display())),
        None => {
            let found = rustls_native_certs::load_native_certs();
            match found.errors.first() {
                Some(error) if found.certs.is_empty() => Err(format!("reading the system's authorities: {error}")),
                _ if found.certs.is_empty() => {
                    Err("this system knows no certificate authorities; install ca-certificates, or set ca_file"
                        .to_owned())
                }
                _ => Ok(found.certs),
            }
        }
    });
    read.await.map_err(|_| "reading the authorities' certificates was broken off".to_owned())?
}

fn of_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > CERTIFICATES_LIMIT_BYTES {
        return Err(format!("{size} bytes long, at most {CERTIFICATES_LIMIT_BYTES} are read"));
    }
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| error.to_string())?;
    if certificates.is_empty() { Err("holds no certificate".to_owned()) } else { Ok(certificates) }
}

/// TLS 1.2 or 1.3 to a receiver that one of the authorities vouches for.
///
/// # Errors
/// Why it cannot be.
pub(super) async fn tls(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities(ca_file).await?);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("preparing TLS: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Connects; each of the name's addresses gets its share of the time.
///
/// # Errors
/// Why it did not come about, without the host's name.
pub(super) async fn connect(
    host: &str,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
    timeout: Duration,
) -> Result<Bounded, String> {
    let (tcp, peer) = tcp(host, port, timeout).await?;
    // Small requests, answered at once.
    let _ = tcp.set_nodelay(true);
    let wire: Box<dyn Wire> = match tls {
        None => Box::new(tcp),
        Some(config) => {
            let name = ServerName::try_from(host.to_owned()).map_err(|_| "its name is not one of DNS".to_owned())?;
            let stream = TlsConnector::from(config).connect(name, tcp).await;
            Box::new(stream.map_err(|error| format!("TLS: {error}"))?)
        }
    };
    Ok(Bounded { wire, left_bytes: ANSWER_LIMIT_BYTES, peer })
}

async fn tcp(host: &str, port: u16, timeout: Duration) -> Result<(TcpStream, SocketAddr), String> {
    let found = tokio::net::lookup_host((host, port)).await.map_err(|error| format!("looking up its name: {error}"))?;
    let addresses: Vec<_> = found.take(ADDRESSES_MOST).collect();
    let share = timeout / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    let mut reason = "its name has no address".to_owned();
    for address in addresses {
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, address)),
            Ok(Err(error)) => reason = format!("connecting: {error}"),
            Err(_) => reason = "connecting: no answer".to_owned(),
        }
    }
    Err(reason)
}

impl AsyncRead for Bounded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left_bytes == 0 {
            return Poll::Ready(Err(io::Error::other("answers without end")));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.wire).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        self.left_bytes = self.left_bytes.saturating_sub(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}
