//! Telling a UPS to cut.

use std::sync::Arc;

use rackhaven_controller::nut::{CutDone, UpsConfig, UpsHandle, UpsUser};
use rackhaven_tests::{Ups, UpsRelay, UpsWatch};

const DELAY: &str = "ups.delay.shutdown";

fn config(ups: &Ups, name: &str, user: &str) -> UpsConfig {
    let user = UpsUser { name: user.to_owned(), password_file: ups.password_file(user), login: true };
    UpsConfig { user: Some(user), ..UpsConfig::new(name.parse().unwrap()) }
}

#[tokio::test]
async fn a_ups_is_told_to_cut_while_it_is_read() {
    let ups = Ups::start().await.unwrap();
    let relay = UpsRelay::start(&ups, &["shutdown.return", "load.off"], &[DELAY]).await.unwrap();
    let config = config(&ups, &relay.name(), "rackhaven");
    let mut watch = UpsWatch::start(config.clone());
    let ability = watch.status("OL").await.unwrap().cut.unwrap();
    assert_eq!(
        (ability.command.as_str(), ability.delay_s, ability.delay_settable),
        ("shutdown.return", Some(20), true)
    );

    let done = UpsHandle::new(Arc::new(config)).cut(Some(90)).await.unwrap();
    assert_eq!(done, CutDone { commands: &["shutdown.return"], delay_s: Some(90) });
    assert_eq!(relay.told(), ["SET VAR ups ups.delay.shutdown 90", "INSTCMD ups shutdown.return"]);
    watch.status("OL").await.unwrap();
    assert_eq!(ups.logins().await.unwrap(), 1);
}

#[tokio::test]
async fn a_ups_with_its_own_delay_is_asked_only_if_that_is_long_enough() {
    let ups = Ups::start().await.unwrap();
    let relay = UpsRelay::start(&ups, &["load.off.delay", "load.on.delay"], &[]).await.unwrap();
    let handle = UpsHandle::new(Arc::new(config(&ups, &relay.name(), "rackhaven")));
    let error = handle.cut(Some(60)).await.unwrap_err().to_string();
    assert_eq!(error, "the UPS would cut after 20 s, which is sooner than 60 s, and its delay cannot be set");
    assert!(relay.told().is_empty());
    let both = CutDone { commands: &["load.on.delay", "load.off.delay"], delay_s: Some(20) };
    assert_eq!(handle.cut(Some(15)).await.unwrap(), both);
    assert_eq!(handle.cut(None).await.unwrap(), both);
    assert_eq!(relay.told()[..2], ["INSTCMD ups load.on.delay", "INSTCMD ups load.off.delay"]);
}

#[tokio::test]
async fn a_cut_that_cannot_be_is_explained() {
    let ups = Ups::start().await.unwrap();
    let direct = UpsHandle::new(Arc::new(config(&ups, &ups.name(), "admin")));
    let error = direct.cut(None).await.unwrap_err().to_string();
    assert_eq!(error, "the UPS has neither shutdown.return nor load.off.delay with load.on.delay");

    let relay = UpsRelay::start(&ups, &["shutdown.return"], &[]).await.unwrap();
    let denied = UpsHandle::new(Arc::new(config(&ups, &relay.name(), "monuser")));
    let error = denied.cut(None).await.unwrap_err().to_string();
    assert!(error.starts_with("INSTCMD was refused: ACCESS-DENIED (wrong user or password, or upsd.users"), "{error}");
}
