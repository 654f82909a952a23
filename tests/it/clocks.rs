//! Boards whose wall clock is wrong.

use rackhaven_agent::host::Clock;
use rackhaven_agent::host::linux::LinuxClock;
use rackhaven_agent::state::StateFolder;
use rackhaven_pki::clock::SystemClock;
use rackhaven_proto::model::NodeState;
use rackhaven_tests::{Agent, FakeTime, Fleet, wait_for, wait_until};

/// A Raspberry Pi after a power cut, without a network's time.
const FIRST_OF_1970: &str = "@1970-01-02 00:00:00";
const DAY_MS: i64 = 24 * 3600 * 1000;

/// A machine that lives by a wrong clock.
fn machine(fleet: &Fleet, reading: &str) -> (Agent, FakeTime) {
    let clock = FakeTime::new(&fleet.folder().join("clock"), reading).unwrap();
    let mut pi = fleet.machine("pi-1");
    pi.environment = clock.environment();
    (pi, clock)
}

async fn join(fleet: &Fleet, pi: &mut Agent) {
    let token = fleet.invite("--name pi-1").await.unwrap();
    let joined = pi.join(&fleet.endpoint(), &token, "").await.unwrap();
    assert_eq!(joined.code, Some(0), "{joined:?}");
    pi.start().unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
}

/// Waits until the node's clock is known to be wrong by about so much.
async fn skewed_by(fleet: &Fleet, expected_ms: i64) {
    wait_for(&format!("a skew of {expected_ms} ms"), async || {
        let node = fleet.client().node("pi-1").await?.summary.unwrap();
        Ok(node.clock_skew_ms.filter(|skew| (skew - expected_ms).abs() < 60_000))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_board_in_1970_joins_stays_and_comes_back() {
    let mut fleet = Fleet::start().await.unwrap();
    let (mut pi, _clock) = machine(&fleet, FIRST_OF_1970);
    let began_ms = SystemClock::unix_ms();
    join(&fleet, &mut pi).await;
    skewed_by(&fleet, DAY_MS - SystemClock::unix_ms()).await;
    let shown = fleet.ctl().json("node show pi-1").await.unwrap();
    assert!(shown["clock_skew_seconds"].as_f64().unwrap() < -1e9, "{shown:#}");
    let problems = shown["problems"].as_array().unwrap();
    // This machine's own disk may be full.
    assert!(problems.iter().any(|told| told.as_str().unwrap().starts_with("clock 56 years behind")), "{shown:#}");

    // What happens while nobody listens has its right time all the same, and after a restart.
    fleet.wait_for_kept(&pi, 0).await.unwrap();
    fleet.stop_controller().await.unwrap();
    pi.reload().unwrap();
    fleet.wait_for_kept(&pi, 1).await.unwrap();
    let reloaded_ms = SystemClock::unix_ms();
    pi.kill().await.unwrap();
    fleet.start_controller().await.unwrap();
    pi.start().unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    fleet.wait_for_events("pi-1", "agent.started", 2).await.unwrap();
    let events = fleet.client().events().await.unwrap();
    for event in events.iter().filter(|event| event.node == "pi-1") {
        assert!((began_ms..=SystemClock::unix_ms()).contains(&event.happened_unix_ms), "{event:?}");
    }
    let reloaded = events.iter().find(|event| event.kind == "agent.reloaded").unwrap();
    assert!(reloaded.happened_unix_ms <= reloaded_ms, "{reloaded:?}");
    fleet.ctl().ok("node reboot pi-1 --yes").await.unwrap();
    assert_eq!(pi.calls(), ["reboot"]);
    assert_eq!(pi.log().matches("session open").count(), 2, "no session broke: {}", pi.log());
}

#[tokio::test]
async fn a_clock_that_jumps_breaks_nothing() {
    let fleet = Fleet::start().await.unwrap();
    let (mut pi, clock) = machine(&fleet, FIRST_OF_1970);
    join(&fleet, &mut pi).await;
    skewed_by(&fleet, DAY_MS - SystemClock::unix_ms()).await;
    for (reading, skew_ms) in [("+0", 0), ("+40d", 40 * DAY_MS), ("-3d", -3 * DAY_MS), ("+0", 0)] {
        clock.set(reading).unwrap();
        skewed_by(&fleet, skew_ms).await;
        assert_eq!(fleet.client().state("pi-1").await.unwrap(), NodeState::Up);
    }
    fleet.ctl().ok("node reboot pi-1 --yes").await.unwrap();
    assert_eq!(fleet.events("pi-1", "node.down").await.unwrap().len(), 0);
    assert_eq!(pi.log().matches("session open").count(), 1, "{}", pi.log());
    let problems = fleet.client().node("pi-1").await.unwrap().summary.unwrap().problems;
    assert!(!problems.iter().any(|told| told.starts_with("clock")), "{problems:?}");
}

/// A certificate that ends before the wrong clock's time is refused only if the kernel vouches for that clock: on a
/// board without a network's time, the controller is more likely to be right.
#[tokio::test]
async fn a_clock_40_days_ahead_is_believed_only_if_the_kernel_vouches_for_it() {
    let month = (30 * 24 * 3600).to_string();
    let settings = [("certificates.server_life_seconds", month.as_str())];
    let fleet = Fleet::start_with(&settings).await.unwrap();
    let (mut pi, _clock) = machine(&fleet, "+40d");
    let token = fleet.invite("--name pi-1").await.unwrap();
    let joined = pi.join(&fleet.endpoint(), &token, "").await.unwrap();
    if LinuxClock.synchronised() {
        assert_eq!(joined.code, Some(1), "{joined:?}");
        assert!(joined.err.contains("either this clock is wrong by"), "{}", joined.err);
        return;
    }
    assert_eq!(joined.code, Some(0), "{joined:?}");
    pi.start().unwrap();
    skewed_by(&fleet, 40 * DAY_MS).await;
    fleet.ctl().ok("node reboot pi-1 --yes").await.unwrap();
}

#[tokio::test]
async fn what_has_expired_for_certain_is_refused_with_a_word_about_clocks() {
    let fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    pi.stop().await.unwrap();
    // A controller has vouched for a moment after the end of the certificate that is shown now.
    let end_s = SystemClock::unix_ms() / 1000 + 500 * 24 * 3600;
    StateFolder::open(pi.state()).unwrap().save_clock_floor(end_s).unwrap();
    pi.start().unwrap();
    wait_until("the refusal", async || pi.log().contains("either this clock is wrong by 13")).await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Down).await.unwrap();
}

/// By a clock that is a year ahead every certificate wants renewing; the controller knows better what time it is.
#[tokio::test]
async fn a_clock_a_year_ahead_does_not_renew_for_ever() {
    let fleet = Fleet::start().await.unwrap();
    let (mut pi, _clock) = machine(&fleet, "+364d");
    join(&fleet, &mut pi).await;
    skewed_by(&fleet, 364 * DAY_MS).await;
    wait_for("a while of the session", async || {
        Ok(fleet.client().node("pi-1").await?.sample.filter(|sample| sample.sequence > 15))
    })
    .await
    .unwrap();
    let database = rusqlite::Connection::open(fleet.state().join("controller.db")).unwrap();
    let sql = "SELECT count(*) FROM certificates WHERE kind = 'node'";
    let certificates: i64 = database.query_row(sql, [], |row| row.get(0)).unwrap();
    assert!(certificates <= 2, "{certificates} certificates in a few seconds");
    assert!(pi.log().matches("session open").count() <= 2, "{}", pi.log());
}
