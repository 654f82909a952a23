//! Mains witnesses: devices that are not on the UPS, and so are silent together when mains is gone. Here stands only
//! whether each of them answers; what that means is the core's to judge.

mod echo;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use rackhaven_proto::Invalid;
use rackhaven_proto::model::Endpoint;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::reach::{Host, connects};

/// How long a witness may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Where a host is dialled that cannot be pinged: nobody has to listen there.
const FALLBACK_PORT: u16 = 80;
/// A name that answers is resolved again after so many probes; one that does not, each time.
const RESOLVE_EVERY: u32 = 60;

/// A witness: `HOST` is pinged, `HOST:PORT` is dialled, where a refusal is an answer as good as a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessAddress {
    host: Box<str>,
    port: Option<u16>,
}

impl FromStr for WitnessAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("witness", format!("{text:?} is neither HOST nor HOST:PORT"));
        let parse = |text: &str| text.parse::<Endpoint>().map_err(|_| invalid());
        let own = parse(text)?;
        // Only what has no port yet can take one.
        let bare =
            if own.host().contains(':') && !text.starts_with('[') { format!("[{text}]") } else { text.to_owned() };
        let port = parse(&format!("{bare}:1")).is_err().then(|| own.port());
        Ok(Self { host: own.host().into(), port })
    }
}

impl fmt::Display for WitnessAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            None => f.write_str(&self.host),
            Some(port) if self.host.contains(':') => write!(f, "[{}]:{port}", self.host),
            Some(port) => write!(f, "{}:{port}", self.host),
        }
    }
}

/// Which of the configured witnesses, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WitnessIndex(pub usize);

/// The outcome of one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WitnessReport {
    /// Whether it answered.
    pub answering: bool,
    /// How often in a row it did not.
    pub misses: u32,
}

/// Probes one witness for ever: at once, then at the pace that is set, where a change takes effect at once. Each
/// outcome is reported. Ends when nobody takes the reports any more.
pub async fn watch(
    index: WitnessIndex,
    address: WitnessAddress,
    mut pace: watch::Receiver<Duration>,
    reports: mpsc::Sender<(WitnessIndex, WitnessReport)>,
) {
    let mut probe = Probe::new(&address);
    let mut turn = every(*pace.borrow_and_update());
    let mut can_change = true;
    let mut misses = 0_u32;
    loop {
        tokio::select! {
            biased;
            () = reports.closed() => return,
            changed = pace.changed(), if can_change => {
                can_change = changed.is_ok();
                let new = *pace.borrow_and_update();
                if new != turn.period() {
                    turn = every(new);
                }
            }
            _ = turn.tick() => {
                let answering = probe.answers(misses > 0).await;
                let before = misses;
                misses = if answering { 0 } else { misses.saturating_add(1) };
                if (before == 0) != (misses == 0) {
                    tracing::info!(witness = %address, answering, "a witness has changed");
                }
                if reports.send((index, WitnessReport { answering, misses })).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period.max(Duration::from_millis(10)));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// What is known of a witness between two probes.
struct Probe {
    host: Host,
    pings: bool,
    count: u32,
}

impl Probe {
    fn new(address: &WitnessAddress) -> Self {
        let host = Host::new(&*address.host, address.port.unwrap_or(FALLBACK_PORT));
        Self { host, pings: address.port.is_none(), count: 0 }
    }

    async fn answers(&mut self, missed: bool) -> bool {
        self.count = self.count.wrapping_add(1);
        let anew = missed || self.count % RESOLVE_EVERY == 1;
        let Some(address) = self.host.addresses(anew).await.ok().and_then(|known| known.first().copied()) else {
            return false;
        };
        if self.pings {
            match ping(address, self.count).await {
                Ok(answering) => return answering,
                Err(error) => {
                    // Such as for want of a right; then it is so for good.
                    tracing::warn!(%address, %error, "cannot ping here: port {FALLBACK_PORT} is dialled instead");
                    self.pings = false;
                }
            }
        }
        connects(address, PATIENCE).await
    }
}

/// Whether the host answers an echo request.
///
/// # Errors
/// When this machine does not let us ask at all.
async fn ping(address: SocketAddr, count: u32) -> io::Result<bool> {
    let socket = echo::socket(address.is_ipv6())?;
    let asked = async {
        // No way there is silence.
        socket.connect(address).await?;
        socket.send(&echo::request(address.is_ipv6(), count)).await?;
        let mut bytes = [0; 64];
        loop {
            let length = socket.recv(&mut bytes).await?;
            if echo::is_reply(address.is_ipv6(), count, &bytes[..length]) {
                return io::Result::Ok(());
            }
        }
    };
    Ok(matches!(tokio::time::timeout(PATIENCE, asked).await, Ok(Ok(()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, shown, port) in [
            ("router", "router", None),
            ("192.168.1.1", "192.168.1.1", None),
            ("nas:445", "nas:445", Some(445)),
            ("router:7443", "router:7443", Some(7443)),
            ("fd00::1", "fd00::1", None),
            ("[fd00::1]", "fd00::1", None),
            ("[fd00::1]:80", "[fd00::1]:80", Some(80)),
        ] {
            let address: WitnessAddress = text.parse().unwrap();
            assert_eq!((address.to_string().as_str(), address.port), (shown, port), "{text}");
        }
        for bad in ["", "a b", "host:0", "host:x", ":80", "[fd00::1"] {
            assert!(bad.parse::<WitnessAddress>().is_err(), "{bad:?} was taken");
        }
    }

    #[tokio::test]
    async fn answers_and_misses_are_counted() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answering = listener.local_addr().unwrap().to_string();
        // No way there.
        for (address, expected) in [(answering.as_str(), [0, 0, 0]), ("no-such-host.invalid:9", [1, 2, 3])] {
            let pace = watch::Sender::new(Duration::from_millis(10));
            let (sender, mut reports) = mpsc::channel(8);
            tokio::spawn(watch(WitnessIndex(3), address.parse().unwrap(), pace.subscribe(), sender));
            for misses in expected {
                let report = WitnessReport { answering: misses == 0, misses };
                assert_eq!(reports.recv().await, Some((WitnessIndex(3), report)), "{address}");
            }
        }
    }
}
