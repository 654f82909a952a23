//! Alerts where not all is well: bad receivers, a full disk, a controller that dies again and again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rackhaven_pki::{Token, random};
use rackhaven_proto::model::NodeState;
use rackhaven_tests::hook::channel;
use rackhaven_tests::receiver::{Identity, Reply};
use rackhaven_tests::sim::{Gauge, enrol_many, run_agent};
use rackhaven_tests::wait::wait_for_within;
use rackhaven_tests::{Fleet, Hook, SmallDisk, address, wait_for, wait_until};
use rusqlite::Connection;

/// A number below `bound`, which is not more than 65536.
fn chance(bound: u32) -> u32 {
    random::<2>().map(u16::from_le_bytes).map_or(0, u32::from) % bound
}

/// A thousand alerts fire and end while the controller is killed at random and the receiver is as bad as it gets: each
/// is told to fire, once, and then to be over, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_alerts_arrive_though_the_controller_is_killed_at_random() {
    const NODES: usize = 200;
    const DISKS: usize = 5;
    let bad = Hook::start().await.unwrap();
    bad.receiver.reply_by(|| match chance(10) {
        0..2 => Hook::refuses(),
        2 => Reply::Hangup,
        3..6 => Reply::Late(
            Duration::from_millis(chance(400).into()),
            b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".into(),
        ),
        _ => Hook::takes(),
    });
    let good = Hook::start().await.unwrap();
    let channels = format!("[{}, {}]", bad.channel("bad"), good.channel("good"));
    let mut fleet = Fleet::start_with(&[
        ("alerts.channel", &channels),
        ("alerts.group_seconds", "0"),
        ("alerts.rule.disk-full.for_seconds", "0"),
        ("alerts.rule.disk-full.resolve_seconds", "0"),
        ("limits.enrolments_per_minute", "10000"),
        ("session.down_after_missed", "100"),
        ("session.sample_ms", "1000"),
    ])
    .await
    .unwrap();
    let token: Token = fleet.invite(&format!("--uses {NODES}")).await.unwrap().parse().unwrap();
    let endpoint = fleet.endpoint().parse().unwrap();
    let names = (0..NODES).map(|number| format!("pi-{number}")).collect();
    let gauge = Arc::new(Gauge::default());
    let mut agents = tokio::task::JoinSet::new();
    for node in enrol_many(&endpoint, &token, names).await.unwrap() {
        agents.spawn(run_agent(endpoint.clone(), node, Arc::clone(&gauge)));
    }
    wait_until("all agents", async || gauge.connected() == NODES).await.unwrap();
    let mut kills = 0;
    for (disks, state) in [(DISKS, "firing"), (0, "resolved")] {
        gauge.fill_disks(disks);
        let arrived = |hook: &Hook| hook.told().iter().filter(|told| told.state == state).count();
        while arrived(&bad) < NODES * DISKS || arrived(&good) < NODES * DISKS {
            assert!(kills < 200, "{} and {} of {}", arrived(&bad), arrived(&good), NODES * DISKS);
            // How long it lives is what is tried here.
            tokio::time::sleep(Duration::from_millis(300 + u64::from(chance(2500)))).await;
            fleet.kill_controller().await.unwrap();
            fleet.start_controller().await.unwrap();
            kills += 1;
        }
    }
    for hook in [&bad, &good] {
        let mut states: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for told in hook.told() {
            states.entry(told.key).or_default().push(told.state);
        }
        states.retain(|key, _| key.starts_with("disk-full:"));
        assert_eq!(states.len(), NODES * DISKS);
        for (key, states) in states {
            assert_eq!(states, ["firing", "resolved"], "{key}");
        }
        let sent = hook.messages();
        let ids: std::collections::BTreeSet<_> = sent.iter().map(|message| message.body["id"].to_string()).collect();
        eprintln!(
            "{} messages, {} of them again, {} refused; {kills} kills",
            sent.len(),
            sent.len() - ids.len(),
            hook.refusals()
        );
    }
}

/// Receivers that are dead, refuse, hang, cannot be believed: none holds up the good one, through which is told that
/// they fail, and each gets all in order once it is well.
#[tokio::test(flavor = "multi_thread")]
async fn bad_receivers_hold_up_nobody_and_lose_nothing() {
    let good = Hook::start().await.unwrap();
    let refusing = Hook::start().await.unwrap();
    refusing.receiver.reply_by(Hook::refuses);
    let hanging = Hook::start().await.unwrap();
    hanging.receiver.reply_by(|| Reply::Hangup);
    let folder = tempfile::tempdir().unwrap();
    let identity = Identity::new(folder.path()).await.unwrap();
    let forbidding = Hook::start().await.unwrap();
    forbidding.receiver.reply_by(|| Reply::status(403, "connection: close\r\n", "the token has ended"));
    // Its certificate is not believed until the file holds it.
    let ca_file = folder.path().join("ca.pem");
    let broken = Hook::start_at((identity.ip(), 0).into(), Some(&identity)).await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Identity::new(elsewhere.path()).await.unwrap();
    std::fs::copy(other.certificate(), &ca_file).unwrap();
    let nowhere = address::fresh();
    let with_ca = format!(", ca_file = \"{}\"", ca_file.display());
    let channels = [
        good.channel("good"),
        refusing.channel("refusing"),
        hanging.channel("hanging"),
        forbidding.channel("forbidding"),
        channel("broken", &format!("https://{}/hook", broken.receiver.address()), &with_ca),
        channel("dead", &format!("http://{nowhere}/hook"), ""),
    ];
    let mut fleet = Fleet::start_with(&[("alerts.channel", &format!("[{}]", channels.join(", ")))]).await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    pi.kill().await.unwrap();
    good.wait_for("node-down:pi-1", "firing").await.unwrap();
    // What is refused for good is not tried again, and told at once.
    let told = good.wait_for("channel-failing:forbidding", "firing").await.unwrap();
    assert!(told.body.to_string().contains("403"), "{}", told.body);
    forbidding.receiver.reply_by(Hook::takes);
    pi.start().unwrap();
    good.wait_for("node-down:pi-1", "resolved").await.unwrap();
    good.wait_for("channel-failing:forbidding", "resolved").await.unwrap();
    assert_eq!(forbidding.states("node-down:pi-1"), ["resolved"]);
    // After five attempts each.
    for name in ["refusing", "hanging", "broken", "dead"] {
        let told = good.wait_for(&format!("channel-failing:{name}"), "firing").await.unwrap();
        assert!(told.body.to_string().contains("does not take its messages"), "{}", told.body);
    }
    refusing.receiver.reply_by(Hook::takes);
    hanging.receiver.reply_by(Hook::takes);
    std::fs::copy(identity.certificate(), &ca_file).unwrap();
    let dead = Hook::start_at(nowhere, None).await.unwrap();
    fleet.reload_controller().unwrap();
    // Each is tried again within its back-off, half a minute by now.
    let patience = Duration::from_secs(90);
    for (name, hook) in [("refusing", &refusing), ("hanging", &hanging), ("broken", &broken), ("dead", &dead)] {
        let arrived = async || Ok((hook.states("node-down:pi-1").len() == 2).then_some(()));
        wait_for_within(patience, &format!("{name} to be told all"), arrived).await.unwrap();
        assert_eq!(hook.states("node-down:pi-1"), ["firing", "resolved"], "{name}");
        good.wait_for(&format!("channel-failing:{name}"), "resolved").await.unwrap();
        // That a channel fails cannot be told through itself.
        assert!(hook.states(&format!("channel-failing:{name}")).is_empty(), "{name}: {:?}", hook.told());
    }
    assert_eq!(good.states("node-down:pi-1"), ["firing", "resolved"]);
}

/// With not a byte left on the controller's disk alerts are told all the same, and once.
#[tokio::test]
async fn a_full_disk_keeps_nothing_from_being_told() {
    let hook = Hook::start().await.unwrap();
    let mut fleet = Fleet::prepare().unwrap();
    let disk = SmallDisk::mount(fleet.state(), 8 * 1024 * 1024).unwrap();
    fleet.settings.set("alerts.channel", format!("[{}]", hook.channel("hook")));
    fleet.settings.set("alerts.rule.controller-disk.for_seconds", "0");
    fleet.settings.set("alerts.rule.controller-disk.resolve_seconds", "0");
    fleet.init().await.unwrap();
    fleet.start_controller().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    disk.fill().unwrap();
    wait_for("the disk to be full", async || Ok((fleet.ctl().run("node invite").await?.code != Some(0)).then_some(())))
        .await
        .unwrap();
    hook.wait_for("controller-disk", "firing").await.unwrap();
    pi.kill().await.unwrap();
    hook.wait_for("node-down:pi-1", "firing").await.unwrap();
    pi.start().unwrap();
    hook.wait_for("node-down:pi-1", "resolved").await.unwrap();
    let listed = fleet.ctl().json("alerts list").await.unwrap();
    assert_eq!(listed["alerts"][0]["key"], "controller-disk", "{listed}");
    disk.make_room().unwrap();
    hook.wait_for("controller-disk", "resolved").await.unwrap();
    // What was told from memory is not told again from the disk.
    fleet.kill_controller().await.unwrap();
    fleet.start_controller().await.unwrap();
    let kept = async || Ok(fleet.ctl().json("alerts history node-down:pi-1").await?["history"].as_array().cloned());
    let kept = wait_for("the record", kept).await.unwrap();
    assert!(kept.iter().any(|turn| turn["kind"] == "resolved"), "{kept:?}");
    fleet.ctl().ok("alerts test").await.unwrap();
    for key in ["node-down:pi-1", "controller-disk"] {
        assert_eq!(hook.states(key), ["firing", "resolved"], "{key}: {:?}", hook.told());
    }
}

/// What could not be stored, and waits for another attempt because the receiver is not well either, is stored as soon as
/// there is room: a controller that is killed then loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_another_attempt_is_stored_when_there_is_room() {
    let hook = Hook::start().await.unwrap();
    hook.receiver.reply_by(Hook::refuses);
    let mut fleet = Fleet::prepare().unwrap();
    let disk = SmallDisk::mount(fleet.state(), 8 * 1024 * 1024).unwrap();
    fleet.settings.set("alerts.channel", format!("[{}]", hook.channel("hook")));
    fleet.init().await.unwrap();
    fleet.start_controller().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    disk.fill().unwrap();
    wait_for("the disk to be full", async || Ok((fleet.ctl().run("node invite").await?.code != Some(0)).then_some(())))
        .await
        .unwrap();
    pi.kill().await.unwrap();
    // From the fourth attempt on most of the time is waited.
    wait_for("attempts", async || Ok((hook.refusals() > 3).then_some(()))).await.unwrap();
    disk.make_room().unwrap();
    let stored = async || {
        let database = Connection::open(fleet.state().join("controller.db"))?;
        let sql = "SELECT count(*) FROM alert_outbox WHERE alert LIKE '%node-down%'";
        Ok((database.query_row(sql, [], |row| row.get::<_, i64>(0))? > 0).then_some(()))
    };
    wait_for("it to be stored", stored).await.unwrap();
    fleet.kill_controller().await.unwrap();
    hook.receiver.reply_by(Hook::takes);
    fleet.start_controller().await.unwrap();
    hook.wait_for("node-down:pi-1", "firing").await.unwrap();
}
