//! Addresses that nothing else uses.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

/// The port of everything that listens in a story.
const PORT: u16 = 7443;

static TAKEN: AtomicU32 = AtomicU32::new(0);

/// A loopback address of its own with the usual port.
///
/// All of 127.0.0.0/8 leads to this machine, so that each listener gets an address instead of a free port: a port that
/// was free a moment ago may since have gone to somebody's outgoing connection.
pub fn fresh() -> SocketAddr {
    let number = TAKEN.fetch_add(1, Ordering::Relaxed);
    let part = |value: u32| u8::try_from(value % 250 + 1).unwrap_or(1);
    let ip = Ipv4Addr::new(127, part(std::process::id()), part(number / 250), part(number));
    SocketAddr::new(ip.into(), PORT)
}
