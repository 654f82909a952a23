//! A controller whose databases are damaged.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rackhaven_proto::model::NodeState;
use rackhaven_proto::v1::StoredEvent;
use rackhaven_tests::{Agent, Fleet, wait_until};
use rusqlite::Connection;

/// What a fault is called, and what it makes of a file.
type Damage = (&'static str, fn(&[u8]) -> Vec<u8>);

/// What a bad disk may make of a database.
const DAMAGES: [Damage; 5] = [
    ("cut", |whole| whole[..whole.len() / 2].to_vec()),
    ("cut within its first page", |whole| whole[..700].to_vec()),
    ("emptied", |_| Vec::new()),
    ("garbage", |whole| vec![0xa5; whole.len()]),
    ("garbage behind its first page", |whole| {
        let mut changed = whole.to_vec();
        changed[4096..].fill(0xa5);
        changed
    }),
];

/// A fleet with two nodes, of which the copy of the store knows.
async fn with_a_copy() -> (Fleet, [Agent; 2]) {
    let mut fleet = Fleet::start().await.unwrap();
    let agents = [fleet.join("pi-1").await.unwrap(), fleet.join("pi-2").await.unwrap()];
    fleet.stop_controller().await.unwrap();
    for name in ["controller.db", "history.db"] {
        take_in_log(&fleet.state().join(name));
    }
    (fleet, agents)
}

/// Moves all that is in the log beside a database into it: what is in the log could not be damaged there.
fn take_in_log(database: &Path) {
    let connection = Connection::open(database).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    connection.close().unwrap();
}

/// All files of a folder with their content.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.file_name().unwrap().display().to_string(), fs::read(&path).unwrap())).collect()
}

#[tokio::test]
async fn a_damaged_store_is_set_aside_and_its_copy_takes_its_place() {
    let (mut fleet, _agents) = with_a_copy().await;
    let database = fleet.state().join("controller.db");
    for (number, (what, how)) in (1..).zip(DAMAGES) {
        let damaged = how(&fs::read(&database).unwrap());
        fs::write(&database, &damaged).unwrap();
        fleet.start_controller().await.expect(what);
        let told = fleet.wait_for_events("", "store.restored", 1).await.expect(what);
        let kept = fleet.state().join(format!("controller.db.corrupt-{number}"));
        assert!(told[0].message.contains(&format!("set aside as {}", kept.display())), "{what}: {told:?}");
        assert!(fs::read(&kept).unwrap() == damaged, "{what}: what was set aside is not what was there");
        for name in ["pi-1", "pi-2"] {
            fleet.wait_for_state(name, NodeState::Up).await.expect(what);
        }
        fleet.kill_controller().await.unwrap();
        // The event is of this time only: the next copy to be restored is to be the one without it.
        fs::copy(fleet.state().join("controller.db.copy"), &database).unwrap();
        for suffix in ["wal", "shm"] {
            let _ = fs::remove_file(fleet.state().join(format!("controller.db-{suffix}")));
        }
    }
}

#[tokio::test]
async fn a_store_that_is_gone_is_restored_too() {
    let (mut fleet, _agents) = with_a_copy().await;
    fs::remove_file(fleet.state().join("controller.db")).unwrap();
    fleet.start_controller().await.unwrap();
    fleet.wait_for_events("", "store.restored", 1).await.unwrap();
    for name in ["pi-1", "pi-2"] {
        fleet.wait_for_state(name, NodeState::Up).await.unwrap();
    }
}

#[tokio::test]
async fn without_a_copy_nothing_is_changed() {
    let (mut fleet, _agents) = with_a_copy().await;
    // Of a controller that was killed there is more than the database.
    fleet.start_controller().await.unwrap();
    fleet.invite("").await.unwrap();
    fleet.kill_controller().await.unwrap();
    let (database, copy) = (fleet.state().join("controller.db"), fleet.state().join("controller.db.copy"));
    let whole = fs::read(&database).unwrap();
    fs::remove_file(&copy).unwrap();
    for (what, how) in DAMAGES {
        fs::write(&database, how(&whole)).unwrap();
        let mut before = content(fleet.state());
        let refused = fleet.run_controller_to_end().await.unwrap();
        assert_eq!(refused.code, Some(1), "{what}: {refused:?}");
        for told in [database.to_str().unwrap(), "is damaged", "there is no copy", "nothing was changed"] {
            assert!(refused.err.contains(told), "{what}: {told:?} is not in {}", refused.err);
        }
        let mut after = content(fleet.state());
        // An index of the log beside it, which SQLite makes anew each time.
        for files in [&mut before, &mut after] {
            files.remove("controller.db-shm");
        }
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&before), names(&after), "{what}");
        let changed: Vec<_> = before.keys().filter(|name| before[*name] != after[*name]).collect();
        assert!(changed.is_empty(), "{what}: {changed:?}");
    }
    fs::write(&database, whole).unwrap();
    fleet.start_controller().await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    assert_eq!(fleet.events("", "store.restored").await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_damaged_history_is_begun_anew() {
    let (mut fleet, _agents) = with_a_copy().await;
    let database = fleet.state().join("history.db");
    for (number, (what, how)) in (1..).zip(DAMAGES.iter().filter(|(what, _)| *what != "emptied")) {
        let damaged = how(&fs::read(&database).unwrap());
        fs::write(&database, &damaged).unwrap();
        fleet.start_controller().await.expect(what);
        let kept = fleet.state().join(format!("history.db.corrupt-{number}"));
        assert!(fs::read(&kept).unwrap() == damaged, "{what}: what was set aside is not what was there");
        assert!(fleet.controller_log().contains("the history was damaged ("), "{what}: {}", fleet.controller_log());
        assert!(fleet.controller_log().contains(&kept.display().to_string()), "{what}");
        fleet.wait_for_state("pi-1", NodeState::Up).await.expect(what);
        assert!(fleet.client().node("pi-1").await.unwrap().minutes.is_empty());
        fleet.kill_controller().await.unwrap();
        take_in_log(&database);
    }
}

/// Invites until the controller is gone, and kills it after so many; what it has promised.
async fn invite_until_killed(fleet: &Fleet, controller: Pid, kill_after: usize) -> Vec<String> {
    let mut promised = Vec::new();
    while let Ok(token) = fleet.invite("").await {
        promised.push(token.split('.').nth(1).unwrap().to_owned());
        if promised.len() == kill_after {
            kill(controller, Signal::SIGKILL).unwrap();
        }
    }
    promised
}

/// Lets events pour in until the controller is gone; those that it had stored.
async fn pour_events(fleet: &Fleet, agents: &mut [Agent]) -> Vec<StoredEvent> {
    let mut stored = Vec::new();
    while let Ok(events) = fleet.client().events().await {
        stored = events;
        for agent in &mut *agents {
            agent.reload().unwrap();
        }
    }
    stored
}

#[tokio::test]
async fn a_controller_that_is_killed_while_it_writes_keeps_what_it_promised() {
    let mut fleet = Fleet::start().await.unwrap();
    let mut agents = [fleet.join("pi-1").await.unwrap(), fleet.join("pi-2").await.unwrap()];
    let (mut promised, mut stored) = (Vec::new(), Vec::new());
    for round in 0..5 {
        let controller = Pid::from_raw(fleet.controller().unwrap().pid().cast_signed());
        let (invitations, events) =
            tokio::join!(invite_until_killed(&fleet, controller, 2 + 3 * round), pour_events(&fleet, &mut agents));
        promised.extend(invitations);
        stored.extend(events);
        fleet.kill_controller().await.unwrap();
        fleet.start_controller().await.unwrap();
    }
    for agent in &agents {
        fleet.wait_for_kept(agent, 0).await.unwrap();
    }
    let events = fleet.client().events().await.unwrap();
    let by_position: BTreeMap<_, _> = events.iter().map(|event| (event.position, event)).collect();
    for event in &stored {
        assert_eq!(by_position.get(&event.position), Some(&event));
    }
    assert!(events.iter().all(|event| event.kind != "store.restored"));
    let audit = fleet.client().audit().await.unwrap();
    for id in &promised {
        assert_eq!(audit.iter().filter(|record| record.target.contains(id.as_str())).count(), 1, "invitation {id}");
    }
    fleet.ctl().ok("audit --verify").await.unwrap();
    assert!(promised.len() >= 2 + 5 + 8 + 11 + 14);
    wait_until("both nodes", async || {
        let status = fleet.client().status().await;
        status.is_ok_and(|status| status.nodes.len() == 2)
    })
    .await
    .unwrap();
}
