//! How a machine becomes a node, and how a node comes back with a new key.

use rackhaven_pki::{Credentials, PrivateKey, Token};
use rackhaven_proto::model::NodeState;
use rackhaven_tests::hand::{HandSession, enrol, enrolment};
use rackhaven_tests::{Fleet, Proxy, wait_for};
use serde_json::Value;
use tonic::{Code, Status};

/// A line of a file under /proc.
fn proc(path: &str) -> String {
    std::fs::read_to_string(format!("/proc/{path}")).unwrap().lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_machine_joins_and_its_real_figures_show() {
    let fleet = Fleet::start().await.unwrap();
    let _pi = fleet.join("pi-1").await.unwrap();
    let ctl = fleet.ctl();
    let shown = wait_for("figures", async || {
        let shown = ctl.json("node show pi-1").await?;
        Ok(Some(shown).filter(|shown| shown["cpu_percent"].is_number()))
    })
    .await
    .unwrap();

    let memory_kib: u64 = proc("meminfo").split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(shown["facts"]["memory_total_bytes"], memory_kib * 1024);
    assert_eq!(shown["sample"]["memory"]["total_bytes"], memory_kib * 1024);
    assert_eq!(shown["facts"]["boot_id"], proc("sys/kernel/random/boot_id"));
    assert_eq!(shown["facts"]["kernel"], proc("sys/kernel/osrelease"));
    assert_eq!(shown["facts"]["hostname"], proc("sys/kernel/hostname"));
    let uptime: f64 = proc("uptime").split(' ').next().unwrap().parse().unwrap();
    let age = uptime - shown["sample"]["uptime_seconds"].as_f64().unwrap_or(shown["uptime_seconds"].as_f64().unwrap());
    assert!((0.0..60.0).contains(&age), "{shown:#}");
    assert_eq!(shown["state"], "up");
    assert_eq!(shown["version"], rackhaven_proto::VERSION);
    assert_eq!(shown["arch"], if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" });
    assert!(shown["sample"]["file_systems"].as_array().unwrap().iter().any(|fs| fs["mount_point"] == "/"), "{shown:#}");

    let listed = ctl.json("node list").await.unwrap();
    assert_eq!(listed["nodes"].as_array().unwrap().len(), 1);
    assert_eq!(listed["nodes"][0]["name"], "pi-1");
    let status = ctl.json("status").await.unwrap();
    assert_eq!((&status["cluster"], &status["nodes"][0]["state"]), (&"home".into(), &"up".into()));
    assert!(["ok", "degraded", "critical"].map(Value::from).contains(&status["verdict"]), "{status:#}");
    let data_age = status["data_age_seconds"].as_f64().unwrap();
    assert!((0.0..30.0).contains(&data_age), "{status:#}");
    let table = ctl.ok("status").await.unwrap();
    assert!(table.contains("pi-1"), "{table}");
}

#[tokio::test]
async fn the_name_comes_from_the_flag_the_invitation_or_the_host() {
    let fleet = Fleet::start().await.unwrap();
    let endpoint = fleet.endpoint();
    let open = fleet.invite("--uses 3").await.unwrap();
    let by_flag = fleet.machine("a").join(&endpoint, &open, "--name flagged").await.unwrap();
    assert_eq!(by_flag.out.trim(), "joined as flagged");
    let named = fleet.invite("--name invited").await.unwrap();
    let other = fleet.machine("b").join(&endpoint, &named, "--name other").await.unwrap();
    assert_eq!(other.code, Some(1));
    assert!(other.err.contains("the invitation is for invited, not for other"), "{}", other.err);
    let by_invitation = fleet.machine("b").join(&endpoint, &named, "").await.unwrap();
    assert_eq!(by_invitation.out.trim(), "joined as invited");
    let by_host = fleet.machine("c").join(&endpoint, &open, "").await.unwrap();
    let host = proc("sys/kernel/hostname").split('.').next().unwrap().to_ascii_lowercase();
    assert_eq!(by_host.out.trim(), format!("joined as {host}"));
    let taken = fleet.machine("d").join(&endpoint, &open, "--name flagged").await.unwrap();
    assert_eq!(taken.code, Some(1));
    assert!(taken.err.contains("ctl node rejoin flagged"), "{}", taken.err);
}

#[tokio::test]
async fn labels_are_given_changed_and_selected_by() {
    let fleet = Fleet::start().await.unwrap();
    let token = fleet.invite("--uses 2 --label role=worker --label stage=1").await.unwrap();
    for name in ["pi-1", "pi-2"] {
        let joined = fleet.machine(name).join(&fleet.endpoint(), &token, &format!("--name {name}")).await.unwrap();
        assert_eq!(joined.code, Some(0), "{joined:?}");
    }
    let ctl = fleet.ctl();
    let labels = ctl.json("node label pi-2 role=master stage- rack=a").await.unwrap();
    assert_eq!(labels["labels"], serde_json::json!({ "role": "master", "rack": "a" }));
    for (selector, expected) in [
        ("role=worker", &["pi-1"][..]),
        ("role!=worker", &["pi-2"]),
        ("stage", &["pi-1"]),
        ("role", &["pi-1", "pi-2"]),
        ("role=worker,rack=a", &[]),
    ] {
        let listed = ctl.json(&format!("node list -l {selector}")).await.unwrap();
        let mut names: Vec<_> =
            listed["nodes"].as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{selector}");
    }
}

#[tokio::test]
async fn an_invitation_is_good_for_so_many_machines() {
    let fleet = Fleet::start().await.unwrap();
    let token = fleet.invite("--uses 3").await.unwrap();
    let join = async |name: &str| {
        fleet.machine(name).join(&fleet.endpoint(), &token, &format!("--name {name}")).await.unwrap()
    };
    for name in ["pi-1", "pi-2", "pi-3"] {
        assert_eq!(join(name).await.code, Some(0));
    }
    let fourth = join("pi-4").await;
    assert_eq!(fourth.code, Some(1));
    assert!(fourth.err.contains("has been used already"), "{}", fourth.err);
    assert_eq!(fleet.client().status().await.unwrap().nodes.len(), 3);
}

#[tokio::test]
async fn a_node_does_not_join_twice_by_mistake() {
    let fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    pi.stop().await.unwrap();
    let before = pi.credentials().unwrap().certificate_pem;
    let token = fleet.invite("").await.unwrap();
    let refused = pi.join(&fleet.endpoint(), &token, "--name pi-2").await.unwrap();
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("this machine is node/pi-1 already"), "{}", refused.err);
    assert_eq!(pi.credentials().unwrap().certificate_pem, before);
    // The invitation was not spent by that.
    let replaced = pi.join(&fleet.endpoint(), &token, "--name pi-2 --replace").await.unwrap();
    assert_eq!(replaced.out.trim(), "joined as pi-2", "{replaced:?}");
    pi.start().unwrap();
    fleet.wait_for_state("pi-2", NodeState::Up).await.unwrap();
}

/// The line breaks at every place of the enrolment in turn; in the end there is one node with one certificate.
#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again() {
    let fleet = Fleet::start().await.unwrap();
    let proxy = Proxy::start(fleet.address()).await.unwrap();
    let pi = fleet.machine("pi-1");
    let token = fleet.invite("--name pi-1").await.unwrap();
    let mut lost_after_enrolment = 0;
    for limit in (0..).step_by(150) {
        proxy.break_after(Some(limit));
        let joined = pi.join(&proxy.endpoint(), &token, "").await.unwrap();
        let enrolled = fleet.client().status().await.unwrap().nodes.len();
        if joined.code == Some(0) {
            assert_eq!(joined.out.trim(), "joined as pi-1");
            break;
        }
        lost_after_enrolment += enrolled;
        assert!(limit < 20_000, "never joined: {joined:?}");
    }
    assert!(lost_after_enrolment > 0, "no answer was lost: the story does not tell what it should");
    let serial = pi.credentials().unwrap().certificate().unwrap().serial;
    assert_eq!(fleet.client().node("pi-1").await.unwrap().certificate_serial, serial);
    let audit = fleet.client().audit().await.unwrap();
    let enrolments = audit.iter().filter(|record| record.action == "Enrolment/Enrol");
    assert_eq!(enrolments.map(|record| record.outcome.as_str()).collect::<Vec<_>>(), ["ok"]);
    assert!(!pi.state().join("pending-key").exists());
}

/// A caller may hang up in the instant in which its call is stored: what is stored then counts at once all the same.
#[tokio::test]
async fn an_enrolment_is_done_wholly_or_not_at_all() {
    let fleet = Fleet::start_with(&[("limits.enrolments_per_minute", "1000")]).await.unwrap();
    let proxy = Proxy::start(fleet.address()).await.unwrap();
    let (endpoint, broken) = (fleet.endpoint().parse().unwrap(), proxy.endpoint().parse().unwrap());
    let token: Token = fleet.invite("--uses 100").await.unwrap().parse().unwrap();
    // From the end of the handshake on to the middle of the answer.
    for (number, limit) in (1_200..1_800).step_by(10).enumerate() {
        proxy.break_after(Some(limit));
        let name = format!("pi-{number}");
        let key = PrivateKey::generate().unwrap();
        let request = enrolment(&token, &key, &name).unwrap();
        let lost = enrol(&broken, &token, request.clone()).await;
        assert!(!matches!(lost, Ok(Ok(_))), "the answer was not lost");
        let answer = enrol(&endpoint, &token, request).await.unwrap().unwrap();
        let credentials = Credentials::from_enrolment(&token, &key, &endpoint, answer).unwrap();
        HandSession::open(&credentials).await.unwrap();
    }
    assert_eq!(fleet.client().status().await.unwrap().nodes.len(), 60);
}

#[tokio::test]
async fn a_reflashed_card_comes_back_and_the_old_one_is_locked_out() {
    let fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    fleet.ctl().ok("node label pi-1 rack=a").await.unwrap();
    let stolen = pi.credentials().unwrap();
    pi.kill().await.unwrap();
    std::fs::remove_dir_all(pi.state()).unwrap();
    let token = rackhaven_tests::fleet::token(fleet.ctl().json("node rejoin pi-1").await.unwrap()).unwrap();
    let joined = pi.join(&fleet.endpoint(), &token, "").await.unwrap();
    assert_eq!(joined.out.trim(), "joined as pi-1", "{joined:?}");
    let refused = HandSession::open(&stolen).await.unwrap_err();
    let status = refused.downcast::<Status>().unwrap();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    pi.start().unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    let shown = fleet.ctl().json("node show pi-1").await.unwrap();
    assert_eq!(shown["labels"]["rack"], "a");
    assert_ne!(shown["certificate_serial"], stolen.certificate().unwrap().serial);
}

#[tokio::test]
async fn where_init_was_told_that_the_controller_is_goes_into_invitations() {
    let mut fleet = Fleet::prepare().unwrap();
    fleet.settings.set("endpoints", "[]");
    fleet.init().await.unwrap();
    fleet.start_controller().await.unwrap();
    let invited = fleet.ctl().ok("node invite --name pi-1").await.unwrap();
    assert!(invited.contains(&format!("rackhaven-agent join {}", fleet.endpoint())), "{invited:?}");
    // What is configured later counts more.
    fleet.settings.set("endpoints", "['rack.lan:7443']");
    fleet.reload_controller().unwrap();
    wait_for("the new address", async || {
        Ok(fleet.ctl().ok("node invite").await?.contains("rackhaven-agent join rack.lan:7443").then_some(()))
    })
    .await
    .unwrap();
}
