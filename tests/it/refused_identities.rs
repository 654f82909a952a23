//! Certificates that are used for what they are not for.

use std::sync::Arc;

use rackhaven_pki::clock::SystemClock;
use rackhaven_pki::{Authority, CertificateInfo, Credentials, Identity, PrivateKey, Subject, Validity};
use rackhaven_proto::model::NodeState;
use rackhaven_proto::v1;
use rackhaven_proto::v1::access_client::AccessClient;
use rackhaven_proto::v1::agent_message::Body;
use rackhaven_proto::v1::events_client::EventsClient;
use rackhaven_proto::v1::fleet_client::FleetClient;
use rackhaven_tests::client::connect;
use rackhaven_tests::hand::{self, HandSession};
use rackhaven_tests::impostor::Cluster;
use rackhaven_tests::{Fleet, wait_until};
use tonic::{Code, Status};

/// The status by which an attempt was refused.
fn refusal<T>(attempt: anyhow::Result<T>) -> Status {
    let error = attempt.err().unwrap();
    error.downcast::<Status>().unwrap()
}

async fn audited(fleet: &Fleet, who: &str, action: &str, words: &str) {
    let is_it = |record: &v1::AuditRecord| {
        record.who == who
            && record.action == action
            && record.outcome.starts_with("denied: ")
            && record.outcome.contains(words)
    };
    fleet.wait_for_audit(&format!("{who} {action} {words}"), is_it).await.unwrap();
}

fn admin(fleet: &Fleet) -> Credentials {
    Credentials::from_toml(&std::fs::read_to_string(fleet.state().join("admin.context")).unwrap()).unwrap()
}

#[tokio::test]
async fn a_node_may_not_call_what_is_for_users() {
    let fleet = Fleet::start().await.unwrap();
    let _pi = fleet.join("pi-2").await.unwrap();
    let token = fleet.invite("").await.unwrap();
    let node = hand::join(&fleet.endpoint().parse().unwrap(), &token, "pi-1").await.unwrap();
    let channel = connect(&node, None).await.unwrap();
    let (mut nodes, mut access) = (FleetClient::new(channel.clone()), AccessClient::new(channel.clone()));
    let reboot = v1::NodeCommandRequest { name: "pi-2".to_owned(), ..v1::NodeCommandRequest::default() };
    let refused = [
        ("Fleet/GetStatus", nodes.get_status(v1::GetStatusRequest {}).await.err()),
        ("Fleet/InviteNode", nodes.invite_node(v1::InviteNodeRequest::default()).await.err()),
        ("Fleet/RebootNode", nodes.reboot_node(reboot).await.err()),
        ("Access/ListAudit", access.list_audit(v1::ListAuditRequest::default()).await.err()),
        ("Access/InviteUser", access.invite_user(v1::InviteUserRequest::default()).await.err()),
        ("Events/List", EventsClient::new(channel).list(v1::ListEventsRequest::default()).await.err()),
    ];
    for (method, status) in refused {
        assert_eq!(status.map(|status| status.code()), Some(Code::PermissionDenied), "{method}");
        audited(&fleet, "node/pi-1", method, "is for users; pi-1 is a node").await;
    }
}

#[tokio::test]
async fn a_user_may_not_open_a_session_and_a_stranger_nothing() {
    let fleet = Fleet::start().await.unwrap();
    let _pi = fleet.join("pi-1").await.unwrap();
    let channel = connect(&admin(&fleet), None).await.unwrap();
    let first = v1::AgentMessage { body: Some(Body::Hello(hand::hello("pi-1").unwrap())) };
    let mut sessions = v1::sessions_client::SessionsClient::new(channel);
    let refused = sessions.open(tokio_stream::once(first)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    audited(&fleet, "user/admin", "Sessions/Open", "is for nodes").await;
    let token: rackhaven_pki::Token = fleet.invite("").await.unwrap().parse().unwrap();
    let endpoint = fleet.endpoint().parse().unwrap();
    let channel = hand::connect_uninvited(&endpoint, token.ca_fingerprint).await.unwrap();
    let refused = FleetClient::new(channel).get_status(v1::GetStatusRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    audited(&fleet, "anonymous", "Fleet/GetStatus", "needs a certificate").await;
}

#[tokio::test]
async fn a_node_may_not_pose_as_another() {
    let fleet = Fleet::start().await.unwrap();
    let pi = fleet.join("pi-1").await.unwrap();
    let token = fleet.invite("").await.unwrap();
    let rogue = hand::join(&fleet.endpoint().parse().unwrap(), &token, "rogue").await.unwrap();
    let attempt = HandSession::open_with(&rogue, Body::Hello(hand::hello("pi-1").unwrap())).await;
    let refused = refusal(attempt);
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    audited(&fleet, "node/rogue", "Sessions/Open", "says it is node/pi-1").await;
    let told = fleet.wait_for_events("rogue", "session.impostor", 1).await.unwrap();
    assert!(told[0].message.contains("rogue posed as pi-1"), "{told:?}");
    assert_eq!(fleet.client().state("pi-1").await.unwrap(), NodeState::Up);

    // What it says of a command of another's is not believed.
    let session = HandSession::open(&rogue).await.unwrap();
    fleet.ctl().ok("node reboot pi-1 --yes").await.unwrap();
    let database = rusqlite::Connection::open(fleet.state().join("controller.db")).unwrap();
    let read = |sql: &str| database.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    let id = read("SELECT id FROM commands");
    let state = v1::command_update::State::Failed.into();
    session.send(Body::CommandUpdate(v1::CommandUpdate { id, state, message: "ha".to_owned() })).await.unwrap();
    let event = v1::Event {
        id: "rogue-1".to_owned(),
        kind: "rogue.done".to_owned(),
        severity: v1::Severity::Info.into(),
        ..v1::Event::default()
    };
    // Read behind the update.
    session.send(Body::Event(event)).await.unwrap();
    fleet.wait_for_events("rogue", "rogue.done", 1).await.unwrap();
    assert_eq!(read("SELECT state FROM commands"), "succeeded");
    assert_eq!(pi.calls(), ["reboot"]);
}

#[tokio::test]
async fn a_removed_node_is_cut_off_at_once_and_stays_out() {
    let fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    let key = pi.credentials().unwrap();
    let removed = fleet.ctl().json("node remove pi-1 --yes").await.unwrap();
    assert_eq!(removed["session_ended"], true);
    wait_until("the end of its session", async || pi.log().contains("pi-1 was removed from the fleet")).await.unwrap();
    audited(&fleet, "node/pi-1", "Sessions/Open", "was revoked").await;
    let refused = refusal(HandSession::open(&key).await);
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    // Nor may it renew.
    let channel = connect(&key, None).await.unwrap();
    let csr_der = PrivateKey::generate().unwrap().signing_request().unwrap();
    let mut enrolment = v1::enrolment_client::EnrolmentClient::new(channel);
    let refused = enrolment.renew(v1::RenewRequest { csr_der }).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    assert!(fleet.client().status().await.unwrap().nodes.is_empty());
    // The agent goes on trying, and obeys its own machine.
    pi.stop().await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_cluster_is_refused_in_the_handshake() {
    let fleet = Fleet::start().await.unwrap();
    let ours = admin(&fleet);
    let other = Cluster::generate(ours.cluster_id.as_str()).unwrap();
    let mut foreign = other.credentials(ours.identity.subject.clone(), fleet.address()).unwrap();
    // It knows our authority, but is not known by it.
    foreign.ca_pem.clone_from(&ours.ca_pem);
    let attempt = async {
        let channel = connect(&foreign, None).await?;
        anyhow::Ok(FleetClient::new(channel).get_status(v1::GetStatusRequest {}).await?)
    };
    assert!(attempt.await.is_err());
    audited(&fleet, "anonymous", "connect", "invalid peer certificate").await;
}

/// Signed by the right authority, with its stolen key: the controller has not issued it, and so does not know it.
#[tokio::test]
async fn a_certificate_that_was_not_issued_is_refused() {
    let fleet = Fleet::start().await.unwrap();
    let _pi = fleet.join("pi-1").await.unwrap();
    let ours = admin(&fleet);
    let ca_key = PrivateKey::from_pem(&std::fs::read_to_string(fleet.state().join("ca.key")).unwrap()).unwrap();
    let authority = Authority::load(ours.cluster_id.clone(), &ours.ca_pem, &ca_key).unwrap();
    let validity = Validity { now_unix_s: SystemClock::unix_ms() / 1000, life_s: 3600 };
    for subject in [Subject::Node("pi-1".parse().unwrap()), Subject::User("admin".parse().unwrap())] {
        let identity = Identity { cluster: ours.cluster_id.clone(), subject: subject.clone() };
        let key = PrivateKey::generate().unwrap();
        let certificate_pem = authority.issue_client(&identity, &key.signing_request().unwrap(), validity).unwrap();
        assert!(CertificateInfo::from_pem(&certificate_pem).is_ok());
        let ours = admin(&fleet);
        let forged = Credentials { identity, key, certificate_pem, ..ours };
        let channel = connect(&forged, None).await.unwrap();
        let refused = FleetClient::new(channel).get_status(v1::GetStatusRequest {}).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
        audited(&fleet, &subject.to_string(), "Fleet/GetStatus", "was revoked or is not known").await;
    }
}

#[tokio::test]
async fn of_two_cloned_disks_the_first_is_kept() {
    let fleet = Fleet::start().await.unwrap();
    let mut first = fleet.join("pi-1").await.unwrap();
    let mut clone = fleet.machine("clone");
    std::fs::create_dir(clone.state()).unwrap();
    std::fs::copy(first.state().join("identity"), clone.state().join("identity")).unwrap();
    let peer = fleet.client().node("pi-1").await.unwrap().peer_address;
    clone.start().unwrap();
    let told = fleet.wait_for_events("pi-1", "session.duplicate", 1).await.unwrap();
    assert!(told[0].message.contains(&format!("two agents are pi-1: {peer} is kept")), "{told:?}");
    wait_until("the clone to be told", async || clone.log().contains("another agent is pi-1 already")).await.unwrap();
    // The first still has its session, and obeys.
    fleet.ctl().ok("node reboot pi-1 --yes").await.unwrap();
    assert_eq!((first.calls(), clone.calls()), (vec!["reboot".to_owned()], vec![]));
    assert_eq!(fleet.client().node("pi-1").await.unwrap().peer_address, peer);
    assert_eq!(fleet.events("pi-1", "session.duplicate").await.unwrap().len(), 1, "told once, not at each try");
    // A dead first does not lock the second out for ever.
    first.kill().await.unwrap();
    wait_until("the second to be let in", async || clone.log().contains("session open")).await.unwrap();
}

/// TLS of a client whose certificate names nobody of this cluster is refused, whatever its signature.
#[tokio::test]
async fn a_server_certificate_is_no_clients() {
    let fleet = Fleet::start().await.unwrap();
    let pem = std::fs::read_to_string(fleet.state().join("server.pem")).unwrap();
    let ours = admin(&fleet);
    let key = PrivateKey::from_pem(&pem).unwrap();
    let certificate_pem = pem[pem.find("-----BEGIN CERTIFICATE-----").unwrap()..].to_owned();
    let posing = Credentials { key, certificate_pem, ..ours };
    let tls = rackhaven_pki::client::tls(&posing, Arc::new(SystemClock)).unwrap();
    assert!(!tls.alpn_protocols.is_empty());
    let attempt = async {
        let channel = connect(&posing, None).await?;
        anyhow::Ok(FleetClient::new(channel).get_status(v1::GetStatusRequest {}).await?)
    };
    assert!(attempt.await.is_err());
    audited(&fleet, "anonymous", "connect", "invalid peer certificate").await;
}
