use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::DefaultClock;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Book;
use super::clients::{ClientState, Clients};
use super::session::{Next, Session, World};
use super::state::FacadeState;
use crate::nut::line::MAX_LINE_BYTES;

/// A client that says nothing for so long is hung up on, as by `upsd`.
const IDLE: Duration = Duration::from_secs(60);
/// A client that does not take an answer for so long is hung up on.
const SENDING: Duration = Duration::from_secs(5);
/// A pause when the system has no more file descriptors to give, or a client asks too much.
const PAUSE: Duration = Duration::from_millis(50);
/// Most connections of one address.
const PER_ADDRESS: usize = 8;
/// Passwords that one address may try in a minute, right ones too: `upsmon` comes again every five seconds at most.
const TRIES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(30).unwrap();
/// Addresses whose tries are counted before those that have been quiet are forgotten.
const COUNTED_ADDRESSES: usize = 1024;
/// Requests of one connection.
const REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(100).unwrap();

type Tries = RateLimiter<IpAddr, DefaultKeyedStateStore<IpAddr>, DefaultClock>;

/// What all connections share.
pub(super) struct Server {
    book: Book,
    state: watch::Receiver<FacadeState>,
    clients: Arc<Clients>,
    tries: Tries,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// Listens at `address`.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(64)
}

impl Server {
    pub(super) fn new(book: Book, state: watch::Receiver<FacadeState>, clients: Arc<Clients>) -> Self {
        let tries = RateLimiter::keyed(Quota::per_minute(TRIES_PER_MINUTE));
        Self { book, state, clients, tries, open: Mutex::default() }
    }

    /// Accepts for ever. Its connections end with it.
    pub(super) async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let Ok((tcp, peer)) = accepted else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let address = peer.ip().to_canonical();
            match Place::take(&self, address) {
                Some(place) => drop(connections.spawn(place.serve(tcp))),
                None => tracing::warn!(%address, "too many NUT clients: refused"),
            }
        }
    }
}

/// A connection's place among those that may be open, free again when dropped.
struct Place {
    server: Arc<Server>,
    address: IpAddr,
    login: Option<u64>,
}

impl Place {
    fn take(server: &Arc<Server>, address: IpAddr) -> Option<Self> {
        let mut open = server.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.values().sum::<usize>() >= server.book.max_clients {
            return None;
        }
        let theirs = open.entry(address).or_default();
        if *theirs >= PER_ADDRESS {
            return None;
        }
        *theirs += 1;
        Some(Self { server: Arc::clone(server), address, login: None })
    }

    async fn serve(mut self, tcp: TcpStream) {
        let mut lines = BufReader::with_capacity(MAX_LINE_BYTES, tcp);
        let mut session = Session::default();
        let asked_too_much = DefaultDirectRateLimiter::direct(Quota::per_second(REQUESTS_PER_SECOND));
        while let Some(line) = next_line(&mut lines).await {
            while asked_too_much.check().is_err() {
                tokio::time::sleep(PAUSE).await;
            }
            let (answer, next) = self.answer(&mut session, &line);
            let mut text = answer.join("\n");
            text.push('\n');
            // The protocol is ASCII, and clients break on anything else.
            let text = text.replace(|c: char| !c.is_ascii(), "?");
            match next {
                Next::GoOn => {}
                Next::LoggedIn { user, stage } => {
                    tracing::info!(user, address = %self.address, "a NUT client has logged in");
                    self.login = Some(self.server.clients.enter(&user, self.address, stage.as_deref()));
                }
                Next::LoggedOut => {
                    if let Some(login) = self.login.take() {
                        tracing::info!(user = session.claimed_user(), address = %self.address, "a NUT client has logged out");
                        self.server.clients.leave(login, ClientState::LoggedOut);
                    }
                    send(&mut lines, &text).await;
                    return;
                }
                Next::HangUp => {
                    tracing::warn!(address = %self.address, "too many logins of a NUT client: hung up");
                    return;
                }
            }
            if !send(&mut lines, &text).await {
                return;
            }
            if let (Some(login), Some(told)) = (self.login, session.told()) {
                self.server.clients.tell(login, told);
            }
        }
    }

    fn answer(&self, session: &mut Session, line: &str) -> (Vec<String>, Next) {
        let server = &*self.server;
        let may_try = || {
            if server.tries.len() > COUNTED_ADDRESSES {
                server.tries.retain_recent();
            }
            server.tries.check_key(&counted_as(self.address)).is_ok()
        };
        let state = server.state.borrow().clone();
        let logged_in = server.clients.logged_in().iter().map(IpAddr::to_string).collect();
        session.answer(line, &World { book: &server.book, state: &state, logged_in, may_try: &may_try })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(login) = self.login.take() {
            tracing::info!(address = %self.address, "a NUT client has gone without a good-bye");
            self.server.clients.leave(login, ClientState::Dropped);
        }
        let mut open = self.server.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(theirs) = open.get_mut(&self.address) {
            *theirs -= 1;
            if *theirs == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// Who has a whole IPv6 network has one address.
fn counted_as(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

/// The next line; none when the client is gone, silent for too long, or says what is too long for a line.
async fn next_line(lines: &mut BufReader<TcpStream>) -> Option<String> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX) + 1;
    let mut bounded = lines.take(limit);
    let read = tokio::time::timeout(IDLE, bounded.read_until(b'\n', &mut bytes)).await;
    match read {
        Ok(Ok(_)) if bytes.pop() == Some(b'\n') => {
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        _ => None,
    }
}

/// Whether the client has taken it.
async fn send(lines: &mut BufReader<TcpStream>, text: &str) -> bool {
    matches!(tokio::time::timeout(SENDING, lines.write_all(text.as_bytes())).await, Ok(Ok(())))
}
