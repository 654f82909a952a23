//! Certificates that end, and the new ones before that.

use std::time::Duration;

use rackhaven_pki::clock::SystemClock;
use rackhaven_pki::{CertificateInfo, Credentials};
use rackhaven_proto::model::NodeState;
use rackhaven_tests::hand::HandSession;
use rackhaven_tests::{Ctl, Fleet, wait_for_within, wait_until};
use tonic::{Code, Status};

/// The shortest life that a certificate can be given, seconds.
const SHORTEST: &str = "30";
/// Longer than the shortest life.
const LIFE: Duration = Duration::from_secs(60);

/// Waits until a moment has passed, seconds since 1970-01-01 UTC.
async fn passed(what: &str, unix_s: i64) {
    let look = async || Ok((SystemClock::unix_ms() / 1000 > unix_s).then_some(()));
    wait_for_within(LIFE, what, look).await.unwrap();
}

#[tokio::test]
async fn a_running_agent_renews_and_its_old_certificate_is_dead() {
    let fleet = Fleet::start_with(&[("certificates.node_life_seconds", SHORTEST)]).await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    let old = pi.credentials().unwrap();
    let old_info = old.certificate().unwrap();
    let look = async || {
        let serial = fleet.client().node("pi-1").await?.certificate_serial;
        Ok(Some(serial).filter(|serial| *serial != old_info.serial))
    };
    let serial = wait_for_within(LIFE, "a new certificate", look).await.unwrap();
    assert!(SystemClock::unix_ms() / 1000 < old_info.not_after_unix_s, "the old one would have ended anyway");
    wait_until("the session by the new one", async || pi.log().matches("session open").count() == 2).await.unwrap();
    assert_eq!(pi.credentials().unwrap().certificate().unwrap().serial, serial);
    let refused = HandSession::open(&old).await.unwrap_err().downcast::<Status>().unwrap();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().contains("was revoked or is not known"), "{refused}");
    // Nobody noticed.
    assert_eq!(fleet.client().state("pi-1").await.unwrap(), NodeState::Up);
    assert_eq!(fleet.events("pi-1", "agent.started").await.unwrap().len(), 1);
    assert_eq!(fleet.events("pi-1", "node.down").await.unwrap().len(), 0);
    pi.reload().unwrap();
    fleet.wait_for_events("pi-1", "agent.reloaded", 1).await.unwrap();
    fleet.ctl().ok("node reboot pi-1 --yes").await.unwrap();
}

#[tokio::test]
async fn a_node_that_was_off_for_too_long_comes_back_but_a_revoked_one_does_not() {
    let fleet = Fleet::start_with(&[("certificates.node_life_seconds", SHORTEST)]).await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    let mut removed = fleet.join("pi-2").await.unwrap();
    pi.stop().await.unwrap();
    removed.stop().await.unwrap();
    let old = pi.credentials().unwrap();
    fleet.ctl().ok("node remove pi-2 --yes").await.unwrap();
    passed("the end of the certificates", old.certificate().unwrap().not_after_unix_s).await;
    // The expired one is good for its renewal and nothing else.
    let refused = HandSession::open(&old).await.unwrap_err().downcast::<Status>().unwrap();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().contains("has expired; it may only be renewed"), "{refused}");
    pi.start().unwrap();
    removed.start().unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    assert_ne!(pi.credentials().unwrap().certificate_pem, old.certificate_pem);
    wait_until("the refusal", async || removed.log().contains("was revoked or is not known")).await.unwrap();
    let status = fleet.client().status().await.unwrap();
    assert_eq!(status.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["pi-1"]);
    let audit = fleet.client().audit().await.unwrap();
    assert!(audit.iter().any(|record| record.who == "node/pi-2" && record.outcome.starts_with("denied")), "{audit:#?}");
}

/// A user who has logged in: their `ctl`, and what their certificate says now.
async fn user(fleet: &Fleet, name: &str) -> (Ctl, impl Fn() -> CertificateInfo) {
    let socket = fleet.folder().join("socket").display().to_string();
    // The first admin's certificate is as short-lived as theirs; root has none.
    let root = Ctl::of_user(fleet.folder());
    let invitation = root.json(&format!("user invite {name} --role viewer --socket {socket}")).await.unwrap();
    let token = rackhaven_tests::fleet::token(invitation).unwrap();
    let ctl = Ctl::of_user(&fleet.folder().join(name)).with_variable("RACKHAVEN_TOKEN", &token);
    let logged_in = ctl.json(&format!("login {}", fleet.endpoint())).await.unwrap();
    let file = logged_in["file"].as_str().unwrap().to_owned();
    let read = move || Credentials::from_toml(&std::fs::read_to_string(&file).unwrap()).unwrap().certificate().unwrap();
    (ctl, read)
}

#[tokio::test]
async fn a_users_certificate_is_renewed_by_using_it() {
    let fleet = Fleet::start_with(&[("certificates.user_life_seconds", SHORTEST)]).await.unwrap();
    let (vera, veras) = user(&fleet, "vera").await;
    let (rare, rares) = user(&fleet, "rare").await;
    let (gone, gones) = user(&fleet, "gone").await;
    let socket = fleet.folder().join("socket").display().to_string();
    Ctl::of_user(fleet.folder()).ok(&format!("user revoke gone --yes --socket {socket}")).await.unwrap();
    let (first, rare_first) = (veras(), rares());
    vera.ok("status").await.unwrap();
    assert_eq!(veras().serial, first.serial, "it is not renewed before its time");
    passed("the time for renewal", first.renew_unix_s()).await;
    vera.ok("status").await.unwrap();
    assert_ne!(veras().serial, first.serial);
    // Who comes late comes in all the same, but for those who may not.
    passed("the end", rare_first.not_after_unix_s.max(gones().not_after_unix_s)).await;
    rare.ok("status").await.unwrap();
    assert_ne!(rares().serial, rare_first.serial);
    gone.fails("status", 5).await.unwrap();
    vera.ok("status").await.unwrap();
}

/// What the controller shows in a handshake.
async fn shown(fleet: &Fleet) -> CertificateInfo {
    let pem = std::fs::read_to_string(fleet.state().join("admin.context")).unwrap();
    let credentials = Credentials::from_toml(&pem).unwrap();
    let tls = rackhaven_pki::client::tls(&credentials, std::sync::Arc::new(SystemClock)).unwrap();
    let name = credentials.cluster_id.server_name();
    let stream = rackhaven_pki::client::dial(&credentials.endpoints[0], &tls, &name).await.unwrap();
    CertificateInfo::from_der(&stream.get_ref().1.peer_certificates().unwrap()[0]).unwrap()
}

#[tokio::test]
async fn the_controllers_own_certificate_is_renewed_while_it_runs() {
    // Renewal is due after 40 s, and looked at each 30 s.
    let mut fleet = Fleet::start_with(&[("certificates.server_life_seconds", "80")]).await.unwrap();
    let pi = fleet.join("pi-1").await.unwrap();
    let first = shown(&fleet).await;
    let pid = fleet.controller().unwrap().pid();
    let look = async || Ok(Some(shown(&fleet).await).filter(|now| now.serial != first.serial));
    let second = wait_for_within(LIFE * 2, "another certificate", look).await.unwrap();
    assert!(SystemClock::unix_ms() / 1000 <= first.not_after_unix_s, "the first had ended before");
    let status = fleet.client().status().await.unwrap();
    assert_eq!(status.server_certificate_ends_unix_ms, second.not_after_unix_s * 1000);
    assert_eq!(fleet.controller().unwrap().pid(), pid);
    // Open sessions are not touched, new ones are made.
    assert_eq!(pi.log().matches("session open").count(), 1);
    let _later = fleet.join("pi-2").await.unwrap();
    fleet.ctl().ok("status").await.unwrap();
}
