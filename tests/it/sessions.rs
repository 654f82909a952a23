//! What the controller knows of a node's life, whoever dies.

use nix::sys::signal::Signal;
use rackhaven_proto::model::NodeState;
use rackhaven_proto::v1::Verdict;
use rackhaven_tests::{Fleet, wait_until};

/// How many reloads of a node a dead controller has on its disk.
fn on_disk(fleet: &Fleet, node: &str) -> usize {
    let database = rusqlite::Connection::open(fleet.state().join("controller.db")).unwrap();
    let sql = "SELECT count(*) FROM events WHERE kind = 'agent.reloaded' AND node = ?1";
    database.query_row(sql, [node], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap()
}

#[tokio::test]
async fn a_killed_controller_loses_nothing_and_repeats_nothing() {
    let mut fleet = Fleet::start().await.unwrap();
    let names = ["pi-1", "pi-2", "pi-3"];
    let mut agents = Vec::new();
    for name in names {
        agents.push(fleet.join(name).await.unwrap());
    }
    const ROUNDS: usize = 2;
    for round in 1..=ROUNDS {
        // While it is there,
        for (agent, name) in agents.iter_mut().zip(names) {
            agent.reload().unwrap();
            fleet.wait_for_events(name, "agent.reloaded", 4 * round - 3).await.unwrap();
            fleet.wait_for_kept(agent, 0).await.unwrap();
        }
        // in the instant in which it dies,
        for agent in &mut agents {
            agent.reload().unwrap();
        }
        fleet.kill_controller().await.unwrap();
        for (agent, name) in agents.iter_mut().zip(names) {
            // Signals that wait together are one: each is awaited before the next is sent.
            wait_until("the event of that instant", async || {
                agent.waiting_events() == 1 || on_disk(&fleet, name) == 4 * round - 2
            })
            .await
            .unwrap();
            // and while it is away.
            for _ in 0..2 {
                let before = agent.waiting_events();
                agent.reload().unwrap();
                wait_until("the event", async || agent.waiting_events() > before).await.unwrap();
            }
        }
        fleet.start_controller().await.unwrap();
        for (agent, name) in agents.iter().zip(names) {
            fleet.wait_for_state(name, NodeState::Up).await.unwrap();
            fleet.wait_for_events(name, "agent.reloaded", 4 * round).await.unwrap();
            fleet.wait_for_kept(agent, 0).await.unwrap();
        }
    }
    for name in names {
        assert_eq!(fleet.events(name, "agent.reloaded").await.unwrap().len(), 4 * ROUNDS, "{name}");
        assert_eq!(fleet.events(name, "agent.started").await.unwrap().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_killed_agent_is_suspect_then_down_and_says_so_when_it_is_back() {
    // Slow enough that no state is missed.
    let fleet = Fleet::start_with(&[("session.down_after_missed", "15")]).await.unwrap();
    let _other = fleet.join("pi-2").await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    pi.kill().await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Suspect).await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Down).await.unwrap();
    let status = fleet.client().status().await.unwrap();
    assert_ne!(status.verdict(), Verdict::Ok);
    assert!(status.verdict_reason.starts_with("1 of 2 nodes down (pi-1)"), "{}", status.verdict_reason);
    assert_eq!(status.nodes[0].name, "pi-1", "the worst comes first");
    fleet.wait_for_events("pi-1", "node.down", 1).await.unwrap();
    pi.start().unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    let started = fleet.wait_for_events("pi-1", "agent.started", 2).await.unwrap();
    assert!(started[1].message.contains("after it was killed"), "{started:?}");
    let up = fleet.wait_for_events("pi-1", "node.up", 2).await.unwrap();
    assert!(up[1].message.contains("up again, it was down"), "{up:?}");
    let shown = fleet.ctl().json("node show pi-1").await.unwrap();
    assert_eq!(shown["last_run"]["ending"], "agent_killed");
    let audit = fleet.client().audit().await.unwrap();
    assert!(audit.iter().all(|record| record.outcome == "ok"), "to die is no offence: {audit:?}");
}

#[tokio::test]
async fn a_clean_stop_is_known_as_one() {
    let fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    pi.stop().await.unwrap();
    let stopped = fleet.wait_for_events("pi-1", "agent.stopped", 1).await.unwrap();
    assert!(stopped[0].message.contains("SIGTERM"), "{stopped:?}");
    pi.start().unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    let started = fleet.wait_for_events("pi-1", "agent.started", 2).await.unwrap();
    assert!(started[1].message.contains("after SIGTERM"), "{started:?}");
    let shown = fleet.ctl().json("node show pi-1").await.unwrap();
    assert_eq!((&shown["last_run"]["ending"], &shown["last_run"]["reason"]), (&"clean".into(), &"SIGTERM".into()));
}

#[tokio::test]
async fn a_frozen_agent_is_missed_and_recovers() {
    let fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    pi.daemon().unwrap().signal(Signal::SIGSTOP).unwrap();
    fleet.wait_for_state("pi-1", NodeState::Down).await.unwrap();
    pi.daemon().unwrap().signal(Signal::SIGCONT).unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    pi.reload().unwrap();
    fleet.wait_for_events("pi-1", "agent.reloaded", 1).await.unwrap();
    assert_eq!(fleet.events("pi-1", "agent.started").await.unwrap().len(), 1, "it ran on");
}

#[tokio::test]
async fn a_frozen_controller_is_waited_for() {
    let mut fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    fleet.controller().unwrap().signal(Signal::SIGSTOP).unwrap();
    pi.reload().unwrap();
    fleet.wait_for_kept(&pi, 1).await.unwrap();
    fleet.controller().unwrap().signal(Signal::SIGCONT).unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    fleet.wait_for_kept(&pi, 0).await.unwrap();
    assert_eq!(fleet.events("pi-1", "agent.reloaded").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_new_controller_does_not_take_a_node_for_up_that_is_not() {
    let mut fleet = Fleet::start().await.unwrap();
    let mut off = fleet.join("pi-1").await.unwrap();
    let mut gone = fleet.join("pi-2").await.unwrap();
    let _there = fleet.join("pi-3").await.unwrap();
    fleet.ctl().ok("node poweroff pi-1 --yes").await.unwrap();
    off.stop().await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Off).await.unwrap();
    fleet.wait_for_events("pi-1", "node.off", 1).await.unwrap();
    fleet.kill_controller().await.unwrap();
    gone.kill().await.unwrap();
    fleet.start_controller().await.unwrap();
    fleet.wait_for_state("pi-3", NodeState::Up).await.unwrap();
    assert_eq!(fleet.client().state("pi-1").await.unwrap(), NodeState::Off);
    assert_eq!(fleet.client().state("pi-2").await.unwrap(), NodeState::Unknown);
    let shown = fleet.ctl().json("node show pi-2").await.unwrap();
    assert!(shown["facts"]["cpu_count"].is_number(), "what it is was not forgotten: {shown:#}");
    // It may take as long to come back as the longest back-off.
    fleet.wait_for_state("pi-2", NodeState::Down).await.unwrap();
    gone.start().unwrap();
    off.start().unwrap();
    fleet.wait_for_state("pi-2", NodeState::Up).await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
}
