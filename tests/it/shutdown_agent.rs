//! A board that is told to go down: its steps, what it tells of them, and how an order ends before the machine is off.

use rackhaven_proto::model::{ProgressState, ShutdownOrder, StepKind, StepOutcome};
use rackhaven_proto::v1;
use rackhaven_proto::v1::controller_message::Body as ToAgent;
use rackhaven_tests::wait_until;

use crate::shutdown_agent_board::*;

#[tokio::test]
async fn an_order_runs_through_its_steps_and_tells_them() {
    let mut board = Board::new().await;
    board.with_k3s("true");
    board.hook("20-second", &board.trace("second"));
    board.hook("10-first", &board.trace("first-$RACKHAVEN_ORDER-$RACKHAVEN_REASON-$RACKHAVEN_DRILL"));
    let mut session = board.up().await;
    let mut all = steps(LONG_MS);
    all.insert(0, rackhaven_proto::model::Step { kind: StepKind::Drain, timeout_ms: LONG_MS });
    give(&session, order("o-1", all.clone())).await;
    let draining = progress(&mut session, "the drain", |progress| progress.current == Some(StepKind::Drain)).await;
    assert_eq!((draining.state, draining.steps.len()), (ProgressState::Running, 0));
    assert!(board.traced().is_empty());
    let drained = v1::DrainEnded { order_id: "o-1".to_owned(), failure: String::new() };
    session.send(ToAgent::DrainEnded(drained)).await.unwrap();
    let last = progress(&mut session, "the end", |progress| progress.steps.len() == 7).await;
    assert_eq!((last.state, last.current, last.alone), (ProgressState::PoweringOff, None, false));
    let expected = [
        (StepKind::Drain, StepOutcome::Done),
        (StepKind::StopK3s, StepOutcome::Done),
        (StepKind::StopBackups, StepOutcome::Skipped),
        (StepKind::Hooks, StepOutcome::Done),
        (StepKind::Unmount, StepOutcome::Skipped),
        (StepKind::Sync, StepOutcome::Done),
        (StepKind::PowerOff, StepOutcome::Done),
    ];
    assert_eq!(outcomes(&last), expected);
    assert_eq!(board.traced(), ["k3s-stopped", "first-o-1-storm-0", "second"]);
    assert_eq!(board.pi.calls(), ["poweroff"]);
    // The same order again is answered, and not carried out again.
    give(&session, order("o-1", all)).await;
    assert_eq!(state(&mut session, ProgressState::PoweringOff).await, last);
    // It is too late to end it.
    abort(&session, "o-1").await;
    assert_eq!(state(&mut session, ProgressState::PoweringOff).await, last);
    // And another is not begun.
    give(&session, order("o-2", steps(LONG_MS))).await;
    let refused = progress(&mut session, "a refusal", |progress| progress.order_id.as_str() == "o-2").await;
    assert_eq!((refused.state, refused.message.as_str()), (ProgressState::Failed, "order o-1 is being carried out"));
    // What it told it tells again to whoever asks next.
    drop(session);
    let mut session = board.session().await;
    assert_eq!(state(&mut session, ProgressState::PoweringOff).await, last);
    assert_eq!(board.pi.calls(), ["poweroff"]);
    let (severity, message) = event(&mut session, "shutdown.begun").await;
    assert_eq!((severity, message.as_str()), (v1::Severity::Warning, "the node goes down: storm (order o-1)"));
}

#[tokio::test]
async fn a_step_that_hangs_costs_its_own_time_only() {
    for (kind, hangs) in [(StepKind::StopK3s, "k3s"), (StepKind::Hooks, "hook"), (StepKind::PowerOff, "power-off")] {
        let mut board = Board::new().await;
        let hang = "exec sleep 600";
        board.with_k3s(if hangs == "k3s" { hang } else { "true" });
        board.hook("10-a", if hangs == "hook" { hang } else { "true" });
        if hangs == "power-off" {
            let record = board.trace("poweroff");
            // Hangs once.
            let again = board.path("again").display().to_string();
            let script = format!("{record}; [ -e {again} ] || {{ touch {again}; {hang}; }}");
            board.pi.switched_by("false", &script);
        }
        let mut session = board.up().await;
        // A good power-off has to be through in that time, too, on a busy machine.
        let timeout_ms = if kind == StepKind::PowerOff { 3_000 } else { 300 };
        give(&session, order("o-1", steps_but(kind, timeout_ms))).await;
        if kind == StepKind::PowerOff {
            let failed = state(&mut session, ProgressState::Failed).await;
            assert_eq!(failed.message, "not done after 3000 ms");
            let done = progress(&mut session, "another try", |progress| progress.steps.len() == 6).await;
            assert_eq!(done.state, ProgressState::PoweringOff);
            assert_eq!(board.traced(), ["k3s-stopped", "poweroff", "poweroff"]);
            let (severity, message) = event(&mut session, "shutdown.failed").await;
            assert_eq!(severity, v1::Severity::Critical, "{message}");
            continue;
        }
        let done = progress(&mut session, "the end", |progress| progress.steps.len() == 6).await;
        assert_eq!(outcome(&done, kind).0, StepOutcome::TimedOut, "{done:?}");
        assert!(outcome(&done, kind).1.starts_with("not done after 300 ms"), "{done:?}");
        let other = done.steps.iter().filter(|step| step.kind != kind);
        assert!(other.clone().all(|step| matches!(step.outcome, StepOutcome::Done | StepOutcome::Skipped)), "{done:?}");
        assert_eq!(board.pi.calls(), ["poweroff"]);
    }
}

#[tokio::test]
async fn an_abort_in_any_step_undoes_what_was_done() {
    for kind in [StepKind::Drain, StepKind::StopK3s, StepKind::Hooks] {
        let mut board = Board::new().await;
        board.with_k3s(if kind == StepKind::StopK3s { "exec sleep 600" } else { "true" });
        let pid = board.path("pid");
        board.hook("10-a", &format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 600", pid.display()));
        let mut session = board.up().await;
        let mut all = steps(LONG_MS);
        if kind == StepKind::Drain {
            all.insert(0, rackhaven_proto::model::Step { kind, timeout_ms: LONG_MS });
        }
        give(&session, order("o-1", all.clone())).await;
        progress(&mut session, "the step", |progress| progress.current == Some(kind)).await;
        if kind == StepKind::StopK3s {
            board.wait_for_trace(&["k3s-stopped"]).await;
        } else if kind == StepKind::Hooks {
            wait_until("the hook", async || pid.exists()).await.unwrap();
        }
        abort(&session, "o-1").await;
        let aborted = state(&mut session, ProgressState::Aborted).await;
        assert_eq!(outcome(&aborted, kind).0, StepOutcome::Abandoned, "{aborted:?}");
        match kind {
            StepKind::Drain => assert!(board.traced().is_empty()),
            _ => board.wait_for_trace(&["k3s-stopped", "k3s-started"]).await,
        }
        if kind == StepKind::Hooks {
            wait_until("the end of the hook", async || !runs(&pid)).await.unwrap();
        }
        // That order is over for good; another is a new one.
        give(&session, order("o-1", all)).await;
        assert_eq!(state(&mut session, ProgressState::Aborted).await, aborted);
        give(&session, order("o-2", vec![steps(LONG_MS)[5]])).await;
        state(&mut session, ProgressState::PoweringOff).await;
        board.wait_for_power_off().await;
        assert_eq!(board.pi.calls(), ["poweroff"], "{kind}");
    }
}

#[tokio::test]
async fn an_abort_that_overtakes_its_order_counts() {
    let mut board = Board::new().await;
    let mut session = board.up().await;
    abort(&session, "o-1").await;
    state(&mut session, ProgressState::Aborted).await;
    give(&session, order("o-1", steps(LONG_MS))).await;
    let over = state(&mut session, ProgressState::Aborted).await;
    assert_eq!(over.message, "this order is over");
    assert!(board.pi.calls().is_empty());
}

#[tokio::test]
async fn a_drill_does_all_but_the_power_off_and_gives_way_to_a_shutdown() {
    let mut board = Board::new().await;
    board.with_k3s("true");
    let gate = board.path("gate");
    let wait = format!("until [ -e {} ]; do sleep 0.05; done", gate.display());
    board.hook("10-a", &format!("{}; [ $RACKHAVEN_DRILL = 0 ] || {wait}", board.trace("hook-$RACKHAVEN_DRILL")));
    let mut session = board.up().await;
    let drill = |id: &str| {
        let order = order(id, steps(LONG_MS));
        ShutdownOrder { drill: true, steps: order.steps.rehearsal(), ..order }
    };
    std::fs::write(&gate, "").unwrap();
    give(&session, drill("d-1")).await;
    let drilled = state(&mut session, ProgressState::Drilled).await;
    assert_eq!(outcomes(&drilled).len(), 5);
    assert_eq!(outcome(&drilled, StepKind::Hooks).0, StepOutcome::Done);
    board.wait_for_trace(&["k3s-stopped", "hook-1", "k3s-started"]).await;
    assert!(board.pi.calls().is_empty());
    // Another one is in its hook when it becomes serious.
    std::fs::remove_file(&gate).unwrap();
    give(&session, drill("d-2")).await;
    board.wait_for_trace(&["k3s-stopped", "hook-1", "k3s-started", "k3s-stopped", "hook-1"]).await;
    give(&session, drill("d-3")).await;
    let refused = progress(&mut session, "a refusal", |progress| progress.order_id.as_str() == "d-3").await;
    assert_eq!(refused.state, ProgressState::Failed);
    give(&session, order("o-1", steps(LONG_MS))).await;
    let dropped =
        progress(&mut session, "the dropped drill", |progress| progress.state == ProgressState::Aborted).await;
    assert_eq!((dropped.order_id.as_str(), dropped.message.as_str()), ("d-2", "a shutdown goes first"));
    let done = progress(&mut session, "the end", |progress| progress.steps.len() == 6).await;
    assert_eq!(done.order_id.as_str(), "o-1");
    board.wait_for_power_off().await;
    assert_eq!(board.traced().last().unwrap(), "hook-0");
}

#[tokio::test]
async fn a_machine_that_cannot_be_switched_off_is_told_and_can_be_kept() {
    let mut board = Board::new().await;
    board.pi.switched_by("false", &format!("{}; echo the bus is gone >&2; exit 1", board.trace("poweroff")));
    let mut session = board.up().await;
    give(&session, order("o-1", steps(LONG_MS))).await;
    let failed = state(&mut session, ProgressState::Failed).await;
    assert!(failed.message.contains("exit status: 1: the bus is gone"), "{failed:?}");
    let (severity, message) = event(&mut session, "shutdown.failed").await;
    assert_eq!(severity, v1::Severity::Critical);
    assert!(message.contains("the bus is gone"), "{message}");
    wait_until("another try", async || board.traced().len() > 1).await.unwrap();
    // Nothing takes it down any more between two tries.
    abort(&session, "o-1").await;
    state(&mut session, ProgressState::Aborted).await;
}

#[tokio::test]
async fn hooks_that_fail_or_could_be_anybodys_are_told_and_keep_nobody_up() {
    use std::os::unix::fs::PermissionsExt;
    let mut board = Board::new().await;
    board.hook("10-fails", "echo no room >&2; exit 3");
    board.hook("20-anybodys", &board.trace("anybodys"));
    let path = board.path("pi-1.hooks/20-anybodys");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
    board.hook("30-slow", "exec sleep 600");
    board.pi.settings.set("shutdown.hook_timeout_seconds", 1);
    board.hook("40-good", &board.trace("good"));
    let mut session = board.up().await;
    give(&session, order("o-1", steps(LONG_MS))).await;
    let done = progress(&mut session, "the end", |progress| progress.steps.len() == 6).await;
    let (outcome, message) = outcome(&done, StepKind::Hooks);
    assert_eq!(outcome, StepOutcome::Failed);
    for told in [
        "10-fails: \"",
        "exit status: 3: no room",
        "20-anybodys is not run: others than root may write to it",
        "30-slow: \"",
        "was not done after 1000 ms",
    ] {
        assert!(message.contains(told), "{told:?} is not in {message:?}");
    }
    assert_eq!(board.traced(), ["good"]);
    assert_eq!(board.pi.calls(), ["poweroff"]);
    let (severity, message) = event(&mut session, "shutdown.step").await;
    assert_eq!(severity, v1::Severity::Warning);
    assert!(message.contains("no room"), "{message}");
}

#[tokio::test]
async fn what_k3s_leaves_running_is_ended_but_not_in_a_drill() {
    let mut board = Board::new().await;
    board.with_systemctl("$*");
    let mut session = board.up().await;
    let rehearsed = order("d-1", steps(LONG_MS));
    give(&session, ShutdownOrder { drill: true, steps: rehearsed.steps.rehearsal(), ..rehearsed }).await;
    state(&mut session, ProgressState::Drilled).await;
    let [is_active, stop] = ["is-active", "stop"].map(|verb| format!("{verb} k3s-agent.service"));
    let drilled = [is_active.as_str(), &stop, "start --no-block k3s-agent.service"];
    board.wait_for_trace(&drilled).await;
    give(&session, order("o-1", steps_but(StepKind::StopK3s, 6000))).await;
    let done = state(&mut session, ProgressState::PoweringOff).await;
    assert_eq!(outcome(&done, StepKind::StopK3s).0, StepOutcome::Done);
    let ended = ["kill --signal=TERM kubepods.slice", "kill --signal=KILL k3s-agent.service kubepods.slice"];
    board.wait_for_trace(&[&drilled[..], &drilled[..2], &ended].concat()).await;
}
