use rackhaven_proto::v1;

use super::parse::{NetworkCounters, networks};
use super::previous::{Previous, per_second};

/// Most interfaces that are reported.
const MAX_INTERFACES: usize = 32;

/// Interfaces that say nothing of the node: the loop-back, the containers' ends (a bridge or tunnel carries the sum),
/// and those that tunnel modules make without being asked.
const LEFT_OUT: [&str; 14] = [
    "veth",
    "cali",
    "lxc",
    "ifb",
    "dummy",
    "kube-ipvs",
    "nodelocaldns",
    "sit",
    "tunl",
    "ip6tnl",
    "gre",
    "erspan",
    "ip_vti",
    "ip6_vti",
];

/// Measures the traffic.
pub(super) struct Networks {
    previous: Previous<NetworkCounters>,
}

impl Networks {
    pub(super) fn new() -> Self {
        Self { previous: Previous::new() }
    }

    /// The rates since the call before, from `/proc/net/dev`.
    pub(super) fn measure(&mut self, dev: &[u8], elapsed_ms: u64) -> Vec<v1::NetworkInterface> {
        let mut measured = Vec::new();
        for (name, now) in networks(dev).filter(|(name, _)| is_reported(name)).take(MAX_INTERFACES) {
            let before = self.previous.replace(name, now);
            measured.extend(before.and_then(|before| rates(name, before, now, elapsed_ms)));
        }
        self.previous.forget_unseen();
        measured
    }
}

fn is_reported(name: &str) -> bool {
    // The kernel lets a name hold control characters, the contract does not.
    name != "lo" && !name.chars().any(char::is_control) && !LEFT_OUT.iter().any(|prefix| name.starts_with(prefix))
}

fn rates(name: &str, before: NetworkCounters, now: NetworkCounters, elapsed_ms: u64) -> Option<v1::NetworkInterface> {
    Some(v1::NetworkInterface {
        name: name.to_owned(),
        received_bytes_per_second: per_second(before.received_bytes, now.received_bytes, elapsed_ms)?,
        sent_bytes_per_second: per_second(before.sent_bytes, now.sent_bytes, elapsed_ms)?,
        errors_total: now.errors,
        received_bytes_total: Some(now.received_bytes),
        sent_bytes_total: Some(now.sent_bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::Networks;

    fn names_of(dev: &[u8]) -> Vec<String> {
        let mut networks = Networks::new();
        assert!(networks.measure(dev, 0).is_empty());
        networks.measure(dev, 5_000).into_iter().map(|network| network.name).collect()
    }

    #[test]
    fn what_carries_the_nodes_traffic_is_reported() {
        let pi4 = names_of(include_bytes!("fixtures/pi4/proc/net/dev"));
        assert_eq!(pi4, ["eth0", "wlan0", "wg0", "flannel.1", "cni0"]);
        let x86 = names_of(include_bytes!("fixtures/x86/proc/net/dev"));
        assert_eq!(x86, ["enp1s0", "eno2.20", "br0", "tailscale0"]);
        let bananapi = names_of(include_bytes!("fixtures/bananapi-m5/proc/net/dev"));
        assert_eq!(bananapi, ["end0", "ztmjfbsomh"]);
    }

    #[test]
    fn rates_and_errors() {
        let mut networks = Networks::new();
        let line = |received| format!("eth0: {received} 0 1 2 0 0 0 0 500 0 3 4 0 0 0 0\n");
        networks.measure(line(1_000).as_bytes(), 0);
        let measured = networks.measure(line(6_000).as_bytes(), 5_000);
        assert_eq!(measured[0].received_bytes_per_second, 1_000);
        assert_eq!((measured[0].sent_bytes_per_second, measured[0].errors_total), (0, 10));
        assert_eq!((measured[0].received_bytes_total, measured[0].sent_bytes_total), (Some(6_000), Some(500)));
        // The interface was made anew.
        assert!(networks.measure(line(10).as_bytes(), 5_000).is_empty());
    }

    #[test]
    fn bounded() {
        let many: String = (0..100).map(|n| format!("eth{n}: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n")).collect();
        assert_eq!(names_of(many.as_bytes()).len(), 32);
    }
}
