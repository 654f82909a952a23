//! An agent whose files are damaged, or whose disk takes nothing any more.

use std::fs;
use std::path::Path;

use rackhaven_proto::model::NodeState;
use rackhaven_tests::{Agent, Fleet, SmallDisk, wait_for, wait_until};

/// What a fault is called, and what it makes of a file.
type Damage = (&'static str, fn(&[u8]) -> Vec<u8>);

/// What a bad card may make of a file.
const DAMAGES: [Damage; 4] = [
    ("cut", |whole| whole[..whole.len() / 2].to_vec()),
    ("emptied", |_| Vec::new()),
    ("garbage", |whole| vec![0xa5; whole.len()]),
    ("changed by one bit", |whole| {
        let mut changed = whole.to_vec();
        if let Some(last) = changed.last_mut() {
            *last ^= 1;
        }
        changed
    }),
];

/// Damages a file that must be there.
fn damage(path: &Path, how: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let damaged = how(&fs::read(path).unwrap());
    fs::write(path, &damaged).unwrap();
    damaged
}

/// What was set aside of a file, for the n-th time.
fn set_aside(state: &Path, name: &str, number: usize) -> Vec<u8> {
    fs::read(state.join(format!("{name}.corrupt-{number}"))).unwrap()
}

#[tokio::test]
async fn a_damaged_identity_is_kept_and_refused_and_the_node_can_rejoin() {
    let fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    for (number, (what, how)) in (1..).zip(DAMAGES) {
        pi.stop().await.unwrap();
        let damaged = damage(&pi.state().join("identity"), how);
        pi.start().unwrap();
        wait_until("pi-1 to wait", async || pi.log().matches("not in a fleet").count() == number).await.unwrap();
        for told in [&format!("identity.corrupt-{number}"), "ctl node rejoin"] {
            assert!(pi.log().contains(told), "{what}: {}", pi.log());
        }
        assert_eq!(set_aside(pi.state(), "identity", number), damaged, "{what}");
        let invitation = fleet.ctl().json("node rejoin pi-1").await.unwrap();
        let token = rackhaven_tests::fleet::token(invitation).unwrap();
        let joined = pi.join(&fleet.endpoint(), &token, "").await.unwrap();
        assert_eq!(joined.code, Some(0), "{what}: {joined:?}");
        // It goes on by itself, and is the node that it was.
        fleet.wait_for_events("pi-1", "agent.started", number + 1).await.unwrap();
        fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    }
}

#[tokio::test]
async fn other_damaged_files_are_set_aside_and_told() {
    let fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    for (number, (what, how)) in (1..).zip(DAMAGES) {
        fleet.ctl().ok("node reboot pi-1 --yes").await.unwrap();
        pi.stop().await.unwrap();
        let damaged = ["run", "commands", "clock-floor"].map(|name| (name, damage(&pi.state().join(name), how)));
        pi.start().unwrap();
        let told = fleet.wait_for_events("pi-1", "state.damaged", 2 * number).await.unwrap();
        let last: String = told[2 * (number - 1)..].iter().map(|event| event.message.as_str()).collect();
        for (name, damaged) in damaged {
            assert_eq!(set_aside(pi.state(), name, number), damaged, "{what}");
            let path = format!("set aside as {}/{name}.corrupt-{number}", pi.state().display());
            assert!(pi.log().contains(&path), "{what}: {name} is not in the log");
            // With the clock's floor nothing is lost that the next session does not bring.
            assert!(name == "clock-floor" || last.contains(&path), "{what}: {last}");
        }
        fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
        let started = fleet.events("pi-1", "agent.started").await.unwrap();
        assert!(started[number].message.contains("not known how it ended"), "{what}: {started:?}");
        wait_until("a new floor", async || pi.state().join("clock-floor").exists()).await.unwrap();
        assert_eq!(pi.calls().len(), number, "nothing is done again");
    }
}

#[tokio::test]
async fn a_damaged_event_does_not_hold_up_the_others() {
    let mut fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    fleet.kill_controller().await.unwrap();
    for count in 1..=DAMAGES.len() + 2 {
        pi.reload().unwrap();
        fleet.wait_for_kept(&pi, count).await.unwrap();
    }
    pi.kill().await.unwrap();
    let mut files: Vec<_> =
        fs::read_dir(pi.state().join("events")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for (file, (_, how)) in files.iter().zip(DAMAGES) {
        damage(file, how);
    }
    fleet.start_controller().await.unwrap();
    pi.start().unwrap();
    let told = fleet.wait_for_events("pi-1", "state.damaged", DAMAGES.len()).await.unwrap();
    for (file, (what, _)) in files.iter().zip(DAMAGES) {
        let name = file.display().to_string();
        assert!(told.iter().any(|event| event.message.contains(&format!("{name}.corrupt-1"))), "{what}: {told:?}");
    }
    fleet.wait_for_kept(&pi, 0).await.unwrap();
    assert_eq!(fleet.events("pi-1", "agent.reloaded").await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_damaged_key_of_an_enrolment_is_made_anew() {
    let fleet = Fleet::start().await.unwrap();
    let pi = fleet.machine("pi-1");
    for (number, (what, how)) in (1..).zip(DAMAGES) {
        let token = fleet.invite(&format!("--name pi-{number}")).await.unwrap();
        // Nobody answers, so that the key is kept for another try.
        let failed = pi.join(&rackhaven_tests::address::fresh().to_string(), &token, "--replace").await.unwrap();
        assert_eq!(failed.code, Some(1), "{failed:?}");
        let damaged = damage(&pi.state().join("pending-key"), how);
        let joined = pi.join(&fleet.endpoint(), &token, "--replace").await.unwrap();
        assert_eq!(joined.code, Some(0), "{what}: {joined:?}");
        assert!(joined.err.contains(&format!("pending-key.corrupt-{number}")), "{what}: it is not told: {joined:?}");
        assert_eq!(set_aside(pi.state(), "pending-key", number), damaged, "{what}");
    }
}

/// A node with its state on a small disk.
async fn on_a_small_disk(fleet: &Fleet) -> (Agent, SmallDisk) {
    let disk = SmallDisk::mount(&fleet.folder().join("disk"), 256 * 1024).unwrap();
    let mut pi = fleet.machine("pi-1");
    pi.keep_state_in(disk.path());
    let token = fleet.invite("--name pi-1").await.unwrap();
    let joined = pi.join(&fleet.endpoint(), &token, "").await.unwrap();
    assert_eq!(joined.code, Some(0), "{joined:?}");
    pi.start().unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    fleet.wait_for_kept(&pi, 0).await.unwrap();
    (pi, disk)
}

/// A node that cannot write is measured, heard, and switched off, started before that or after.
async fn goes_on_without_writing(fleet: &Fleet, pi: &mut Agent) {
    for run in 1..=2 {
        let newest = async || anyhow::Ok(fleet.client().node("pi-1").await?.recent.last().map(|p| p.wall_unix_ms));
        let before = newest().await.unwrap();
        wait_for("another sample", async || Ok(newest().await?.filter(|now| Some(*now) > before))).await.unwrap();
        pi.reload().unwrap();
        fleet.wait_for_events("pi-1", "agent.reloaded", run).await.unwrap();
        assert!(pi.log().contains("an event is kept in memory only"));
        fleet.ctl().ok("node poweroff pi-1 --yes").await.unwrap();
        assert_eq!(pi.calls(), vec!["poweroff"; run]);
        assert!(pi.log().contains("a command could not be written down"));
        pi.kill().await.unwrap();
        pi.start().unwrap();
        fleet.wait_for_events("pi-1", "agent.started", run + 1).await.unwrap();
        fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
        assert!(pi.log().contains("the start could not be written down"));
        fleet.wait_for_events("pi-1", "state.unwritable", run).await.unwrap();
    }
}

/// What is written again when that is possible again.
async fn writes_again(fleet: &mut Fleet, pi: &mut Agent) {
    fleet.kill_controller().await.unwrap();
    pi.reload().unwrap();
    fleet.wait_for_kept(pi, 1).await.unwrap();
    fleet.start_controller().await.unwrap();
    fleet.wait_for_kept(pi, 0).await.unwrap();
    pi.stop().await.unwrap();
    pi.start().unwrap();
    let started = fleet.wait_for_events("pi-1", "agent.started", 4).await.unwrap();
    assert!(started[3].message.contains("after SIGTERM"), "{started:?}");
}

#[tokio::test]
async fn a_node_whose_disk_is_full_is_seen_and_switched_off() {
    let mut fleet = Fleet::start().await.unwrap();
    let (mut pi, disk) = on_a_small_disk(&fleet).await;
    disk.fill().unwrap();
    goes_on_without_writing(&fleet, &mut pi).await;
    disk.make_room().unwrap();
    writes_again(&mut fleet, &mut pi).await;
}

#[tokio::test]
async fn a_node_whose_disk_is_read_only_is_seen_and_switched_off() {
    let mut fleet = Fleet::start().await.unwrap();
    let (mut pi, disk) = on_a_small_disk(&fleet).await;
    disk.set_read_only(true).unwrap();
    goes_on_without_writing(&fleet, &mut pi).await;
    disk.set_read_only(false).unwrap();
    writes_again(&mut fleet, &mut pi).await;
}
