//! A network that can be slow, lossy, a black hole, or cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::address;

/// How the network is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Weather {
    /// Whether what the dialling side sends gets through.
    up: bool,
    /// Whether what the listening side answers gets through.
    down: bool,
    /// Whether anybody answers at the address.
    open: bool,
    /// Each piece is that late.
    delay: Duration,
    /// A connection breaks when it has carried so many bytes in one direction.
    breaks_after: Option<u64>,
    /// Grows with each cut; connections of an earlier one are dead.
    cuts: u64,
}

/// Stands between agents and a controller, at an address of its own.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicUsize,
    bytes: AtomicU64,
}

impl Proxy {
    /// In front of `target`, in fair weather.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let address = address::fresh();
        let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
        let fair = Weather { up: true, down: true, open: true, delay: Duration::ZERO, breaks_after: None, cuts: 0 };
        let weather = watch::Sender::new(fair);
        let counters = Arc::new(Counters::default());
        let task = tokio::spawn(accept(listener, target, weather.subscribe(), Arc::clone(&counters)));
        Ok(Self { address, weather, counters, task })
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// How many connections there were so far.
    pub fn connections(&self) -> usize {
        self.counters.connections.load(Ordering::Relaxed)
    }

    /// How many bytes got through so far, both ways.
    pub fn bytes(&self) -> u64 {
        self.counters.bytes.load(Ordering::Relaxed)
    }

    /// A black hole: connections stand, and new ones are taken, but nothing gets through.
    pub fn swallow(&self) {
        self.weather.send_modify(|weather| (weather.up, weather.down) = (false, false));
    }

    /// Only what the dialling side sends is held back.
    pub fn hold_upward(&self) {
        self.weather.send_modify(|weather| weather.up = false);
    }

    /// All that was held back gets through, and what comes.
    pub fn pass(&self) {
        self.weather.send_modify(|weather| (weather.up, weather.down, weather.open) = (true, true, true));
    }

    /// All connections break, and what they held back is lost.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
    }

    /// All connections break, and new ones too, until [`Proxy::pass`].
    pub fn close(&self) {
        self.weather.send_modify(|weather| {
            weather.open = false;
            weather.cuts += 1;
        });
    }

    /// Each piece is so late, both ways.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }

    /// Each connection breaks when it has carried so many bytes in one direction; none: no more.
    pub fn break_after(&self, bytes: Option<u64>) {
        self.weather.send_modify(|weather| weather.breaks_after = bytes);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, weather: watch::Receiver<Weather>, counters: Arc<Counters>) {
    // Ends the connections when the proxy ends.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((dialled, _)) = listener.accept().await {
        counters.connections.fetch_add(1, Ordering::Relaxed);
        connections.spawn(carry(dialled, target, weather.clone(), Arc::clone(&counters)));
    }
}

/// One connection, until it ends, breaks or is cut.
async fn carry(dialled: TcpStream, target: SocketAddr, weather: watch::Receiver<Weather>, counters: Arc<Counters>) {
    let begun = *weather.borrow();
    let mut until_cut = weather.clone();
    let carried = async {
        if !begun.open {
            return;
        }
        if weather.clone().wait_for(|now| now.up || now.cuts != begun.cuts).await.is_err() {
            return;
        }
        let Ok(answering) = TcpStream::connect(target).await else { return };
        let (mut from_dialled, mut to_dialled) = dialled.into_split();
        let (mut from_answering, mut to_answering) = answering.into_split();
        // Either side's end ends both, as a broken line does.
        tokio::select! {
            () = pump(&mut from_dialled, &mut to_answering, |now| now.up, begun.cuts, weather.clone(), &counters) => {}
            () = pump(&mut from_answering, &mut to_dialled, |now| now.down, begun.cuts, weather, &counters) => {}
        }
    };
    tokio::select! {
        () = carried => {}
        _ = until_cut.wait_for(|now| now.cuts != begun.cuts) => {}
    }
}

/// One direction of a connection.
async fn pump(
    from: &mut tokio::net::tcp::OwnedReadHalf,
    to: &mut tokio::net::tcp::OwnedWriteHalf,
    passes: fn(&Weather) -> bool,
    cuts: u64,
    mut weather: watch::Receiver<Weather>,
    counters: &Counters,
) {
    let mut piece = vec![0; 16 * 1024];
    let mut carried = 0;
    loop {
        let length = match from.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        // The proxy ends after its connections.
        let now = match weather.wait_for(|now| passes(now) || now.cuts != cuts).await {
            Ok(now) if now.cuts == cuts => *now,
            _ => return,
        };
        if !now.delay.is_zero() {
            tokio::time::sleep(now.delay).await;
        }
        carried += length as u64;
        if now.breaks_after.is_some_and(|limit| carried > limit) {
            return;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
        counters.bytes.fetch_add(length as u64, Ordering::Relaxed);
    }
}
