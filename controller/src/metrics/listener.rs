use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::door::Door;
use crate::core::Core;

/// Most connections of one address; for one more the oldest is ended.
const MOST_CONNECTIONS: usize = 32;
/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(5);
/// How long a connection may last. Each is for one request.
const LIFE: Duration = Duration::from_secs(30);
/// Most that is kept of a request before it is understood, bytes.
const BUFFER_BYTES: usize = 16 * 1024;
/// Most headers of a request.
const MOST_HEADERS: usize = 64;
/// An address that is not there yet, such as that of a VPN, is tried again after this.
const BIND_PAUSE: Duration = Duration::from_secs(10);
/// A pause when the system has no more file descriptors to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens at one address.
pub struct Listener {
    address: SocketAddr,
    door: Arc<Door>,
}

/// One for each address that is configured.
pub fn listeners(core: &Arc<Core>) -> Vec<Listener> {
    let config = core.config.load().metrics.clone();
    if let Some(Err(reason)) = config.token.as_ref().map(|token| token.read()) {
        tracing::error!("nobody can read the metrics: {reason}");
    }
    let addresses = config.listen.clone();
    let door = Arc::new(Door::new(Arc::clone(core), config));
    addresses.into_iter().map(|address| Listener { address, door: Arc::clone(&door) }).collect()
}

impl Listener {
    /// Answers for ever. Power and nodes are looked after whether it can listen or not.
    pub async fn serve(self) {
        let listener = self.bind().await;
        tracing::info!(address = %self.address, "listening for Prometheus");
        let mut open: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    open.retain(|connection| !connection.is_finished());
                    if open.len() >= MOST_CONNECTIONS
                        && let Some(oldest) = open.pop_front()
                    {
                        oldest.abort();
                    }
                    open.push_back(tokio::spawn(converse(stream, peer, Arc::clone(&self.door))).abort_handle());
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn bind(&self) -> TcpListener {
        let mut told = false;
        loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => return listener,
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::error!(address = %self.address, %error, "no metrics until this can be listened at");
                    }
                    tokio::time::sleep(BIND_PAUSE).await;
                }
            }
        }
    }
}

async fn converse(stream: TcpStream, peer: SocketAddr, door: Arc<Door>) {
    let service = service_fn(move |request| {
        let door = Arc::clone(&door);
        async move { Ok::<_, Infallible>(door.answer(peer, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .keep_alive(false)
        .max_headers(MOST_HEADERS)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(LIFE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%peer, %error, "who asked for metrics was not understood, or has gone"),
        Err(_) => tracing::debug!(%peer, "who asked for metrics took too long"),
    }
}
