//! Asking a host whether it is there, with a real echo request.

use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use rackhaven_controller::witness::{WitnessIndex, WitnessReport, watch};
use rackhaven_tests::process::{command, run_to_end};
use tokio::sync::mpsc;

const PING_RIGHT: &str = "/proc/sys/net/ipv4/ping_group_range";
const DEAF: &str = "/proc/sys/net/ipv4/icmp_echo_ignore_all";

/// A network of this thread's own, in which pinging is allowed, as systemd allows it on Debian. Needs root.
async fn own_network() {
    // Needs root, with the right to make a network.
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let mut up = command("ip");
    up.args(["link", "set", "lo", "up"]);
    assert_eq!(run_to_end(up).await.unwrap().code, Some(0));
    std::fs::write(PING_RIGHT, "0 2147483647").unwrap();
}

#[tokio::test]
async fn a_host_is_pinged_and_its_silence_counted() {
    own_network().await;
    let pace = tokio::sync::watch::Sender::new(Duration::from_millis(20));
    let (sender, mut reports) = mpsc::channel(1);
    let watching = tokio::spawn(watch(WitnessIndex(0), "127.0.0.1".parse().unwrap(), pace.subscribe(), sender));
    let mut next = async |misses: u32| {
        let wanted = WitnessReport { answering: misses == 0, misses };
        let coming = async { while reports.recv().await != Some((WitnessIndex(0), wanted)) {} };
        tokio::time::timeout(Duration::from_secs(40), coming).await.unwrap_or_else(|_| panic!("no {wanted:?}"));
    };
    next(0).await;
    // A dialled port would still be refused, and so answer.
    std::fs::write(DEAF, "1").unwrap();
    next(1).await;
    next(2).await;
    std::fs::write(DEAF, "0").unwrap();
    next(0).await;
    watching.abort();
}
