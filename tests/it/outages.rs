//! A network between a node and its controller that is not what it should be.

use std::time::Duration;

use rackhaven_pki::clock::SystemClock;
use rackhaven_proto::model::NodeState;
use rackhaven_tests::{Agent, Fleet, Proxy, wait_until};

/// A fleet with one node behind a proxy.
async fn behind_a_proxy() -> (Fleet, Proxy, Agent) {
    let mut fleet = Fleet::prepare().unwrap();
    let proxy = Proxy::start(fleet.address()).await.unwrap();
    fleet.settings.set("endpoints", rackhaven_tests::settings::toml_list([proxy.endpoint()]));
    fleet.init().await.unwrap();
    fleet.start_controller().await.unwrap();
    let pi = fleet.join_at("pi-1", &proxy.endpoint()).await.unwrap();
    (fleet, proxy, pi)
}

/// Waits out a black hole in which an event happens, which `end` ends; how late the event's time is, milliseconds.
async fn event_in_a_black_hole(end: impl FnOnce(&Proxy)) -> i64 {
    let (fleet, proxy, mut pi) = behind_a_proxy().await;
    proxy.swallow();
    fleet.wait_for_state("pi-1", NodeState::Suspect).await.unwrap();
    let before_ms = SystemClock::unix_ms();
    pi.reload().unwrap();
    fleet.wait_for_kept(&pi, 1).await.unwrap();
    let after_ms = SystemClock::unix_ms();
    fleet.wait_for_state("pi-1", NodeState::Down).await.unwrap();
    fleet.wait_for_events("pi-1", "node.down", 1).await.unwrap();
    end(&proxy);
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    fleet.wait_for_kept(&pi, 0).await.unwrap();
    let events = fleet.events("pi-1", "agent.reloaded").await.unwrap();
    assert_eq!(events.len(), 1, "{events:?}");
    // The two processes read one clock; ages are whole milliseconds.
    assert!(events[0].happened_unix_ms >= before_ms - 50, "{before_ms} {events:?}");
    assert!(events[0].stored_unix_ms >= after_ms, "{events:?}");
    events[0].happened_unix_ms - after_ms
}

#[tokio::test]
async fn what_happens_in_a_black_hole_is_told_when_it_ends() {
    // An event's age does not grow while it is on its way, and what is longer on its way than the keep-alive allows is
    // sent again.
    let late_ms = event_in_a_black_hole(Proxy::pass).await;
    assert!(late_ms < 30_000, "{late_ms} ms late");
}

#[tokio::test]
async fn what_happens_in_a_black_hole_is_told_over_a_new_connection() {
    let late_ms = event_in_a_black_hole(|proxy| {
        proxy.cut();
        proxy.pass();
    })
    .await;
    assert!(late_ms < 50, "{late_ms} ms late");
}

/// While the agent waits in vain for an answer to its dialling, it still does all else at once.
#[tokio::test]
async fn an_agent_that_dials_into_a_black_hole_goes_on_working() {
    let (fleet, proxy, mut pi) = behind_a_proxy().await;
    proxy.swallow();
    let connections = proxy.connections();
    proxy.cut();
    wait_until("the agent to dial again", async || proxy.connections() > connections).await.unwrap();
    let before_ms = SystemClock::unix_ms();
    pi.reload().unwrap();
    fleet.wait_for_kept(&pi, 1).await.unwrap();
    let after_ms = SystemClock::unix_ms();
    // A dialling takes 10 s to fail.
    assert_eq!(proxy.connections(), connections + 1, "the dialling was over before the story was");
    pi.stop().await.unwrap();
    assert_eq!(pi.waiting_events(), 2, "the stop is on the disk too");
    proxy.pass();
    pi.start().unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    fleet.wait_for_kept(&pi, 0).await.unwrap();
    let reloaded = fleet.events("pi-1", "agent.reloaded").await.unwrap();
    assert!((before_ms - 50..=after_ms + 50).contains(&reloaded[0].happened_unix_ms), "{reloaded:?}");
    assert_eq!(fleet.events("pi-1", "agent.stopped").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_slow_line_is_a_line() {
    let (fleet, proxy, mut pi) = behind_a_proxy().await;
    proxy.delay(Duration::from_millis(150));
    pi.reload().unwrap();
    fleet.wait_for_events("pi-1", "agent.reloaded", 1).await.unwrap();
    let connections = proxy.connections();
    fleet.ctl().ok("node reboot pi-1 --yes").await.unwrap();
    assert_eq!(pi.calls(), ["reboot"]);
    assert_eq!(proxy.connections(), connections, "the session lasts");
    assert_eq!(fleet.client().state("pi-1").await.unwrap(), NodeState::Up);
}

#[tokio::test]
async fn a_line_that_breaks_all_the_time_delivers_in_the_end() {
    let (fleet, proxy, mut pi) = behind_a_proxy().await;
    // Enough for a handshake and a few messages.
    proxy.break_after(Some(8_000));
    proxy.cut();
    const EVENTS: usize = 5;
    for number in 1..=EVENTS {
        pi.reload().unwrap();
        fleet.wait_for_events("pi-1", "agent.reloaded", number).await.unwrap();
    }
    assert!(proxy.connections() >= 3, "the line did not break");
    proxy.break_after(None);
    fleet.wait_for_kept(&pi, 0).await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    assert_eq!(fleet.events("pi-1", "agent.reloaded").await.unwrap().len(), EVENTS);
    assert_eq!(fleet.events("pi-1", "session.duplicate").await.unwrap().len(), 0);
    let audit = fleet.client().audit().await.unwrap();
    let offences = audit.iter().filter(|record| record.outcome != "ok" && record.action != "connect");
    assert_eq!(offences.count(), 0, "a bad line is no offence: {audit:?}");
}

#[tokio::test]
async fn the_next_endpoint_is_tried_when_the_first_is_away() {
    let mut fleet = Fleet::prepare().unwrap();
    let (lan, vpn) = (Proxy::start(fleet.address()).await.unwrap(), Proxy::start(fleet.address()).await.unwrap());
    fleet.settings.set("endpoints", rackhaven_tests::settings::toml_list([lan.endpoint(), vpn.endpoint()]));
    fleet.init().await.unwrap();
    fleet.start_controller().await.unwrap();
    let _pi = fleet.join_at("pi-1", &lan.endpoint()).await.unwrap();
    assert_eq!(vpn.connections(), 0);
    lan.close();
    wait_until("the agent to come by the other way", async || vpn.bytes() > 0).await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    // Back to the first as soon as the second is gone.
    lan.pass();
    vpn.close();
    let before = lan.bytes();
    wait_until("the agent to come by the first way again", async || lan.bytes() > before).await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
}
