//! A controller whose disk is full.

use std::time::Duration;

use rackhaven_proto::model::NodeState;
use rackhaven_tests::wait::wait_for_within;
use rackhaven_tests::{Fleet, SmallDisk, wait_for};

/// Room for a new cluster and some more.
const DISK_BYTES: u64 = 8 * 1024 * 1024;

#[tokio::test]
async fn a_controller_whose_disk_is_full_sees_and_switches_off() {
    let mut fleet = Fleet::prepare().unwrap();
    let disk = SmallDisk::mount(fleet.state(), DISK_BYTES).unwrap();
    fleet.init().await.unwrap();
    fleet.start_controller().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    disk.fill().unwrap();
    // The database's own files may have some room left.
    let refused = wait_for("the disk to be full", async || {
        let invited = fleet.ctl().run("node invite").await?;
        Ok(Some(invited).filter(|invited| invited.code != Some(0)))
    });
    let refused = refused.await.unwrap();
    assert!(refused.err.contains("database or disk is full"), "{refused:?}");
    // What is not written down is not done, and not forgotten by who has it.
    let refused = fleet.ctl().run("node reboot pi-1 --yes").await.unwrap();
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.err.contains("database or disk is full"), "{refused:?}");
    assert!(pi.calls().is_empty());
    pi.reload().unwrap();
    fleet.wait_for_kept(&pi, 1).await.unwrap();
    // It goes on seeing,
    let newest = async || anyhow::Ok(fleet.client().node("pi-1").await?.recent.last().map(|point| point.wall_unix_ms));
    let before = newest().await.unwrap();
    wait_for("another sample", async || Ok(newest().await?.filter(|now| Some(*now) > before))).await.unwrap();
    let status = fleet.ctl().json("status").await.unwrap();
    assert_eq!((&status["nodes"][0]["name"], &status["nodes"][0]["state"]), (&"pi-1".into(), &"up".into()));
    // takes up a node that comes back,
    pi.kill().await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Down).await.unwrap();
    pi.start().unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    // and switches off.
    fleet.ctl().ok("node poweroff pi-1 --yes --reason storm").await.unwrap();
    assert_eq!(pi.calls(), ["poweroff"]);
    let log = fleet.controller_log();
    let told = log.lines().find(|line| line.contains("a poweroff goes on that could not be stored")).unwrap();
    for detail in ["pi-1", "user/admin", "storm"] {
        assert!(told.contains(detail), "who asked for what is at least in the log: {told}");
    }
    disk.make_room().unwrap();
    // What was not acknowledged comes again after a while.
    let patience = Duration::from_secs(90);
    wait_for_within(patience, "the events", async || Ok((pi.waiting_events() == 0).then_some(()))).await.unwrap();
    assert_eq!(fleet.events("pi-1", "agent.reloaded").await.unwrap().len(), 1);
    fleet.invite("").await.unwrap();
    pi.kill().await.unwrap();
    fleet.wait_for_events("pi-1", "node.off", 1).await.unwrap();
    fleet.kill_controller().await.unwrap();
    fleet.start_controller().await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Off).await.unwrap();
    assert_eq!(fleet.events("", "store.restored").await.unwrap().len(), 0);
}
