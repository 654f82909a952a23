//! Who may do what, and with which exit status they are told.

use std::path::PathBuf;

use rackhaven_proto::model::NodeState;
use rackhaven_tests::fleet::token;
use rackhaven_tests::{Ctl, Fleet, wait_for, wait_until};

/// A user who has logged in, in a home of their own.
async fn user(fleet: &Fleet, name: &str, role: &str) -> (Ctl, PathBuf) {
    let home = fleet.folder().join(format!("home-{name}"));
    let ctl = Ctl::of_user(&home);
    log_in(fleet, &ctl, name, role, "").await;
    (ctl, home)
}

async fn log_in(fleet: &Fleet, ctl: &Ctl, name: &str, role: &str, flags: &str) {
    let invitation = fleet.ctl().json(&format!("user invite {name} --role {role}")).await.unwrap();
    let ctl = ctl.clone().with_variable("RACKHAVEN_TOKEN", &token(invitation).unwrap());
    ctl.ok(&format!("login {} {flags}", fleet.endpoint())).await.unwrap();
}

#[tokio::test]
async fn a_role_allows_what_it_says_and_no_more() {
    let fleet = Fleet::start().await.unwrap();
    let pi = fleet.join("pi-1").await.unwrap();
    let (viewer, _) = user(&fleet, "vera", "viewer").await;
    let (operator, _) = user(&fleet, "otto", "operator").await;
    let (admin, _) = user(&fleet, "anna", "admin").await;
    for (ctl, name, role) in [(&viewer, "vera", "viewer"), (&operator, "otto", "operator"), (&admin, "anna", "admin")] {
        let who = ctl.json("whoami").await.unwrap();
        assert_eq!((&who["name"], &who["role"]), (&format!("user/{name}").into(), &role.into()));
        assert_eq!((&who["cluster"], &who["context"]), (&"home".into(), &"home".into()));
        ctl.ok("status").await.unwrap();
        ctl.ok("events").await.unwrap();
    }
    let refused = viewer.fails("node reboot pi-1 --yes", 5).await.unwrap();
    assert!(refused.err.contains("needs the role operator; vera is viewer"), "{}", refused.err);
    viewer.fails("node label pi-1 a=b", 5).await.unwrap();
    assert!(pi.calls().is_empty());
    operator.ok("node reboot pi-1 --yes").await.unwrap();
    assert_eq!(pi.calls(), ["reboot"]);
    for admins_only in
        ["node invite", "node rejoin pi-1", "node remove pi-1 --yes", "user invite x --role viewer", "audit"]
    {
        viewer.fails(admins_only, 5).await.unwrap();
        operator.fails(admins_only, 5).await.unwrap();
    }
    admin.ok("node invite").await.unwrap();
    admin.ok("audit").await.unwrap();
    for who in ["user/vera", "user/otto"] {
        let is_it = |record: &rackhaven_proto::v1::AuditRecord| {
            record.who == who && record.action == "Fleet/InviteNode" && record.outcome.starts_with("denied")
        };
        fleet.wait_for_audit(who, is_it).await.unwrap();
    }
}

#[tokio::test]
async fn a_revoked_user_is_cut_off_at_once() {
    let fleet = Fleet::start().await.unwrap();
    let (ctl, _) = user(&fleet, "vera", "viewer").await;
    let mut following = ctl.start("events --follow -o json", fleet.folder()).unwrap();
    wait_until("the past events", async || following.output().contains("user.enrolled")).await.unwrap();
    fleet.ctl().ok("user revoke vera --yes").await.unwrap();
    let end = following.ended().await.unwrap();
    assert_eq!(end.code(), Some(5), "{}", following.log());
    ctl.fails("status", 5).await.unwrap();
    let users = fleet.ctl().json("user list").await.unwrap();
    let vera = users["users"].as_array().unwrap().iter().find(|user| user["name"] == "vera").unwrap();
    assert_eq!(vera["state"], "revoked");
    // A further invitation lets them in again, with what it says.
    log_in(&fleet, &ctl, "vera", "operator", "").await;
    assert_eq!(ctl.json("whoami").await.unwrap()["role"], "operator");
}

#[tokio::test]
async fn one_user_has_several_controllers() {
    let (here, there) = (Fleet::start().await.unwrap(), Fleet::start().await.unwrap());
    let (ctl, home) = user(&here, "vera", "viewer").await;
    log_in(&there, &ctl, "victor", "viewer", "--name away").await;
    let contexts = ctl.json("context list").await.unwrap();
    let seen: Vec<_> = contexts["contexts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|context| (context["name"].clone(), context["current"].clone(), context["user"].clone()))
        .collect();
    let row = |name: &str, current: bool, user: &str| (name.into(), current.into(), user.into());
    assert_eq!(seen, [row("away", false, "victor"), row("home", true, "vera")]);
    let whoami = async |flags: &str| ctl.json(&format!("whoami {flags}")).await.unwrap()["name"].clone();
    assert_eq!(whoami("").await, "user/vera");
    assert_eq!(whoami("--context away").await, "user/victor");
    ctl.ok("context use away").await.unwrap();
    assert_eq!(whoami("").await, "user/victor");
    ctl.fails("context use nowhere", 2).await.unwrap();
    ctl.ok("context remove away --yes").await.unwrap();
    let contexts = ctl.json("context list").await.unwrap();
    assert_eq!(contexts["contexts"].as_array().unwrap().len(), 1);
    assert!(!home.join("rackhaven/contexts/away.toml").exists());
}

#[tokio::test]
async fn root_on_the_master_gets_in_without_a_certificate() {
    let fleet = Fleet::start().await.unwrap();
    let ctl = Ctl::of_user(fleet.folder());
    let socket = fleet.folder().join("socket").display().to_string();
    let who = ctl.json(&format!("whoami --socket {socket}")).await.unwrap();
    assert_eq!((&who["name"], &who["role"]), (&"local/0".into(), &"admin".into()));
    ctl.ok(&format!("user invite anna --role admin --socket {socket}")).await.unwrap();
    fleet
        .wait_for_audit("root", |record| record.who == "local/0" && record.action == "Access/InviteUser")
        .await
        .unwrap();
}

#[tokio::test]
async fn every_exit_status_means_what_is_promised() {
    let mut fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    let ctl = fleet.ctl();
    ctl.fails("status", 0).await.unwrap();
    let missing = ctl.fails("node show nobody", 1).await.unwrap();
    assert!(missing.err.contains("there is no node nobody"), "{}", missing.err);
    ctl.fails("node show", 2).await.unwrap();
    ctl.fails("no-such-noun", 2).await.unwrap();
    ctl.fails("node reboot pi-1", 2).await.unwrap();
    let nobody = Ctl::of_user(&fleet.folder().join("empty-home"));
    nobody.fails("status --context none", 2).await.unwrap();
    pi.kill().await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Down).await.unwrap();
    let unhealthy = ctl.fails("status --check", 3).await.unwrap();
    assert!(unhealthy.out.contains("down"), "{}", unhealthy.out);
    ctl.fails("status", 0).await.unwrap();
    let (viewer, _) = user(&fleet, "vera", "viewer").await;
    viewer.fails("audit", 5).await.unwrap();
    fleet.stop_controller().await.unwrap();
    let away = wait_for("the controller to be away", async || {
        Ok(Some(ctl.run("status").await?).filter(|outcome| outcome.code != Some(0)))
    });
    let away = away.await.unwrap();
    assert_eq!(away.code, Some(4), "{away:?}");
    assert!(away.err.contains("is the controller running there?"), "{}", away.err);
}
