//! What a node is told to do, and does once.

use rackhaven_proto::model::NodeState;
use rackhaven_tests::{Fleet, wait_for};

#[tokio::test]
async fn a_reboot_and_a_poweroff_are_done_once() {
    let fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    let ctl = fleet.ctl();
    let report = ctl.json("node reboot pi-1 --yes --reason kernel").await.unwrap();
    assert_eq!((&report["operation"], &report["state"]), (&"reboot".into(), &"succeeded".into()));
    assert_eq!(pi.calls(), ["reboot"]);
    // The board goes down and comes back.
    pi.stop().await.unwrap();
    pi.start().unwrap();
    fleet.wait_for_events("pi-1", "agent.started", 2).await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    ctl.ok("node poweroff pi-1 --yes").await.unwrap();
    assert_eq!(pi.calls(), ["reboot", "poweroff"]);
    pi.stop().await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Off).await.unwrap();
    let status = fleet.client().status().await.unwrap();
    assert_eq!(status.verdict_reason, "0 nodes up, 1 off");
    assert_eq!(fleet.events("pi-1", "node.down").await.unwrap().len(), 0, "off is not down");
    let told = fleet.events("pi-1", "node.command").await.unwrap();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[1].message.contains("poweroff of pi-1, asked by user/admin"), "{told:?}");
    for action in ["Fleet/RebootNode", "Fleet/PowerOffNode"] {
        fleet.wait_for_audit(action, |record| record.action == action && record.outcome == "ok").await.unwrap();
    }
    // Switched on again, it is up like any other.
    pi.start().unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    assert_eq!(pi.calls().len(), 2);
}

#[tokio::test]
async fn harm_must_be_confirmed() {
    let fleet = Fleet::start().await.unwrap();
    let pi = fleet.join("pi-1").await.unwrap();
    for harmful in ["node reboot pi-1", "node poweroff pi-1", "node remove pi-1", "user revoke admin"] {
        let refused = fleet.ctl().fails(harmful, 2).await.unwrap();
        assert!(refused.err.contains("--yes"), "{}", refused.err);
    }
    let audit = fleet.client().audit().await.unwrap();
    let actions: Vec<_> = audit.iter().map(|record| record.action.as_str()).collect();
    assert_eq!(actions, ["init", "Fleet/InviteNode", "Enrolment/Enrol"], "nothing was asked of the controller");
    assert!(pi.calls().is_empty());
}

#[tokio::test]
async fn a_command_that_came_too_late_is_never_done() {
    let fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    pi.kill().await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Down).await.unwrap();
    let expired = fleet.ctl().fails("node reboot pi-1 --yes --timeout 1s", 1).await.unwrap();
    assert!(expired.err.contains("it will not be done later"), "{}", expired.err);
    pi.start().unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    // What waited for the session would have been done before what comes now.
    fleet.ctl().ok("node poweroff pi-1 --yes").await.unwrap();
    assert_eq!(pi.calls(), ["poweroff"]);
}

#[tokio::test]
async fn a_command_waits_for_a_node_that_is_away_for_a_moment() {
    let fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    pi.kill().await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Down).await.unwrap();
    let mut asked = fleet.ctl().start("node reboot pi-1 --yes", fleet.folder()).unwrap();
    wait_for("the command to wait", async || Ok(asked.log().contains("waits for the node").then_some(())))
        .await
        .unwrap();
    pi.start().unwrap();
    let status = asked.ended().await.unwrap();
    assert!(status.success(), "{}", asked.log());
    assert_eq!(pi.calls(), ["reboot"]);
}

#[tokio::test]
async fn a_command_that_fails_tells_why() {
    let fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    pi.switched_by("echo some words >&2; echo the lid is stuck >&2; exit 7", "exec /no/such/program");
    pi.reload().unwrap();
    fleet.wait_for_events("pi-1", "agent.reloaded", 1).await.unwrap();
    let failed = fleet.ctl().fails("node reboot pi-1 --yes", 1).await.unwrap();
    assert!(failed.err.contains("exit status: 7"), "{}", failed.err);
    assert!(failed.err.contains("the lid is stuck"), "{}", failed.err);
    let failed = fleet.ctl().fails("node poweroff pi-1 --yes -o json", 1).await.unwrap();
    assert!(failed.err.contains("/no/such/program"), "{}", failed.err);
    let report: serde_json::Value = serde_json::from_str(&failed.out).unwrap();
    assert_eq!(report["state"], "failed");
    let told = fleet.wait_for_events("pi-1", "node.command", 2).await.unwrap();
    assert!(told[0].message.contains("the lid is stuck"), "{told:?}");
    // It did not go off, and is missed when it is silent.
    pi.kill().await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Down).await.unwrap();
}
