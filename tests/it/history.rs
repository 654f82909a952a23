//! What is remembered of the past.

use rackhaven_pki::clock::SystemClock;
use rackhaven_tests::{FakeTime, Fleet, wait_for};
use rusqlite::Connection;

/// How a clock must be wrong whose next minute begins in so many seconds.
fn minute_begins_in(seconds: i64) -> String {
    let second = SystemClock::unix_ms().div_euclid(1000).rem_euclid(60);
    format!("+{}", (60 - seconds - second).rem_euclid(60))
}

#[tokio::test]
async fn the_recent_past_is_shown_and_bounded() {
    let fleet = Fleet::start_with(&[("history.recent_points", "5")]).await.unwrap();
    let _pi = fleet.join("pi-1").await.unwrap();
    let look = async || {
        let shown = fleet.ctl().json("node show pi-1").await?;
        Ok(Some(shown).filter(|shown| shown["recent"].as_array().is_some_and(|recent| recent.len() >= 5)))
    };
    let shown = wait_for("recent points", look).await.unwrap();
    let times = |shown: &serde_json::Value| {
        let recent = shown["recent"].as_array().unwrap();
        recent.iter().map(|point| point["time"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = times(&shown);
    assert!(first.is_sorted_by(|a, b| a < b), "{first:?}");
    for point in shown["recent"].as_array().unwrap() {
        assert!((0.0..=100.0).contains(&point["cpu_percent"].as_f64().unwrap()), "{point}");
        assert!((0.0..=100.0).contains(&point["memory_used_percent"].as_f64().unwrap()), "{point}");
        assert!(point["load_one"].is_number() && point["disk_used_percent"].is_number(), "{point}");
    }
    let later = wait_for("later points", async || {
        let now = times(&fleet.ctl().json("node show pi-1").await?);
        Ok(Some(now).filter(|now| now[0] > first[4]))
    })
    .await
    .unwrap();
    assert_eq!(later.len(), 5, "the oldest go");
}

#[tokio::test]
async fn minutes_are_averaged_and_survive_a_restart() {
    let mut fleet = Fleet::prepare().unwrap();
    let clock = FakeTime::new(&fleet.folder().join("clock"), &minute_begins_in(6)).unwrap();
    fleet.environment = clock.environment();
    fleet.init().await.unwrap();
    fleet.start_controller().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    let now_ms = async || fleet.client().status().await.unwrap().wall_unix_ms;
    let minute = now_ms().await.div_euclid(60_000);
    wait_for("some samples of the minute", async || {
        let recent = fleet.client().node("pi-1").await?.recent;
        Ok((recent.iter().filter(|point| point.wall_unix_ms.div_euclid(60_000) == minute).count() > 3).then_some(()))
    })
    .await
    .unwrap();
    // A sample of the next minute completes the one before.
    wait_for("the next minute", async || {
        let recent = fleet.client().node("pi-1").await?.recent;
        Ok(recent.iter().any(|point| point.wall_unix_ms.div_euclid(60_000) > minute).then_some(()))
    })
    .await
    .unwrap();
    let recent = fleet.client().node("pi-1").await.unwrap().recent;
    pi.stop().await.unwrap();
    fleet.stop_controller().await.unwrap();

    fleet.start_controller().await.unwrap();
    let shown = fleet.ctl().json("node show pi-1").await.unwrap();
    let minutes = shown["minutes"].as_array().unwrap();
    // The minute under way was stored, too, when the controller ended.
    assert_eq!(minutes.len(), 2, "{shown:#}");
    let mut seen = recent.iter().filter(|point| point.wall_unix_ms.div_euclid(60_000) == minute);
    let mut cpu: Vec<_> = seen.by_ref().map(|point| f64::from(point.cpu_percent.unwrap())).collect();
    cpu.sort_by(f64::total_cmp);
    let mean = cpu.iter().sum::<f64>() / cpu.len() as f64;
    let stored = minutes[0]["cpu_percent"].as_f64().unwrap();
    assert!((stored - mean).abs() < 0.5, "stored {stored}, seen {mean}");
    let history = fleet.client().history("pi-1", 3600, 0).await.unwrap();
    assert_eq!((history.step_seconds, history.points.len()), (60, 2));
    assert_eq!(history.points[0].wall_unix_ms, minute * 60_000);
    let spread = history.points[0].cpu_percent.unwrap();
    assert!((f64::from(spread.low) - cpu[0]).abs() < 0.06, "{spread:?} {cpu:?}");
    assert!((f64::from(spread.high) - cpu[cpu.len() - 1]).abs() < 0.06, "{spread:?} {cpu:?}");
    let drawn = fleet.ctl().ok("node show pi-1 --since 1h").await.unwrap();
    for said in ["in steps of 1 min", "CPU ", "MEMORY ", "LOAD ", "DISK ", "HEARD "] {
        assert!(drawn.contains(said), "no {said:?} in\n{drawn}");
    }
    let csv = fleet.ctl().ok("node show pi-1 --since 1h -o csv").await.unwrap();
    assert_eq!(csv.lines().filter(|line| line.contains("Z,1,")).count(), 2, "{csv}");
    assert_eq!(csv.lines().count(), 1 + 61, "{csv}");
    let memory = history.points[0].memory_used_percent.unwrap();
    assert!(memory.low > 0.0 && memory.low <= memory.mean && memory.mean <= memory.high, "{memory:?}");
}

/// A fleet whose controller and agents live by a clock that can be set.
async fn fleet_with_a_clock() -> (Fleet, FakeTime) {
    let mut fleet = Fleet::prepare().unwrap();
    let clock = FakeTime::new(&fleet.folder().join("clock"), "+0").unwrap();
    fleet.environment = clock.environment();
    fleet.init().await.unwrap();
    fleet.start_controller().await.unwrap();
    (fleet, clock)
}

/// Sets the clock, and waits until there are samples of that time.
async fn live_at(fleet: &Fleet, clock: &FakeTime, reading: &str) {
    let newest = async || {
        let recent = fleet.client().node("pi-1").await?.recent;
        Ok::<_, anyhow::Error>(recent.last().map_or(0, |point| point.wall_unix_ms))
    };
    let before = wait_for("a sample", async || Ok(Some(newest().await?).filter(|newest| *newest > 0))).await.unwrap();
    clock.set(reading).unwrap();
    wait_for("a sample of another time", async || Ok(((newest().await? - before).abs() > 30 * 60_000).then_some(())))
        .await
        .unwrap();
}

#[tokio::test]
async fn days_are_rolled_up_and_a_jump_of_the_clock_loses_nothing() {
    let (mut fleet, clock) = fleet_with_a_clock().await;
    let mut pi = fleet.join("pi-1").await.unwrap();
    for reading in ["+1h", "+5h", "+30h", "+50d", "+31h", "+4d"] {
        live_at(&fleet, &clock, reading).await;
    }
    pi.stop().await.unwrap();
    fleet.stop_controller().await.unwrap();
    fleet.start_controller().await.unwrap();
    // The 50 days are not in what is asked for.
    let day = 24 * 3600;
    for (since_s, step_s) in [(6 * day, 600), (1000 * day, 64_800)] {
        let history = fleet.client().history("pi-1", since_s, 0).await.unwrap();
        assert_eq!(history.step_seconds, step_s, "{history:#?}");
        let minutes: u32 = history.points.iter().map(|point| point.heard_minutes).sum();
        assert!((6..=12).contains(&minutes), "{minutes} minutes: {history:#?}");
        assert!(history.expected_minutes > 3 * 24 * 60 && history.expected_minutes < 5 * 24 * 60, "{history:#?}");
        let span_ms = history.until_unix_ms - history.since_unix_ms;
        assert_eq!(span_ms, since_s as i64 * 1000);
        let first_ms = history.first_unix_ms.unwrap();
        assert!((first_ms - (history.until_unix_ms - 4 * 24 * 3_600_000)).abs() < 5 * 60_000, "{history:#?}");
    }
    let points = async |since_s| fleet.client().history("pi-1", since_s, 0).await.unwrap().points.len();
    assert!(points(6 * day).await >= 5, "each time by itself");
    assert_eq!(fleet.client().history("pi-1", 6 * day, 2).await.unwrap().points.len(), 2);
}

#[tokio::test]
async fn a_kill_loses_the_minute_under_way_at_most() {
    let (mut fleet, clock) = fleet_with_a_clock().await;
    let _pi = fleet.join("pi-1").await.unwrap();
    live_at(&fleet, &clock, "+1h").await;
    live_at(&fleet, &clock, "+2h").await;
    async fn heard(fleet: &Fleet) -> anyhow::Result<Vec<i64>> {
        let history = fleet.client().history("pi-1", 24 * 3600, 0).await?;
        Ok(history.points.iter().map(|point| point.wall_unix_ms).collect())
    }
    let look = async || Ok(Some(heard(&fleet).await?).filter(|points| points.len() >= 2));
    let before = wait_for("two minutes to be stored", look).await.unwrap();
    fleet.kill_controller().await.unwrap();
    fleet.start_controller().await.unwrap();
    let after = heard(&fleet).await.unwrap();
    assert!(before.iter().all(|point| after.contains(point)), "{before:?} {after:?}");
}

#[tokio::test]
async fn with_a_node_goes_its_history() {
    let (mut fleet, clock) = fleet_with_a_clock().await;
    let _pi = fleet.join("pi-1").await.unwrap();
    let _other = fleet.join("pi-2").await.unwrap();
    live_at(&fleet, &clock, "+3h").await;
    fleet.stop_controller().await.unwrap();
    fleet.start_controller().await.unwrap();
    assert!(!fleet.client().history("pi-1", 24 * 3600, 0).await.unwrap().points.is_empty());
    fleet.ctl().ok("node remove pi-1 --yes").await.unwrap();
    let refused = fleet.client().history("pi-1", 24 * 3600, 0).await.unwrap_err();
    assert!(format!("{refused:#}").contains("there is no node pi-1"), "{refused:#}");
    fleet.stop_controller().await.unwrap();
    let database = Connection::open(fleet.state().join("history.db")).unwrap();
    let names: Vec<String> = database
        .prepare("SELECT name FROM nodes")
        .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
        .unwrap();
    assert_eq!(names, ["pi-2"]);
    for table in ["by_minute", "by_ten_minutes", "by_two_hours"] {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE node NOT IN (SELECT id FROM nodes)");
        let left: i64 = database.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0, "{table}");
    }
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused() {
    let fleet = Fleet::start_with(&[("history.enabled", "false")]).await.unwrap();
    let _pi = fleet.join("pi-1").await.unwrap();
    let refused = fleet.client().history("pi-1", 3600, 0).await.unwrap_err();
    assert!(format!("{refused:#}").contains("no history is kept"), "{refused:#}");
    let fleet = Fleet::start().await.unwrap();
    let _pi = fleet.join("pi-1").await.unwrap();
    for since_s in [0, u64::MAX] {
        let refused = fleet.client().history("pi-1", since_s, 0).await.unwrap_err();
        assert!(format!("{refused:#}").contains("since_seconds_ago: "), "{refused:#}");
    }
    assert!(fleet.client().history("pi-1", 3600, u32::MAX).await.unwrap().points.is_empty());
}

#[tokio::test]
async fn a_fleet_without_history_shows_the_present() {
    let fleet = Fleet::start_with(&[("history.enabled", "false")]).await.unwrap();
    let _pi = fleet.join("pi-1").await.unwrap();
    let look = async || {
        let shown = fleet.ctl().json("node show pi-1").await?;
        Ok(Some(shown).filter(|shown| shown["cpu_percent"].is_number()))
    };
    let shown = wait_for("the present", look).await.unwrap();
    assert!(shown["recent"].as_array().unwrap().is_empty() && shown["minutes"].as_array().unwrap().is_empty());
    assert!(!fleet.state().join("history.db").exists());
}
