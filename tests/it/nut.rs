//! Reading a UPS from a real NUT server.

use std::time::Duration;

use rackhaven_controller::nut::{UpsConfig, UpsReport, UpsUser};
use rackhaven_tests::wait::wait_until;
use rackhaven_tests::{Ups, UpsWatch};

fn nobody(ups: &Ups) -> UpsConfig {
    UpsConfig::new(ups.name().parse().unwrap())
}

fn user(ups: &Ups, name: &str) -> UpsUser {
    UpsUser { name: name.to_owned(), password_file: ups.password_file(name), login: true }
}

#[tokio::test]
async fn a_ups_is_read_and_changes_arrive() {
    let mut ups = Ups::start().await.unwrap();
    let mut watch = UpsWatch::start(nobody(&ups));
    let reading = watch.status("OL").await.unwrap();
    assert_eq!((reading.charge_percent, reading.runtime_s), (Some(100.0), Some(1200)));
    assert_eq!((reading.model.as_str(), reading.input_volts), ("Rackhaven Story 1200", Some(230.0)));

    ups.set(&[("ups.status", "OB DISCHRG"), ("battery.runtime", "0"), ("battery.charge", "full")]).await.unwrap();
    let reading = watch.status("OB").await.unwrap();
    assert_eq!((reading.charge_percent, reading.runtime_s), (None, None));
    ups.set(&[("ups.status", "OB DISCHRG LB")]).await.unwrap();
    assert_eq!(watch.status("LB").await.unwrap().status.to_string(), "OB DISCHRG LB");
}

#[tokio::test]
async fn a_server_that_dies_is_noticed_at_once_and_found_again() {
    let mut ups = Ups::start().await.unwrap();
    let mut watch = UpsWatch::start(nobody(&ups));
    watch.status("OL").await.unwrap();
    // However rarely it is read.
    watch.set_pace(Duration::from_secs(3600));
    watch.status("OL").await.unwrap();
    ups.kill_upsd().await.unwrap();
    let reason = watch.lost().await.unwrap();
    assert!(reason.contains("the connection was lost"), "{reason}");
    let reason = watch.lost().await.unwrap();
    assert!(reason.contains("refused"), "{reason}");
    ups.start_upsd().await.unwrap();
    watch.status("OL").await.unwrap();
}

#[tokio::test]
async fn a_driver_that_dies_is_a_loss_told_once() {
    let mut ups = Ups::start().await.unwrap();
    let mut watch = UpsWatch::start(nobody(&ups));
    watch.status("OL").await.unwrap();
    ups.kill_driver().await.unwrap();
    let reason = watch.lost().await.unwrap();
    let expected = ["DRIVER-NOT-CONNECTED", "DATA-STALE", "WAIT"];
    assert!(expected.iter().any(|word| reason.contains(word)), "{reason}");
    wait_until("upsd to miss its driver", async || ups.get("ups.status").await.is_ok_and(|s| s.contains("ERR DRIVER")))
        .await
        .unwrap();
    ups.start_driver().await.unwrap();
    let mut reasons = vec![reason];
    loop {
        match watch.next().await.unwrap() {
            UpsReport::Reading(..) => break,
            UpsReport::Lost { reason } => reasons.push(reason),
        }
    }
    let all = reasons.len();
    reasons.dedup();
    assert_eq!(reasons.len(), all, "{reasons:?}");
}

#[tokio::test]
async fn a_user_holds_the_ups_while_it_is_read() {
    let ups = Ups::start().await.unwrap();
    let mut watch = UpsWatch::start(UpsConfig { user: Some(user(&ups, "monuser")), ..nobody(&ups) });
    watch.status("OL").await.unwrap();
    assert_eq!(ups.logins().await.unwrap(), 1);
    drop(watch);
    wait_until("the login to end", async || ups.logins().await.is_ok_and(|count| count == 0)).await.unwrap();
}

#[tokio::test]
async fn refusals_are_explained() {
    let ups = Ups::start().await.unwrap();
    let wrong = UpsUser { password_file: ups.password_file("primary"), ..user(&ups, "monuser") };
    let mut watch = UpsWatch::start(UpsConfig { user: Some(wrong), ..nobody(&ups) });
    let reason = watch.lost().await.unwrap();
    assert!(reason.starts_with("LOGIN was refused: ACCESS-DENIED (wrong user or password"), "{reason}");

    let gone = UpsUser { password_file: ups.folder().join("gone"), ..user(&ups, "monuser") };
    let mut watch = UpsWatch::start(UpsConfig { user: Some(gone), ..nobody(&ups) });
    let reason = watch.lost().await.unwrap();
    assert!(reason.contains("/gone: No such file"), "{reason}");

    let other = UpsConfig::new(format!("other@{}", ups.address()).parse().unwrap());
    let mut watch = UpsWatch::start(other);
    let reason = watch.lost().await.unwrap();
    assert_eq!(reason, "LIST VAR was refused: UNKNOWN-UPS (the server has no UPS of this name)");
}

#[tokio::test]
async fn a_new_pace_counts_at_once() {
    let ups = Ups::start().await.unwrap();
    let mut watch = UpsWatch::start(nobody(&ups));
    watch.set_pace(Duration::from_secs(3600));
    watch.status("OL").await.unwrap();
    wait_until("no more readings", async || {
        // Those that were on their way.
        watch.is_quiet()
    })
    .await
    .unwrap();
    watch.set_pace(Duration::from_secs(3000));
    watch.status("OL").await.unwrap();
}

#[tokio::test]
async fn a_ups_that_waits_for_its_driver_is_lost() {
    let mut ups = Ups::start().await.unwrap();
    let mut watch = UpsWatch::start(nobody(&ups));
    ups.set(&[("ups.status", "WAIT")]).await.unwrap();
    assert_eq!(watch.lost().await.unwrap(), "the driver waits for the UPS (WAIT)");
    ups.set(&[("ups.status", "OL")]).await.unwrap();
    watch.status("OL").await.unwrap();
}
