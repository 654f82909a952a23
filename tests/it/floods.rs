//! Peers that want more than their share.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rackhaven_proto::model::NodeState;
use rackhaven_proto::v1;
use rackhaven_proto::v1::agent_message::Body;
use rackhaven_proto::v1::fleet_client::FleetClient;
use rackhaven_tests::Fleet;
use rackhaven_tests::client::connect;
use rackhaven_tests::hand::{self, HandSession, heartbeat};
use rackhaven_tests::wait::PATIENCE;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// More than this the controller must not hold, bytes: 2,000 handshakes take some 20 KiB each, a debug build some 30 MB.
const RESIDENT_BYTES: u64 = 150 * 1024 * 1024;

/// Each open connection takes a file descriptor of the test's, too.
fn raise_file_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    assert!(hard >= 8192, "this story needs 8192 open files, the system allows {hard}: raise `ulimit -n`");
}

async fn assert_bounded(fleet: &mut Fleet) {
    let resident = fleet.controller().unwrap().resident_bytes().unwrap();
    assert!(resident < RESIDENT_BYTES, "{resident} bytes resident");
}

#[tokio::test]
async fn two_thousand_half_open_connections_starve_nobody() {
    raise_file_limit();
    let mut fleet = Fleet::start().await.unwrap();
    let _pi = fleet.join("pi-1").await.unwrap();
    let mut held = Vec::new();
    // More than the handshakes that may be open at a time: beyond it the oldest give way.
    for _ in 0..2_500 {
        held.push(TcpStream::connect(fleet.address()).await.unwrap());
    }
    for _ in 0..3 {
        fleet.ctl().ok("status").await.unwrap();
    }
    assert_bounded(&mut fleet).await;
    // A newcomer gets in as well.
    let _late = fleet.join("pi-2").await.unwrap();
    assert_eq!(fleet.client().state("pi-1").await.unwrap(), NodeState::Up);
    assert_eq!(fleet.events("pi-1", "node.down").await.unwrap().len(), 0);
    let alive = held
        .iter()
        .filter(|stream| stream.try_read(&mut [0]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock));
    assert!(alive.count() <= 2_048 + 1, "the oldest did not give way");
}

#[tokio::test]
async fn strangers_do_not_take_the_places_of_members() {
    raise_file_limit();
    let mut fleet = Fleet::start_with(&[("limits.anonymous_connections", "16")]).await.unwrap();
    let _pi = fleet.join("pi-1").await.unwrap();
    let token: rackhaven_pki::Token = fleet.invite("").await.unwrap().parse().unwrap();
    let endpoint = fleet.endpoint().parse().unwrap();
    let mut held = Vec::new();
    for _ in 0..100 {
        // Beyond the limit they are turned away after the handshake.
        held.extend(hand::connect_uninvited(&endpoint, token.ca_fingerprint).await);
    }
    fleet.ctl().ok("status").await.unwrap();
    assert_eq!(fleet.client().state("pi-1").await.unwrap(), NodeState::Up);
    let log = fleet.controller_log();
    assert!(log.contains("without a certificate: refused"), "{log}");
    assert_bounded(&mut fleet).await;
}

#[tokio::test]
async fn an_agent_that_floods_slows_down_itself_alone() {
    let mut fleet = Fleet::start().await.unwrap();
    let _pi = fleet.join("pi-1").await.unwrap();
    let token = fleet.invite("").await.unwrap();
    let rogue = hand::join(&fleet.endpoint().parse().unwrap(), &token, "rogue").await.unwrap();
    let mut session = HandSession::open(&rogue).await.unwrap();
    let mut sent = 0_u32;
    let event = |number: u32| v1::Event {
        id: format!("flood-{number}"),
        kind: "rogue.flood".to_owned(),
        severity: v1::Severity::Info.into(),
        message: "x".repeat(1000),
        ..v1::Event::default()
    };
    // What it is answered it does not read, so that its answers pile up too.
    let flooding = async {
        loop {
            session.send(Body::Event(event(sent))).await.unwrap();
            session.send(heartbeat()).await.unwrap();
            sent += 1;
        }
    };
    let looking = async {
        for _ in 0..10 {
            fleet.ctl().ok("status").await.unwrap();
            assert_eq!(fleet.client().state("pi-1").await.unwrap(), NodeState::Up);
        }
        fleet.ctl().ok("node reboot pi-1 --yes").await.unwrap();
    };
    tokio::select! {
        () = flooding => {}
        () = looking => {}
    }
    assert!(sent > 100, "this was no flood: {sent}");
    assert_eq!(fleet.events("pi-1", "node.down").await.unwrap().len(), 0);
    assert_bounded(&mut fleet).await;
    // What was acknowledged is stored, each once.
    let mut acknowledged = std::collections::HashSet::new();
    while let Ok(Ok(Ok(Some(answer)))) = timeout(std::time::Duration::from_secs(2), session.next()).await {
        if let v1::controller_message::Body::EventsStored(stored) = answer {
            acknowledged.extend(stored.ids);
        }
    }
    let stored = fleet.events("rogue", "rogue.flood").await.unwrap();
    assert!(!acknowledged.is_empty() && stored.len() >= acknowledged.len(), "{} {}", stored.len(), acknowledged.len());
}

#[tokio::test]
async fn a_flood_of_refusals_does_not_fill_the_audit_log() {
    let mut fleet = Fleet::start().await.unwrap();
    let token = fleet.invite("").await.unwrap();
    let rogue = hand::join(&fleet.endpoint().parse().unwrap(), &token, "rogue").await.unwrap();
    let mut client = FleetClient::new(connect(&rogue, None).await.unwrap());
    let before = fleet.client().audit().await.unwrap().len();
    for _ in 0..1_000 {
        client.get_status(v1::GetStatusRequest {}).await.unwrap_err();
    }
    let written = fleet.client().audit().await.unwrap().len() - before;
    assert!((50..200).contains(&written), "{written} of 1000 refusals are on record");
    // A user of another way in still leaves a trace.
    let socket = fleet.folder().join("socket").display().to_string();
    let ctl = rackhaven_tests::Ctl::of_user(fleet.folder());
    ctl.ok(&format!("node invite --socket {socket}")).await.unwrap();
    fleet.wait_for_audit("root", |record| record.who == "local/0").await.unwrap();
    assert_bounded(&mut fleet).await;
}

/// A node by hand that hands in so many events.
async fn chatter(fleet: &Fleet, name: &str, count: usize) -> HandSession {
    let token = fleet.invite(&format!("--name {name}")).await.unwrap();
    let node = hand::join(&fleet.endpoint().parse().unwrap(), &token, name).await.unwrap();
    let session = HandSession::open(&node).await.unwrap();
    for number in 0..count {
        let event = v1::Event {
            id: format!("{name}-{number}"),
            kind: "chatty.event".to_owned(),
            severity: v1::Severity::Info.into(),
            message: "x".repeat(1000),
            ..v1::Event::default()
        };
        session.send(Body::Event(event)).await.unwrap();
    }
    session
}

/// Reads until so many events of the chatterers have come: the positions of all that came.
async fn read_on(follower: &mut tonic::Streaming<v1::StoredEvent>, count: usize) -> Vec<u64> {
    let (mut positions, mut chatty) = (Vec::new(), 0);
    while chatty < count {
        let next = timeout(PATIENCE, follower.message()).await;
        let Ok(event) = next else { panic!("{chatty} of {count} events came, then none: {positions:?}") };
        let event = event.unwrap().unwrap();
        positions.push(event.position);
        chatty += usize::from(event.kind == "chatty.event");
    }
    positions
}

#[tokio::test]
async fn followers_miss_nothing_and_hold_nothing_up() {
    const NODES: usize = 5;
    const EVENTS: usize = 100;
    let mut fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    let admin = std::fs::read_to_string(fleet.state().join("admin.context")).unwrap();
    let admin = rackhaven_pki::Credentials::from_toml(&admin).unwrap();
    let follow = async || {
        let channel = connect(&admin, None).await.unwrap();
        let request = v1::ListEventsRequest { follow: true, ..v1::ListEventsRequest::default() };
        v1::events_client::EventsClient::new(channel).list(request).await.unwrap().into_inner()
    };
    let (mut eager, mut lazy) = (follow().await, Vec::new());
    for _ in 0..10 {
        lazy.push(follow().await);
    }
    // At a time, so that their events come in between each other.
    let names: Vec<String> = (0..NODES).map(|number| format!("chatty-{number}")).collect();
    let chatting = futures_util::future::join_all(names.iter().map(|name| chatter(&fleet, name, EVENTS)));
    let (_sessions, seen) = tokio::join!(chatting, read_on(&mut eager, NODES * EVENTS));
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    pi.reload().unwrap();
    fleet.wait_for_events("pi-1", "agent.reloaded", 1).await.unwrap();
    assert_bounded(&mut fleet).await;
    // More than the feed holds has passed by those who did not read.
    let mut lazy = lazy.pop().unwrap();
    assert_eq!(read_on(&mut lazy, NODES * EVENTS).await[..seen.len()], seen);
}
