//! Bytes and messages that nobody should send.

use rackhaven_pki::Credentials;
use rackhaven_proto::model::NodeState;
use rackhaven_proto::v1;
use rackhaven_proto::v1::agent_message::Body;
use rackhaven_tests::client::connect;
use rackhaven_tests::hand::{self, HandSession};
use rackhaven_tests::{Agent, Fleet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::{Code, Status};

/// More than this the controller must never hold in these stories, bytes. A debug build with a few nodes has some 30 MB.
const RESIDENT_BYTES: u64 = 100 * 1024 * 1024;

/// A fleet with an honest node and the identity of a rogue.
async fn with_a_rogue() -> (Fleet, Agent, Credentials) {
    let fleet = Fleet::start().await.unwrap();
    let pi = fleet.join("pi-1").await.unwrap();
    // Told a moment after it is up; there must be no second one.
    fleet.wait_for_events("pi-1", "node.up", 1).await.unwrap();
    let token = fleet.invite("").await.unwrap();
    let rogue = hand::join(&fleet.endpoint().parse().unwrap(), &token, "rogue").await.unwrap();
    (fleet, pi, rogue)
}

async fn audited(fleet: &Fleet, who: &str, words: &str) {
    let is_it = |record: &v1::AuditRecord| {
        record.who == who && record.outcome.starts_with("denied: ") && record.outcome.contains(words)
    };
    fleet.wait_for_audit(words, is_it).await.unwrap();
}

/// The honest node has its session still, and the controller its bounds.
async fn assert_unharmed(fleet: &mut Fleet) {
    assert_eq!(fleet.client().state("pi-1").await.unwrap(), NodeState::Up);
    assert_eq!(fleet.events("pi-1", "node.up").await.unwrap().len(), 1);
    let resident = fleet.controller().unwrap().resident_bytes().unwrap();
    assert!(resident < RESIDENT_BYTES, "{resident} bytes resident");
}

#[tokio::test]
async fn plain_text_is_no_tls() {
    let fleet = Fleet::start().await.unwrap();
    for bytes in
        [&b"GET / HTTP/1.1\r\nHost: rack\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\0\0\0\0\0\0"]
    {
        let mut stream = TcpStream::connect(fleet.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // A reset is as good an end as any.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.len() < 16, "{answer:?}");
    }
    audited(&fleet, "anonymous", "corrupt message").await;
    fleet.ctl().ok("status").await.unwrap();
}

#[tokio::test]
async fn tls_1_2_is_too_old() {
    let fleet = Fleet::start().await.unwrap();
    // RFC 5246, 7.4.1.2: a ClientHello of version 1.2 with one suite and no extension, so none that names 1.3.
    let mut hello = vec![3, 3];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0, 2, 0xc0, 0x2b, 1, 0]);
    let mut record = vec![22, 3, 1, 0, (hello.len() + 4) as u8, 1, 0, 0, hello.len() as u8];
    record.extend_from_slice(&hello);
    let mut stream = TcpStream::connect(fleet.address()).await.unwrap();
    stream.write_all(&record).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    // A fatal alert: protocol_version (70), or handshake_failure (40) where the version is not looked at first.
    assert_eq!((answer.first(), answer.get(5)), (Some(&21), Some(&2)), "{answer:?}");
    assert!(matches!(answer.get(6), Some(70 | 40)), "{answer:?}");
    audited(&fleet, "anonymous", "incompatible").await;
}

#[tokio::test]
async fn a_message_of_100_megabytes_is_not_taken_in() {
    let (mut fleet, _pi, rogue) = with_a_rogue().await;
    let mut session = HandSession::open(&rogue).await.unwrap();
    let event = v1::Event { message: "x".repeat(100_000_000), ..v1::Event::default() };
    session.send(Body::Event(event)).await.unwrap();
    let end = session.ended().await.unwrap();
    assert_eq!(end.map(|status| status.code()), Some(Code::OutOfRange));
    audited(&fleet, "node/rogue", "decoded message length too large").await;
    let mut hello = hand::hello("rogue").unwrap();
    hello.agent_version = "x".repeat(100_000_000);
    let error = HandSession::open_with(&rogue, Body::Hello(hello)).await.unwrap_err();
    assert!(error.downcast_ref::<Status>().is_some(), "{error:?}");
    assert_unharmed(&mut fleet).await;
    // A whole one of a user, too.
    let admin = std::fs::read_to_string(fleet.state().join("admin.context")).unwrap();
    let channel = connect(&Credentials::from_toml(&admin).unwrap(), None).await.unwrap();
    let request = v1::GetNodeRequest { name: "x".repeat(100_000_000) };
    let refused = v1::fleet_client::FleetClient::new(channel).get_node(request).await.unwrap_err();
    assert_ne!(refused.code(), Code::Ok);
    audited(&fleet, "user/admin", "too large").await;
    assert_unharmed(&mut fleet).await;
}

/// Sends one message in a session of the rogue's; it must end that session, and be on record.
async fn refused(fleet: &Fleet, rogue: &Credentials, body: Body, words: &str) {
    let mut session = HandSession::open(rogue).await.unwrap();
    session.send(body).await.unwrap();
    let status = session.ended().await.unwrap().unwrap();
    assert_eq!(status.code(), Code::InvalidArgument, "{words}: {status}");
    assert!(status.message().contains(words), "{words}: {status}");
    audited(fleet, "node/rogue", words).await;
}

#[tokio::test]
async fn what_cannot_be_true_ends_the_session() {
    let (mut fleet, _pi, rogue) = with_a_rogue().await;
    let sample = |change: fn(&mut v1::Sample)| {
        let mut sample = rackhaven_tests::sim::sample(1);
        change(&mut sample);
        Body::Sample(sample)
    };
    let event = |change: fn(&mut v1::Event)| {
        let mut event = v1::Event {
            id: "e-1".to_owned(),
            kind: "a.b".to_owned(),
            severity: v1::Severity::Info.into(),
            ..v1::Event::default()
        };
        change(&mut event);
        Body::Event(event)
    };
    let cases = [
        (Body::Hello(hand::hello("rogue").unwrap()), "a second hello"),
        (sample(|sample| sample.uptime_seconds = f64::NAN), "sample.uptime_seconds"),
        (sample(|sample| sample.load = Some(v1::Load { one: f32::INFINITY, ..v1::Load::default() })), "sample.load"),
        (sample(|sample| sample.cpu = Some(v1::Cpu { total_percent: f32::NAN, core_percent: vec![] })), "sample.cpu"),
        (
            sample(|sample| sample.cpu = Some(v1::Cpu { total_percent: 1.0, core_percent: vec![0.0; 9999] })),
            "9999 entries",
        ),
        (sample(|sample| sample.disks = vec![v1::Disk::default(); 257]), "sample.disks: 257 entries"),
        (sample(|sample| sample.temperatures[0].sensor = "a\u{1b}[2J".to_owned()), "control character"),
        (event(|event| event.message = "x".repeat(5000)), "event.message"),
        (event(|event| event.id = "../../etc".to_owned()), "event.id"),
        (event(|event| event.kind = "A B".to_owned()), "event.kind"),
        (event(|event| event.severity = 99), "event.severity"),
    ];
    for (body, words) in cases {
        refused(&fleet, &rogue, body, words).await;
    }
    assert!(fleet.events("rogue", "a.b").await.unwrap().is_empty());
    assert_unharmed(&mut fleet).await;
}

#[tokio::test]
async fn first_words_that_are_none_open_no_session() {
    let (mut fleet, _pi, rogue) = with_a_rogue().await;
    let mut future = hand::hello("rogue").unwrap();
    future.protocol = 99;
    let mut short = hand::hello("rogue").unwrap();
    short.run_id = vec![1, 2, 3];
    for (first, words) in [
        (hand::heartbeat(), "begins with a hello"),
        (Body::Hello(future), "hello.protocol"),
        (Body::Hello(short), "hello.run_id"),
        (Body::Hello(v1::Hello { facts: None, ..hand::hello("rogue").unwrap() }), "hello.facts"),
    ] {
        let error = HandSession::open_with(&rogue, first).await.unwrap_err();
        let status = error.downcast::<Status>().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument, "{words}: {status}");
        assert!(status.message().contains(words), "{words}: {status}");
        audited(&fleet, "node/rogue", words).await;
    }
    assert_unharmed(&mut fleet).await;
}

#[tokio::test]
async fn garbage_in_place_of_a_message_is_refused() {
    let (mut fleet, _pi, rogue) = with_a_rogue().await;
    // Field 1 is a message, of which these texts are none.
    for garbage in ["\u{7f}\u{7f}\u{7f}\u{7f}", "not a message at all"] {
        let channel = connect(&rogue, None).await.unwrap();
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.unwrap();
        let message = v1::GetNodeRequest { name: garbage.to_owned() };
        let codec = rackhaven_proto::codec::SmallBufferCodec::<v1::GetNodeRequest, v1::ControllerMessage>::default();
        let path = http_path("/rackhaven.v1.Sessions/Open");
        let request = tonic::Request::new(tokio_stream::once(message));
        let refused = client.streaming(request, path, codec).await.err().unwrap();
        assert_ne!(refused.code(), Code::Ok, "{refused}");
    }
    audited(&fleet, "node/rogue", "decode").await;
    assert_unharmed(&mut fleet).await;
}

fn http_path(path: &'static str) -> tonic::codegen::http::uri::PathAndQuery {
    tonic::codegen::http::uri::PathAndQuery::from_static(path)
}

#[tokio::test]
async fn a_method_that_is_not_in_the_table_is_denied() {
    let (fleet, _pi, rogue) = with_a_rogue().await;
    let admin = std::fs::read_to_string(fleet.state().join("admin.context")).unwrap();
    for (credentials, who) in [(rogue, "node/rogue"), (Credentials::from_toml(&admin).unwrap(), "user/admin")] {
        let mut client = tonic::client::Grpc::new(connect(&credentials, None).await.unwrap());
        client.ready().await.unwrap();
        let codec = rackhaven_proto::codec::SmallBufferCodec::<v1::GetStatusRequest, v1::FleetStatus>::default();
        let request = tonic::Request::new(v1::GetStatusRequest {});
        let refused = client.unary(request, http_path("/rackhaven.v1.Fleet/Nope"), codec).await.err().unwrap();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
        audited(&fleet, who, "there is no method Fleet/Nope").await;
    }
}
