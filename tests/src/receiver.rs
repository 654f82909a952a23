//! A receiver of alerts over HTTP and HTTPS that answers as a story says, well or badly.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::address;
use crate::process::{command, run_to_end};
use crate::rack::now;

/// What a receiver does with a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Sends exactly this.
    Bytes(Vec<u8>),
    /// Sends this, and then the letter `x` for as long as somebody reads.
    Endless(Vec<u8>),
    /// Holds the connection and says nothing.
    Silence,
    /// Closes the connection.
    Hangup,
    /// Sends this, but takes so long before.
    Late(Duration, Vec<u8>),
}

impl Reply {
    /// An answer with this status, these further header lines, each ended by CRLF, and this text.
    pub fn status(status: u16, headers: &str, text: &str) -> Self {
        let head = format!("HTTP/1.1 {status} So\r\ncontent-length: {}\r\n{headers}\r\n", text.len());
        Self::Bytes((head + text).into_bytes())
    }

    /// Whether it says that the request was refused. What hears nothing may have been taken.
    fn refuses(&self) -> bool {
        match self {
            Self::Bytes(bytes) | Self::Late(_, bytes) => !bytes.starts_with(b"HTTP/1.1 2"),
            Self::Endless(_) | Self::Silence | Self::Hangup => false,
        }
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// When it was there as a whole.
    pub at: Instant,
    /// Whether its sender was told that it is not taken.
    pub refused: bool,
    /// Its first line and headers, in lower case but for the first line.
    pub head: String,
    /// Its body.
    pub body: String,
}

impl Received {
    /// The value of a header, whose name is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Chooses what to do with the next request.
type Choice = Box<dyn FnMut() -> Reply + Send>;

/// What all connections of a receiver share.
struct Shared {
    choice: Mutex<Choice>,
    received: Mutex<Vec<Received>>,
}

/// A receiver at an address of its own. Ends on drop.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Starts one; with a certificate it speaks TLS.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(reply: Reply, identity: Option<&Identity>) -> anyhow::Result<Self> {
        let ip = identity.map_or_else(|| address::fresh().ip(), |identity| identity.ip);
        Self::start_at((ip, 0).into(), reply, identity).await
    }

    /// The same at this address.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub async fn start_at(address: SocketAddr, reply: Reply, identity: Option<&Identity>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.context("listening for alerts")?;
        let address = listener.local_addr()?;
        let acceptor = identity.map(|identity| TlsAcceptor::from(Arc::clone(&identity.server)));
        let shared =
            Arc::new(Shared { choice: Mutex::new(Box::new(move || reply.clone())), received: Mutex::default() });
        let of_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, acceptor) = (Arc::clone(&of_task), acceptor.clone());
                connections.spawn(async move {
                    // How a connection ends is the sender's business.
                    let _ = match acceptor {
                        None => serve(stream, &shared).await,
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => serve(stream, &shared).await,
                            Err(error) => Err(error.into()),
                        },
                    };
                });
            }
        });
        Ok(Self { address, shared, task })
    }

    /// Chooses otherwise from now on.
    pub fn reply_by(&self, choice: impl FnMut() -> Reply + Send + 'static) {
        *self.shared.choice.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(choice);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that came whole, in order.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    stream.read_line(&mut head).await?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        ensure!(stream.read_line(&mut line).await? > 0, "it ended within its head");
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
            head.push_str(&format!("{}: {}\n", name.to_ascii_lowercase(), value.trim()));
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let reply = shared.choice.lock().unwrap_or_else(PoisonError::into_inner)();
    let received = Received { at: now(), refused: reply.refuses(), head, body: String::from_utf8(body)? };
    shared.received.lock().unwrap_or_else(PoisonError::into_inner).push(received);
    match reply {
        Reply::Bytes(bytes) => stream.write_all(&bytes).await?,
        Reply::Late(wait, bytes) => {
            tokio::time::sleep(wait).await;
            stream.write_all(&bytes).await?;
        }
        Reply::Hangup => {}
        Reply::Silence => drop(stream.read_u8().await),
        Reply::Endless(start) => {
            stream.write_all(&start).await?;
            while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
        }
    }
    stream.flush().await?;
    stream.shutdown().await?;
    Ok(())
}

/// A certificate for one address of this machine, which only who is given it believes.
#[derive(Debug)]
pub struct Identity {
    ip: IpAddr,
    certificate: PathBuf,
    key: PathBuf,
    server: Arc<ServerConfig>,
}

impl Identity {
    /// Lets OpenSSL make one in the folder.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn new(folder: &Path) -> anyhow::Result<Self> {
        let ip = address::fresh().ip();
        let (config, certificate, key) = (folder.join("tls.conf"), folder.join("tls.crt"), folder.join("tls.key"));
        let lines = format!(
            "[req]\ndistinguished_name = dn\nx509_extensions = ext\nprompt = no\n[dn]\nCN = receiver\n\
             [ext]\nbasicConstraints = critical,CA:FALSE\nsubjectAltName = IP:{ip}\n"
        );
        std::fs::write(&config, lines)?;
        let mut openssl = command("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
        openssl.arg("-config").arg(&config).arg("-keyout").arg(&key).arg("-out").arg(&certificate);
        let ran = run_to_end(openssl).await?;
        ensure!(ran.code == Some(0), "openssl: {}", ran.err);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_file(&certificate)?],
                PrivateKeyDer::from_pem_file(&key)?,
            )?;
        Ok(Self { ip, certificate, key, server: Arc::new(server) })
    }

    /// The address that it is for.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The certificate's file.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// The key's file.
    pub fn key(&self) -> &Path {
        &self.key
    }
}
