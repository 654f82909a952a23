//! From what goes wrong to the message at the receiver, by the real controller.

use std::collections::BTreeMap;
use std::time::Duration;

use rackhaven_proto::model::NodeState;
use rackhaven_tests::rack::now;
use rackhaven_tests::{Fleet, Hook, Ups, wait_for, wait_until};
use serde_json::Value;

/// A node that dies is told with its advice, shown, acknowledged, and told to be over when it is back.
#[tokio::test]
async fn a_dead_node_is_told_and_so_is_its_return() {
    let hook = Hook::start().await.unwrap();
    let fleet = Fleet::start_with(&[("alerts.channel", &format!("[{}]", hook.channel("hook")))]).await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    let died = now();
    pi.kill().await.unwrap();
    let message = hook.wait_for("node-down:pi-1", "firing").await.unwrap();
    let after_ms = message.at.duration_since(died).as_millis();
    eprintln!("from a node's death to the message: {after_ms} ms; the down threshold is 2000 ms");
    assert_eq!(message.body["alerts"][0]["severity"], "critical", "{message:?}");
    assert_eq!(message.body["alerts"][0]["node"], "pi-1");

    let ctl = fleet.ctl();
    let listed = ctl.json("alerts list").await.unwrap();
    assert_eq!(listed["alerts"][0]["key"], "node-down:pi-1", "{listed}");
    assert_eq!(listed["channels"][0], "hook");
    let status = ctl.json("status").await.unwrap();
    assert_eq!((&status["alerts"][0]["rule"], &status["alerts_firing"]), (&"node-down".into(), &1.into()), "{status}");
    let acked = ctl.json("alerts ack node-down:pi-1").await.unwrap();
    assert!(acked["acknowledged"][0]["acknowledged_by"].is_string(), "{acked}");
    let tested = ctl.json("alerts test hook").await.unwrap();
    assert_eq!(tested["tests"][0]["ok"], true, "{tested}");

    pi.start().unwrap();
    hook.wait_for("node-down:pi-1", "resolved").await.unwrap();
    let kinds = |history: &Value| -> Vec<String> {
        let turns = history["history"].as_array().unwrap();
        turns.iter().map(|turn| turn["kind"].as_str().unwrap().to_owned()).collect()
    };
    let history = wait_for("the history to be whole", async || {
        let history = ctl.json("alerts history node-down:pi-1").await?;
        Ok((kinds(&history).len() == 5).then_some(history))
    })
    .await
    .unwrap();
    assert_eq!(kinds(&history), ["fired", "sent", "acknowledged", "resolved", "sent"]);
    let acked = fleet.wait_for_audit("the acknowledgement", |record| record.action == "Alerts/Ack").await.unwrap();
    assert_eq!(acked.target, "node-down:pi-1");
}

/// The controller is killed again and again while nodes die and come back and the receiver refuses: all is told at
/// least once, and of each alert in order.
#[tokio::test]
async fn what_fires_survives_the_controllers_death() {
    const NODES: usize = 4;
    let hook = Hook::start().await.unwrap();
    hook.receiver.reply_by(Hook::refuses);
    let mut fleet = Fleet::start_with(&[("alerts.channel", &format!("[{}]", hook.channel("hook")))]).await.unwrap();
    let mut nodes = BTreeMap::new();
    for number in 0..NODES {
        let name = format!("pi-{number}");
        nodes.insert(name.clone(), fleet.join(&name).await.unwrap());
        fleet.wait_for_state(&name, NodeState::Up).await.unwrap();
    }
    for node in nodes.values_mut() {
        node.kill().await.unwrap();
    }
    // What is shown is on the disk.
    wait_for("all to fire", async || {
        let listed = fleet.ctl().json("alerts list").await?;
        // Beside them, what this machine itself is about to suffer from, such as a busy processor.
        let fires = |alert: &&Value| alert["rule"] == "node-down" && alert["state"] == "firing";
        Ok(listed["alerts"].as_array().filter(|alerts| alerts.iter().filter(fires).count() == NODES).map(drop))
    })
    .await
    .unwrap();
    wait_until("the receiver to refuse", async || hook.refusals() > 0).await.unwrap();
    fleet.kill_controller().await.unwrap();
    fleet.start_controller().await.unwrap();
    for node in nodes.values_mut() {
        node.start().unwrap();
    }
    for name in nodes.keys() {
        fleet.wait_for_state(name, NodeState::Up).await.unwrap();
    }
    wait_for("no node to be down any more", async || {
        let listed = fleet.ctl().json("alerts list").await?;
        let of_nodes = |alerts: &Vec<Value>| alerts.iter().all(|alert| alert["rule"] != "node-down");
        Ok(listed["alerts"].as_array().filter(|alerts| of_nodes(alerts)).map(drop))
    })
    .await
    .unwrap();
    let before = hook.refusals();
    wait_until("the receiver to refuse again", async || hook.refusals() > before).await.unwrap();
    fleet.kill_controller().await.unwrap();
    hook.receiver.reply_by(Hook::takes);
    fleet.start_controller().await.unwrap();
    for name in nodes.keys() {
        hook.wait_for(&format!("node-down:{name}"), "resolved").await.unwrap();
    }
    for name in nodes.keys() {
        let key = format!("node-down:{name}");
        assert_eq!(hook.states(&key), ["firing", "resolved"], "{key}: {:?}", hook.told());
    }
}

/// Mains fails: told at once, and told to be over when it is back.
#[tokio::test]
async fn on_battery_is_told_at_once() {
    let hook = Hook::start().await.unwrap();
    let mut ups = Ups::start().await.unwrap();
    let fleet = Fleet::start_with(&[
        ("alerts.channel", &format!("[{}]", hook.channel("hook"))),
        ("power.ups", &format!("[{{ name = \"{}\" }}]", ups.name())),
        ("power.poll_seconds", "1"),
    ])
    .await
    .unwrap();
    wait_for("the UPS to be read", async || {
        let status = fleet.ctl().json("power status").await?;
        Ok((status["supply"] == "mains").then_some(()))
    })
    .await
    .unwrap();
    ups.set(&[("ups.status", "OB DISCHRG")]).await.unwrap();
    let failed = now();
    let message = hook.wait_for("on-battery", "firing").await.unwrap();
    let after_ms = message.at.duration_since(failed).as_millis();
    eprintln!("from on-battery to the message: {after_ms} ms; the UPS is polled each 1000 ms");
    ups.set(&[("ups.status", "OL")]).await.unwrap();
    hook.wait_for("on-battery", "resolved").await.unwrap();
}

/// A node that dies and comes back again and again is told once within its repeat.
#[tokio::test]
async fn a_node_that_flaps_is_told_once() {
    let hook = Hook::start().await.unwrap();
    let fleet = Fleet::start_with(&[("alerts.channel", &format!("[{}]", hook.channel("hook")))]).await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    const DEATHS: usize = 4;
    for death in 1..=DEATHS {
        fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
        pi.kill().await.unwrap();
        fleet.wait_for_events("pi-1", "node.down", death).await.unwrap();
        pi.start().unwrap();
    }
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    let fired = async || -> anyhow::Result<usize> {
        let history = fleet.ctl().json("alerts history node-down:pi-1").await?;
        let turns = history["history"].as_array().cloned().unwrap_or_default();
        Ok(turns.iter().filter(|turn| turn["kind"] == "resolved").count())
    };
    wait_for("all deaths to be over", async || Ok((fired().await? == DEATHS).then_some(()))).await.unwrap();
    hook.wait_for("node-down:pi-1", "resolved").await.unwrap();
    // What is sent later would be behind this in the queue.
    tokio::time::timeout(Duration::from_secs(30), fleet.ctl().json("alerts test")).await.unwrap().unwrap();
    let states: Vec<_> = hook.told().into_iter().filter(|told| told.key != "test").map(|told| told.state).collect();
    assert_eq!(states, ["firing", "resolved"]);
}
