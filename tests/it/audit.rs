//! The record of who did what cannot be changed unnoticed.

use rackhaven_tests::Fleet;
use rusqlite::Connection;

/// Changes the stopped controller's record by `sql`, and lets the running one check it.
async fn verify_after(sql: &str) -> rackhaven_tests::Outcome {
    let mut fleet = Fleet::start().await.unwrap();
    let _pi = fleet.join("pi-1").await.unwrap();
    fleet.ctl().ok("node label pi-1 rack=a").await.unwrap();
    fleet.ctl().ok("node reboot pi-1 --yes").await.unwrap();
    fleet.ctl().ok("user invite vera --role viewer").await.unwrap();
    let whole = fleet.ctl().run("audit --verify -o json").await.unwrap();
    assert_eq!(whole.code, Some(0), "{whole:?}");
    assert!(whole.err.contains("The chain of hashes is whole"), "{}", whole.err);
    fleet.stop_controller().await.unwrap();
    let database = Connection::open(fleet.state().join("controller.db")).unwrap();
    database.execute_batch(sql).unwrap();
    drop(database);
    fleet.start_controller().await.unwrap();
    fleet.ctl().run("audit --verify").await.unwrap()
}

#[tokio::test]
async fn what_was_done_is_on_record_in_order() {
    let fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    fleet.ctl().ok("node label pi-1 rack=a").await.unwrap();
    // Turned away, it would be on record each time it tries.
    pi.stop().await.unwrap();
    fleet.ctl().ok("node remove pi-1 --yes").await.unwrap();
    let rows = fleet.ctl().json_lines("audit").await.unwrap();
    let seen: Vec<_> = rows
        .iter()
        .filter(|row| row["outcome"] == "ok")
        .map(|row| (row["who"].as_str().unwrap(), row["action"].as_str().unwrap()))
        .collect();
    assert_eq!(
        seen,
        [
            ("local/0", "init"),
            ("user/admin", "Fleet/InviteNode"),
            ("anonymous", "Enrolment/Enrol"),
            ("user/admin", "Fleet/LabelNode"),
            ("user/admin", "Fleet/RemoveNode"),
        ]
    );
    let label = rows.iter().find(|row| row["action"] == "Fleet/LabelNode").unwrap();
    assert_eq!(label["target"], "pi-1: rack=a");
    assert!(label["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{label}");
    // Looking changes nothing.
    let again = fleet.ctl().json_lines("audit").await.unwrap();
    assert_eq!(rows.last().unwrap()["position"], again.last().unwrap()["position"]);
}

#[tokio::test]
async fn an_unchanged_record_is_whole_after_a_restart() {
    let same = verify_after("SELECT 1").await;
    assert_eq!(same.code, Some(0), "{same:?}");
}

#[tokio::test]
async fn a_changed_record_is_found() {
    let changed = verify_after("UPDATE audit SET who = 'user/vera' WHERE action = 'Fleet/RebootNode'").await;
    assert_eq!(changed.code, Some(1), "{changed:?}");
    assert!(changed.err.contains("record 5 does not fit the chain"), "{}", changed.err);
}

#[tokio::test]
async fn a_missing_record_is_found() {
    let missing = verify_after("DELETE FROM audit WHERE action = 'Fleet/LabelNode'").await;
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.err.contains("record 5 does not fit the chain"), "{}", missing.err);
}

#[tokio::test]
async fn a_missing_beginning_is_found() {
    let missing = verify_after("DELETE FROM audit WHERE position <= 2").await;
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.err.contains("record 3 does not fit the chain"), "{}", missing.err);
}

/// Positions are never given twice, so that what is written next does not fit.
#[tokio::test]
async fn a_missing_end_is_found_with_the_next_record() {
    let sql = "DELETE FROM audit WHERE position = (SELECT max(position) FROM audit);
               UPDATE users SET role = 'admin' WHERE name = 'vera'";
    let mut fleet = Fleet::start().await.unwrap();
    fleet.ctl().ok("user invite vera --role viewer").await.unwrap();
    fleet.stop_controller().await.unwrap();
    Connection::open(fleet.state().join("controller.db")).unwrap().execute_batch(sql).unwrap();
    fleet.start_controller().await.unwrap();
    fleet.ctl().ok("node invite").await.unwrap();
    let found = fleet.ctl().fails("audit --verify", 1).await.unwrap();
    assert!(found.err.contains("record 3 does not fit the chain"), "{}", found.err);
}
