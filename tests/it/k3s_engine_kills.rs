//! K3s's engine killed at any moment: the same order again converges, and its opposite leaves nothing behind.

use std::process::Command;

use rackhaven_proto::model::k3s::K3sTask;
use rackhaven_tests::k3s::{Board, DoubleRelease, VERSION};
use rackhaven_tests::process::{Daemon, command, run_to_end};
use rackhaven_tests::wait::{PATIENCE, wait_closely};

use crate::k3s_engine::{first, install, release};

/// Kills the engine while it is in this step, or just behind it.
async fn kill_in(board: &Board, release: Option<&DoubleRelease>, task: K3sTask, step: &str) {
    let engine = board.engine(release, task, 60).unwrap();
    let _ = std::fs::remove_file(board.agent_folder().join("status"));
    let mut engine = Daemon::start("engine", engine, &board.agent_folder()).unwrap();
    wait_closely(PATIENCE, step, async || {
        let steps = board.status().map(|news| news.steps).unwrap_or_default();
        Ok((steps.iter().any(|it| it.name == step) || engine.poll_end()?.is_some()).then_some(()))
    })
    .await
    .unwrap();
    engine.kill().await.ok();
}

#[tokio::test]
async fn killed_in_each_step_it_converges() {
    let board = Board::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), VERSION);
    board.bind_own_address().unwrap();
    let before = board.tree().unwrap();
    let settings = first(true);
    let install = || install(&settings, &release);
    for step in ["files", "claim", "program", "images", "configuration", "unit", "start", "ready", "access"] {
        kill_in(&board, Some(&release), install(), step).await;
        let done = board.order(Some(&release), install()).await.unwrap().fine().unwrap();
        assert!(done.report().access.is_some(), "{step}");
        let again = board.order(Some(&release), install()).await.unwrap().fine().unwrap();
        assert!(again.steps().iter().all(|step| step.ends_with(" unchanged")), "{step}: {:?}", again.steps());
        // Its opposite, killed as well.
        let opposite = match step {
            "files" => "stop",
            "claim" => "processes",
            "program" => "mounts",
            "images" => "network",
            "configuration" => "rules",
            "unit" => "files",
            _ => "forget",
        };
        kill_in(&board, None, K3sTask::Remove, opposite).await;
        board.order(None, K3sTask::Remove).await.unwrap().fine().unwrap();
        assert_eq!(board.tree().unwrap(), before, "{step}, {opposite}");
    }
}

#[tokio::test]
async fn killed_at_each_change_of_a_name_it_can_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), VERSION);
    let settings = first(false);
    let log = folder.path().join("log");
    // Processors differ in which of them they have.
    const CALLS: &str = "rename,renameat,renameat2";
    let trace = format!("--trace={CALLS}");
    // What systemd starts for it goes on, and is not hurt.
    let under_strace = |engine: &Command, words: &[&str]| {
        let mut strace = command("strace");
        strace.arg("-qqq").arg("-o").arg(&log).args(words).arg("--").arg(engine.get_program()).args(engine.get_args());
        engine.get_envs().filter_map(|(name, value)| Some((name, value?))).for_each(|(name, value)| {
            strace.env(name, value);
        });
        strace
    };
    let fresh = || {
        let board = Board::new().unwrap();
        board.put("/etc/rancher/k3s/config.yaml.d/bad.yaml", "node-label: [bad]\n").unwrap();
        board
    };
    // How often it gives a name until K3s is started, which does not come up.
    let board = fresh();
    let engine = board.engine(Some(&release), install(&settings, &release), 1).unwrap();
    run_to_end(under_strace(&engine, &[&trace])).await.unwrap();
    let most = std::fs::read_to_string(&log).unwrap().lines().filter(|line| line.starts_with("rename")).count();
    assert!(most > 20, "{most} names given");
    drop(board);
    for number in 1..most {
        let board = fresh();
        let before = board.tree().unwrap();
        let engine = board.engine(Some(&release), install(&settings, &release), 1).unwrap();
        let fault = format!("--inject={CALLS}:signal=KILL:when={number}");
        run_to_end(under_strace(&engine, &[&trace, &fault])).await.unwrap();
        let removed = board.order(None, K3sTask::Remove).await.unwrap().fine().unwrap();
        assert_eq!(board.tree().unwrap(), before, "killed at {number}: {:?}", removed.steps());
    }
}
