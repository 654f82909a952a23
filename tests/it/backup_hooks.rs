//! What is done before and after a backup.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;
use rackhaven_tests::process::{command, run_to_end};
use rackhaven_tests::{Saving, wait_until};

fn hook(folder: &Path, name: &str, script: &str) {
    fs::create_dir_all(folder).unwrap();
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(folder.join(name), Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_hook_that_fails_keeps_everything_from_being_written_and_after_comes_always() {
    let saving = Saving::new().unwrap();
    fs::write(saving.source().join("text"), "hello").unwrap();
    let (hooks, repository) = (saving.top().join("hooks"), saving.top().join("repository"));
    let hooks_dir = hooks.display().to_string();
    let lines = "[hooks]\nbefore = ['look']\nafter = ['tell']\n";
    saving.write_job(&format!("repository = '{}'\n{lines}", repository.display())).unwrap();
    let note = saving.top().join("note");
    hook(&hooks, "look", "echo not today >&2; exit 1");
    hook(&hooks, "tell", &format!("echo $RACKHAVEN_PHASE $RACKHAVEN_OUTCOME $RACKHAVEN_ARCHIVE >> {}", note.display()));
    let failed = saving.run(&["run", "--hooks-dir", &hooks_dir]).await.unwrap();
    assert_eq!(failed.code, Some(1));
    assert!(failed.out.contains("hook look: it ended with exit status 1: not today"), "{failed:?}");
    assert!(!repository.exists());
    hook(&hooks, "look", "");
    let saved = saving.run(&["run", "--hooks-dir", &hooks_dir]).await.unwrap();
    assert_eq!(saved.code, Some(0), "{saved:?}");
    let archive = saving.archives().await.unwrap().remove(0);
    assert_eq!(fs::read_to_string(&note).unwrap(), format!("after failed\nafter ok {archive}\n"));
    hook(&hooks, "tell", "exit 9");
    let warned = saving.run(&["run", "--hooks-dir", &hooks_dir]).await.unwrap();
    assert_eq!(warned.code, Some(3), "{warned:?}");
    assert!(warned.out.contains("\"outcome\":\"warn\"") && warned.out.contains("hook tell"), "{warned:?}");
}

#[tokio::test]
async fn databases_are_saved_as_consistent_copies() {
    let saving = Saving::new().unwrap();
    let repository = saving.top().join("repository");
    let database = saving.top().join("it's a.db");
    let mut sqlite = command("sqlite3");
    sqlite.arg(&database).arg("PRAGMA journal_mode=wal; CREATE TABLE t (x); INSERT INTO t VALUES (42);");
    assert_eq!(run_to_end(sqlite).await.unwrap().code, Some(0));
    let lines = |database: &Path| {
        format!("repository = '{}'\n[hooks]\nsqlite = [\"{}\"]\n", repository.display(), database.display())
    };
    saving.write_job(&lines(&database)).unwrap();
    saving.save().await.unwrap();
    let state = saving.top().join("state/home/prepared/sqlite");
    let inner = |path: &Path| path.strip_prefix("/").unwrap().to_owned();
    let copy = repository.join("pi-1/home/latest").join(inner(&state)).join(inner(&database));
    let mut sqlite = command("sqlite3");
    sqlite.arg(&copy).arg("SELECT x FROM t");
    assert_eq!(run_to_end(sqlite).await.unwrap().out, "42\n");
    assert!(!saving.top().join("state/home/prepared").exists());
    saving.write_job(&lines(&saving.top().join("none.db"))).unwrap();
    let failed = saving.run(&["run"]).await.unwrap();
    assert_eq!(failed.code, Some(1));
    assert!(failed.out.contains("there is no database"), "{failed:?}");
    assert_eq!(saving.archives().await.unwrap().len(), 1);
}

/// A hook that holds something, such as a database's lock, hears that the run is over, and lets it go.
#[tokio::test]
async fn a_hook_is_asked_to_end_before_it_is_killed() {
    let saving = Saving::new().unwrap();
    let (hooks, begun, asked) = (saving.top().join("hooks"), saving.top().join("begun"), saving.top().join("asked"));
    saving
        .write_job(&format!(
            "repository = '{}'\n[hooks]\nbefore = ['hold']\n",
            saving.top().join("repository").display()
        ))
        .unwrap();
    let script = format!(
        "trap 'touch {}; exit 1' TERM\ntouch {}\nwhile :; do sleep 0.02; done",
        asked.display(),
        begun.display()
    );
    hook(&hooks, "hold", &script);
    let mut running = saving.start(&["run", "--hooks-dir", &hooks.display().to_string()]).unwrap();
    wait_until("the hook", async || begun.exists()).await.unwrap();
    running.signal(Signal::SIGTERM).unwrap();
    running.ended().await.unwrap();
    assert!(asked.exists(), "{}", running.log());
}
