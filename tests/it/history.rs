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

    let database = Connection::open(fleet.state().join("history.db")).unwrap();
    let (cpu, memory, load): (f64, f64, f64) = database
        .query_row("SELECT cpu, memory, load FROM minutes WHERE node = 'pi-1' AND minute = ?1", [minute], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    let of_minute = recent.iter().filter(|point| point.wall_unix_ms.div_euclid(60_000) == minute);
    let (mut sum, mut count) = (0.0, 0.0);
    for point in of_minute {
        sum += f64::from(point.cpu_percent.unwrap());
        count += 1.0;
    }
    assert!((cpu - sum / count).abs() < 0.5, "stored {cpu}, seen {}", sum / count);
    assert!(memory > 0.0 && load >= 0.0);
    fleet.start_controller().await.unwrap();
    let shown = fleet.ctl().json("node show pi-1").await.unwrap();
    let minutes = shown["minutes"].as_array().unwrap();
    assert_eq!(minutes.len(), 1, "{shown:#}");
    assert!((minutes[0]["cpu_percent"].as_f64().unwrap() - cpu).abs() < 0.01, "{shown:#}");
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
