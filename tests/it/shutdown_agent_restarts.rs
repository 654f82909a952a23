//! A board that goes down while its agent is killed, its controller is gone, its boot ends, or its disk fails.

use std::fs;
use std::time::Duration;

use rackhaven_proto::model::{ProgressState, StepKind, StepOutcome};
use rackhaven_proto::v1;
use rackhaven_proto::v1::controller_message::Body as ToAgent;
use rackhaven_tests::wait::wait_for_within;
use rackhaven_tests::{SmallDisk, wait_until};

use crate::shutdown_agent_board::*;

#[tokio::test]
async fn an_agent_that_is_killed_in_any_step_goes_on_and_repeats_nothing() {
    for kind in [StepKind::Drain, StepKind::StopK3s, StepKind::Hooks, StepKind::PowerOff] {
        let mut board = Board::new().await;
        let gate = board.path("gate");
        let wait = format!("until [ -e {} ]; do sleep 0.05; done", gate.display());
        let gated = |at: StepKind| if at == kind { wait.as_str() } else { "true" };
        board.with_k3s(gated(StepKind::StopK3s));
        board.hook("10-a", &board.trace("a"));
        board.hook("20-b", &format!("{}; {}", board.trace("b"), gated(StepKind::Hooks)));
        board.hook("30-c", &board.trace("c"));
        board.pi.switched_by("false", &format!("{}; {}", board.trace("poweroff"), gated(StepKind::PowerOff)));
        let mut session = board.up().await;
        let mut all = steps_but(StepKind::PowerOff, 2_000);
        if kind == StepKind::Drain {
            all.insert(0, rackhaven_proto::model::Step { kind, timeout_ms: LONG_MS });
        }
        give(&session, order("o-1", all)).await;
        let reached: &[&str] = match kind {
            StepKind::StopK3s => &["k3s-stopped"],
            StepKind::Hooks => &["k3s-stopped", "a", "b"],
            StepKind::PowerOff => &["k3s-stopped", "a", "b", "c", "poweroff"],
            _ => &[],
        };
        progress(&mut session, "the step", |progress| progress.current == Some(kind)).await;
        board.wait_for_trace(reached).await;
        let mut session = board.killed_and_up().await;
        let resumed = progress(&mut session, "the order", |progress| progress.order_id.as_str() == "o-1").await;
        assert!(!resumed.alone, "{resumed:?}");
        fs::write(&gate, "").unwrap();
        if kind == StepKind::Drain {
            let drained = v1::DrainEnded { order_id: "o-1".to_owned(), failure: "no room".to_owned() };
            session.send(ToAgent::DrainEnded(drained)).await.unwrap();
        }
        let count = if kind == StepKind::Drain { 7 } else { 6 };
        // It may be through before there is a session again.
        let done = match resumed.steps.len() == count {
            true => resumed,
            false => progress(&mut session, "the end", |progress| progress.steps.len() == count).await,
        };
        assert_eq!(done.state, ProgressState::PoweringOff);
        let traced: &[&str] = match kind {
            // Stopping twice is stopping once.
            StepKind::StopK3s => &["k3s-stopped", "k3s-stopped", "a", "b", "c", "poweroff"],
            // The earlier call may have been for nothing: the machine is still here when its time is over.
            StepKind::PowerOff => &["k3s-stopped", "a", "b", "c", "poweroff", "poweroff"],
            _ => &["k3s-stopped", "a", "b", "c", "poweroff"],
        };
        assert_eq!(board.traced(), traced, "{kind}");
        match kind {
            StepKind::Drain => assert_eq!(outcome(&done, kind), (StepOutcome::Failed, "no room")),
            StepKind::Hooks => assert_eq!(outcome(&done, kind), (StepOutcome::Abandoned, "20-b was cut short")),
            _ => assert_eq!(outcome(&done, kind).0, StepOutcome::Done),
        }
        // Once more, now that the machine has taken the order.
        let mut session = board.killed_and_up().await;
        assert_eq!(state(&mut session, ProgressState::PoweringOff).await, done);
        assert_eq!(board.traced(), traced, "{kind}");
    }
}

#[tokio::test]
async fn an_agent_that_is_stopped_in_a_step_goes_on_with_it() {
    let mut board = Board::new().await;
    board.with_k3s("exec sleep 600");
    let session = board.up().await;
    give(&session, order("o-1", steps_but(StepKind::StopK3s, 30_000))).await;
    board.wait_for_trace(&["k3s-stopped"]).await;
    board.pi.stop().await.unwrap();
    board.with_k3s("true");
    let mut session = board.up().await;
    let done = progress(&mut session, "the end", |progress| progress.steps.len() == 6).await;
    assert_eq!(outcome(&done, StepKind::StopK3s).0, StepOutcome::Done);
    assert_eq!(board.pi.calls(), ["poweroff"]);
}

#[tokio::test]
async fn the_next_boot_reports_how_the_stop_went_until_that_is_stored() {
    let mut board = Board::new().await;
    let session = board.up().await;
    give(&session, order("o-1", steps(LONG_MS))).await;
    board.wait_for_power_off().await;
    wait_until("the end of the power-off to be written down", async || {
        let text = fs::read_to_string(board.pi.state().join("shutdown")).unwrap_or_default();
        text.contains(r#""kind":"power-off","outcome":"done""#)
    })
    .await
    .unwrap();
    board.pi.stop().await.unwrap();
    let first_boot = board.pi.boot_id();
    board.pi.boot_again();
    for stored in [false, true] {
        let mut session = board.up().await;
        let told = report(&mut session).await;
        assert_eq!((told.boot_id.as_str(), told.clean, told.steps.len()), (first_boot.as_str(), true, 6));
        assert_eq!(told.order_id.unwrap().as_str(), "o-1");
        if stored {
            let stored = v1::StopReportStored { boot_id: first_boot.clone() };
            session.send(ToAgent::StopReportStored(stored)).await.unwrap();
            // The order of the boot before is not carried out in this one.
            give(&session, order("o-1", steps(LONG_MS))).await;
            let over = state(&mut session, ProgressState::PoweringOff).await;
            assert_eq!((over.steps.len(), over.message.as_str()), (0, "this order is over"));
        }
        board.pi.kill().await.unwrap();
    }
    assert_eq!(board.pi.calls(), ["poweroff"]);
    // Nothing is left to report, until a boot ends that nobody ordered to.
    let mut session = board.up().await;
    assert!(nothing_to_report(&mut session).await, "it is reported again");
    board.pi.kill().await.unwrap();
    let second_boot = board.pi.boot_id();
    board.pi.boot_again();
    let mut session = board.up().await;
    let told = report(&mut session).await;
    assert_eq!((told.boot_id, told.clean, told.order_id), (second_boot, false, None));
}

#[tokio::test]
async fn a_boot_that_ends_in_the_middle_of_an_order_is_not_clean() {
    let mut board = Board::new().await;
    board.hook("10-a", &format!("{}; exec sleep 600", board.trace("a")));
    let session = board.up().await;
    give(&session, order("o-1", steps(LONG_MS))).await;
    notice(&session, Some(("o-2", 100)), false).await;
    board.wait_for_trace(&["a"]).await;
    board.pi.kill().await.unwrap();
    board.pi.boot_again();
    let mut session = board.up().await;
    let told = report(&mut session).await;
    assert_eq!((told.clean, told.order_id.unwrap().as_str(), told.steps.len()), (false, "o-1", 2));
    let (severity, message) = event(&mut session, "shutdown.unclean").await;
    assert_eq!(severity, v1::Severity::Warning);
    assert!(message.contains("o-1"), "{message}");
    assert!(board.pi.calls().is_empty());
}

#[tokio::test]
async fn a_board_that_hears_nothing_more_on_battery_acts_at_its_moment() {
    for killed in [false, true] {
        let mut board = Board::new().await;
        let session = board.up().await;
        let begin_in_ms = if killed { 3_000 } else { 1_000 };
        notice(&session, Some(("o-1", begin_in_ms)), false).await;
        wait_until("the plan", async || {
            fs::read_to_string(board.pi.state().join("shutdown")).is_ok_and(|text| text.contains("o-1"))
        })
        .await
        .unwrap();
        assert!(board.pi.calls().is_empty());
        // Nobody is there any more who could be heard.
        let controller =
            std::mem::replace(&mut board.controller, rackhaven_tests::impostor::FakeController::start().await.unwrap());
        drop((session, controller));
        if killed {
            board.pi.kill().await.unwrap();
            board.pi.start().unwrap();
        }
        board.wait_for_power_off().await;
        assert_eq!(board.pi.calls(), ["poweroff"]);
        assert!(board.pi.log().contains("the node goes down alone"), "{}", board.pi.log());
    }
}

#[tokio::test]
async fn a_board_that_acts_alone_tells_it_and_stays_when_there_is_mains() {
    let mut board = Board::new().await;
    board.with_k3s("true");
    board.hook("10-a", &format!("{}; exec sleep 600", board.trace("a")));
    let mut session = board.up().await;
    notice(&session, Some(("o-1", 200)), false).await;
    let alone = progress(&mut session, "the hooks", |progress| progress.current == Some(StepKind::Hooks)).await;
    assert!(alone.alone && alone.state == ProgressState::Running, "{alone:?}");
    board.wait_for_trace(&["k3s-stopped", "a"]).await;
    notice(&session, None, false).await;
    let aborted = state(&mut session, ProgressState::Aborted).await;
    assert_eq!(aborted.message, "there is mains again");
    board.wait_for_trace(&["k3s-stopped", "a", "k3s-started"]).await;
    assert!(board.pi.calls().is_empty());
}

#[tokio::test]
async fn neither_mains_nor_a_boot_leaves_a_plan_to_act_alone() {
    let mut board = Board::new().await;
    let session = board.up().await;
    notice(&session, Some(("o-1", 1_500)), false).await;
    notice(&session, None, false).await;
    drop(session);
    let session = board.session().await;
    notice(&session, Some(("o-2", 4_000)), false).await;
    wait_until("the plan", async || {
        fs::read_to_string(board.pi.state().join("shutdown")).is_ok_and(|text| text.contains("o-2"))
    })
    .await
    .unwrap();
    board.pi.kill().await.unwrap();
    board.pi.boot_again();
    let mut session = board.up().await;
    // Another plan, whose moment is after those of both.
    notice(&session, Some(("o-3", 5_000)), false).await;
    let began = progress(&mut session, "an order", |_| true).await;
    assert_eq!(began.order_id.as_str(), "o-3");
}

#[tokio::test]
async fn a_damaged_record_is_set_aside_and_told() {
    let mut board = Board::new().await;
    let mut session = board.up().await;
    abort(&session, "o-1").await;
    state(&mut session, ProgressState::Aborted).await;
    board.pi.kill().await.unwrap();
    let path = board.pi.state().join("shutdown");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let mut session = board.up().await;
    let (severity, message) = event(&mut session, "state.damaged").await;
    assert_eq!(severity, v1::Severity::Critical);
    assert!(message.contains("shutdown.corrupt-1"), "{message}");
    give(&session, order("o-2", steps(LONG_MS))).await;
    board.wait_for_power_off().await;
}

#[tokio::test]
async fn a_full_or_read_only_disk_keeps_no_board_up() {
    for read_only in [false, true] {
        let mut board = Board::new().await;
        let disk = SmallDisk::mount(&board.path("disk"), 256 * 1024).unwrap();
        board.pi.keep_state_in(disk.path());
        board.enrol();
        let mut session = board.up().await;
        match read_only {
            true => disk.set_read_only(true).unwrap(),
            false => disk.fill().unwrap(),
        }
        give(&session, order("o-1", steps(LONG_MS))).await;
        let done = progress(&mut session, "the end", |progress| progress.steps.len() == 6).await;
        assert_eq!(done.state, ProgressState::PoweringOff);
        assert_eq!(board.pi.calls(), ["poweroff"]);
        assert!(board.pi.log().contains("how far the shutdown is could not be written down"), "{}", board.pi.log());
    }
}

#[tokio::test]
async fn k3s_is_held_across_a_boot_and_let_go_by_a_word_or_by_time() {
    let mut board = Board::new().await;
    board.with_k3s("true");
    board.pi.settings.set("k3s.hold_max_seconds", 1);
    board.with_systemctl("systemctl-$1");
    let held = board.path("pi-1.systemd/k3s-agent.service.d/90-rackhaven-hold.conf");
    let session = board.up().await;
    // On battery the hold is for the boot to come: what runs is drained first.
    notice(&session, Some(("o-1", 600_000)), true).await;
    wait_until("the hold", async || held.exists()).await.unwrap();
    board.wait_for_trace(&["systemctl-daemon-reload"]).await;
    board.pi.kill().await.unwrap();
    board.pi.boot_again();
    let session = board.up().await;
    notice(&session, None, true).await;
    assert!(held.exists());
    notice(&session, None, false).await;
    board.wait_for_trace(&["systemctl-daemon-reload", "systemctl-daemon-reload", "k3s-started"]).await;
    // Not even the folder for it.
    assert!(!held.parent().unwrap().exists());
    // On mains what runs is stopped.
    notice(&session, None, true).await;
    wait_until("the hold", async || held.exists()).await.unwrap();
    wait_until("the stop", async || board.traced().last().is_some_and(|word| word == "k3s-stopped")).await.unwrap();
    board.pi.kill().await.unwrap();
    drop(session);
    // And nobody says anything any more.
    board.controller = rackhaven_tests::impostor::FakeController::start().await.unwrap();
    board.pi.boot_again();
    board.pi.start().unwrap();
    wait_until("the end of the hold", async || !held.exists()).await.unwrap();
    let started = async || Ok(board.traced().last().is_some_and(|word| word == "k3s-started").then_some(()));
    wait_for_within(Duration::from_secs(20), "the start", started).await.unwrap();
}
