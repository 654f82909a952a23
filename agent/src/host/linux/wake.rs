use std::path::Path;

use rackhaven_proto::model::MacAddress;

use super::file::{names_in, read_once};
use super::parse::{printable, wakes};

/// Most addresses that are told.
const MAX_ADDRESSES: usize = 8;
/// The kernel's number of Ethernet (ARPHRD_ETHER).
const ETHERNET: &str = "1";

/// Addresses of the interfaces by which this machine can be woken: Ethernet, of a device of its own that is allowed to.
pub(super) fn addresses(sys: &Path) -> Vec<MacAddress> {
    let net = sys.join("class/net");
    let of = |name: String| {
        let text = |file: &str| read_once(&net.join(&name).join(file)).and_then(|text| printable(&text));
        // What has no device is no machine's socket: loop-back, bridges, containers' ends, tunnels.
        let wakeup = read_once(&net.join(&name).join("device/power/wakeup"))?;
        (wakes(&wakeup) && text("type")? == ETHERNET).then(|| text("address")?.parse().ok())?
    };
    let mut addresses: Vec<MacAddress> = names_in(&net).into_iter().filter_map(of).collect();
    addresses.sort();
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::addresses;

    fn of(host: &str) -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/host/linux/fixtures").join(host);
        addresses(&root.join("sys")).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_what_may_wake_the_machine() {
        assert_eq!(of("x86"), ["80:e8:2c:11:22:33"]);
        // Its socket cannot.
        assert!(of("pi4").is_empty());
        assert!(of("bananapi-m5").is_empty());
    }
}
