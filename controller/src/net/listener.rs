use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rackhaven_pki::Subject;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use super::{Gate, Peer, Proof};
use crate::access::Caller;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection without a certificate may live: long enough for one enrolment over a bad line.
const ANONYMOUS_LIFE: Duration = Duration::from_secs(30);
/// What is still to be sent on a connection that is being ended gets so long.
const FAREWELL: Duration = Duration::from_millis(250);
/// HTTP/2 keep-alive: after so long without a frame a ping is sent, and its answer awaited for half of that.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Streams that a peer may have open on one connection.
const MAX_STREAMS: u32 = 64;
/// How much of a node's stream may wait to be read, bytes: so little that a few whose readers are slow leave room on the
/// connection (hyper's window for all of it is 1 MiB) for the session's heartbeats.
const NODE_STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// A pause when the system has no more file descriptors to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The TCP side: accepts, shakes hands, serves.
pub struct TlsListener {
    tcp: TcpListener,
    tls: Arc<ArcSwap<ServerConfig>>,
    gate: Arc<Gate>,
}

impl TlsListener {
    /// Binds `address`. The TLS configuration can be exchanged while it runs.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(address: SocketAddr, tls: Arc<ArcSwap<ServerConfig>>, gate: Arc<Gate>) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
            SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self { tcp: socket.listen(4096)?, tls, gate })
    }

    /// Accepts for ever.
    pub async fn serve(self) {
        let mut handshakes: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            let (tcp, address) = match self.tcp.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let limits = self.gate.core().config.load().limits;
            if self.gate.core().connections.count() >= limits.connections {
                tracing::warn!(%address, "too many connections: refused");
                continue;
            }
            let acceptor = TlsAcceptor::from(self.tls.load_full());
            let task = tokio::spawn(Self::greet(acceptor, tcp, address, Arc::clone(&self.gate)));
            handshakes.push_back(task.abort_handle());
            // Those that were shaken are done; of those that were not, the oldest make room.
            if handshakes.len() > limits.handshakes {
                handshakes.retain(|handshake| !handshake.is_finished());
            }
            while handshakes.len() > limits.handshakes {
                if let Some(oldest) = handshakes.pop_front() {
                    oldest.abort();
                }
            }
        }
    }

    /// Shakes hands; what was shaken is served by a task of its own, so that it is no longer counted as a handshake.
    async fn greet(acceptor: TlsAcceptor, tcp: TcpStream, address: SocketAddr, gate: Arc<Gate>) {
        let shaken = async {
            tcp.set_nodelay(true).map_err(|error| error.to_string())?;
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(tcp)).await {
                Err(_) => Err(format!("no handshake within {} s", HANDSHAKE.as_secs())),
                Ok(Err(error)) => Err(error.to_string()),
                Ok(Ok(stream)) => {
                    let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                    Peer::from_tls(address, leaf.map(AsRef::as_ref), &gate.core().cluster.id)
                        .map(|peer| (stream, peer))
                        .map_err(|invalid| invalid.to_string())
                }
            }
        };
        match shaken.await {
            Ok((stream, peer)) => drop(tokio::spawn(serve_connection(stream, peer, gate))),
            Err(reason) => {
                let host = address.ip().to_canonical().to_string();
                let origin = SocketAddr::new(address.ip().to_canonical(), address.port()).to_string();
                let core = gate.core();
                let outcome = format!("denied: {reason}");
                let entry = core.audit_entry(&Caller::Anonymous, &origin, "connect", "", &outcome);
                core.denials.record(&host, entry).await;
            }
        }
    }
}

/// Serves root, and the user that the controller runs as, on a Unix socket.
///
/// # Errors
/// When the socket cannot be made.
pub fn serve_socket(path: &Path, gate: Arc<Gate>) -> io::Result<impl Future<Output = ()> + Send + use<>> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let own_uid = nix::unistd::Uid::effective().as_raw();
    Ok(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            match stream.peer_cred().map(|credentials| credentials.uid()) {
                Ok(uid) if uid == 0 || uid == own_uid => {
                    let peer = Peer { address: "local".to_owned(), proof: Proof::Local { uid } };
                    tokio::spawn(serve_connection(stream, peer, Arc::clone(&gate)));
                }
                _ => tracing::warn!("a stranger on the Unix socket was refused"),
            }
        }
    })
}

/// Serves a connection to its end. Not an async function: its task holds the connection once, not the stream as well.
fn serve_connection<S>(stream: S, peer: Peer, gate: Arc<Gate>) -> impl Future<Output = ()> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let core = Arc::clone(gate.core());
    let peer = Arc::new(peer);
    let served = Arc::clone(&peer);
    let service = service_fn(move |request| Arc::clone(&gate).answer(Arc::clone(&served), request));
    // A user's files come as fast as the line allows.
    let window = match &peer.proof {
        Proof::Certificate { subject: Subject::User(_), .. } | Proof::Local { .. } => None,
        Proof::Certificate { subject: Subject::Node(_), .. } | Proof::Nothing => Some(NODE_STREAM_WINDOW_BYTES),
    };
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE / 2)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(window)
        .max_header_list_size(16 * 1024)
        .max_send_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    let anonymous_limit = core.config.load().limits.anonymous_connections;
    let added = core.connections.add(&peer, anonymous_limit);
    // Only those without a certificate have a limited life, and a timer.
    let life = (peer.proof == Proof::Nothing).then(|| Box::pin(tokio::time::sleep(ANONYMOUS_LIFE)));
    async move {
        let Some((number, ended)) = added else {
            tracing::warn!(peer = peer.address, "too many connections of this peer, or without a certificate: refused");
            return;
        };
        tokio::pin!(connection);
        let life = async {
            match life {
                Some(timer) => timer.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!(peer = peer.address, %error, "a connection broke");
                }
            }
            _ = ended => {
                connection.as_mut().graceful_shutdown();
                let _ = Box::pin(tokio::time::timeout(FAREWELL, connection)).await;
            }
            () = life => {}
        }
        core.connections.remove(number, &peer);
    }
}
