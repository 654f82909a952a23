//! Whether machines can be reached: their names, and whether they still answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// How long a host may take to answer a probe.
const PROBE: Duration = Duration::from_millis(500);
/// The port that is tried on a host of which nothing else is known: whether anybody listens there does not matter.
pub const PROBE_PORT: u16 = 22;
/// How long one waits for a name that has never been resolved.
const RESOLVING: Duration = Duration::from_secs(2);

/// Whether a host still answers: it takes a connection, or refuses it. Silence for 500 ms, or no way to it, is none.
pub async fn answers(ip: IpAddr) -> bool {
    connects(SocketAddr::new(ip, PROBE_PORT), PROBE).await
}

/// Whether somebody at `address` takes a connection or refuses it within `patience`.
pub async fn connects(address: SocketAddr, patience: Duration) -> bool {
    match tokio::time::timeout(patience, TcpStream::connect(address)).await {
        Ok(Ok(_)) => true,
        // A refusal comes from the host itself.
        Ok(Err(error)) => {
            matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
        }
        Err(_) => false,
    }
}

/// A host by name or address. Its name is resolved off the runtime, at most once at a time, and what it meant last is
/// kept: in an outage the server of names may be down before the host is.
#[derive(Debug)]
pub struct Host {
    name: String,
    port: u16,
    known: Vec<SocketAddr>,
    asking: Option<JoinHandle<io::Result<Vec<SocketAddr>>>>,
}

impl Host {
    /// `name` may be an address too; an IPv6 address has no brackets.
    pub fn new(name: impl Into<String>, port: u16) -> Self {
        let name = name.into();
        let known = name.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port));
        Self { name, port, known: known.into_iter().collect(), asking: None }
    }

    /// What the name means. What is known is told at once, and asked for again if `anew`; only the first time is
    /// waited for, 2 s at most.
    ///
    /// # Errors
    /// Where nothing is known and the name could not be resolved in time.
    pub async fn addresses(&mut self, anew: bool) -> io::Result<&[SocketAddr]> {
        if self.name.parse::<IpAddr>().is_ok() {
            return Ok(&self.known);
        }
        self.take_answer(Duration::ZERO).await.ok();
        if (anew || self.known.is_empty()) && self.asking.is_none() {
            let asked = (self.name.clone(), self.port);
            self.asking = Some(tokio::spawn(async move { Ok(tokio::net::lookup_host(asked).await?.collect()) }));
        }
        if self.known.is_empty() {
            self.take_answer(RESOLVING).await?;
        }
        Ok(&self.known)
    }

    async fn take_answer(&mut self, patience: Duration) -> io::Result<()> {
        let Some(asking) = &mut self.asking else { return Ok(()) };
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("resolving {} takes too long", self.name));
        let answer = tokio::time::timeout(patience, asking).await.map_err(|_| late())?;
        self.asking = None;
        match answer.map_err(io::Error::other)? {
            Ok(addresses) if addresses.is_empty() => {
                Err(io::Error::new(io::ErrorKind::NotFound, format!("{} has no address", self.name)))
            }
            Ok(addresses) => {
                self.known = addresses;
                Ok(())
            }
            Err(error) => Err(io::Error::new(error.kind(), format!("resolving {}: {error}", self.name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refusal_is_an_answer() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(connects(address, PROBE).await);
        drop(listener);
        assert!(connects(address, PROBE).await);
    }

    #[tokio::test]
    async fn silence_is_none() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        // A host that takes no more connections lets them wait without a word.
        let full = socket.listen(0).unwrap();
        let address = full.local_addr().unwrap();
        let mut held = Vec::new();
        let silent = async {
            while let Ok(connected) = tokio::time::timeout(PROBE, TcpStream::connect(address)).await {
                held.push(connected);
            }
        };
        silent.await;
        assert!(!connects(address, PROBE).await);
    }

    #[tokio::test]
    async fn names_are_resolved_and_kept() {
        let mut host = Host::new("localhost", 3493);
        let first = host.addresses(false).await.unwrap().to_vec();
        assert!(first.iter().all(|address| address.ip().is_loopback() && address.port() == 3493));
        assert_eq!(host.addresses(true).await.unwrap(), first);
        assert_eq!(Host::new("::1", 1).addresses(false).await.unwrap(), ["[::1]:1".parse().unwrap()]);
        assert!(Host::new("no-such-host.invalid", 1).addresses(false).await.is_err());
    }
}
