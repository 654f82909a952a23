//! People take nodes down, rehearse that, and end it.

use rackhaven_tests::rack::told;
use rackhaven_tests::{Back, Rack, RackPlan, wait_for, wait_until};
use serde_json::Value;

async fn rack() -> Rack {
    let plan = RackPlan::default().stage("workers", &[("w-1", Back::WakeOnLan)]);
    plan.stage("storage", &[("s-1", Back::WakeOnLan)]).build().await.unwrap()
}

/// The result, which comes last.
async fn result(rack: &Rack, line: &str) -> Value {
    rack.ctl().json_lines(line).await.unwrap().pop().unwrap()
}

fn states(result: &Value) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    result["nodes"].as_array().unwrap().iter().map(|node| (word(&node["name"]), word(&node["state"]))).collect()
}

fn pair(name: &str, state: &str) -> (String, String) {
    (name.to_owned(), state.to_owned())
}

#[tokio::test]
async fn a_drill_takes_nobody_down_and_a_shutdown_does() {
    let rack = rack().await;
    let drill = result(&rack, "power drill --reason rehearsal --yes").await;
    assert_eq!(drill["outcome"], "passed", "{drill}");
    assert_eq!(states(&drill), [pair("w-1", "passed"), pair("s-1", "passed")]);
    rack.wait_until_well().await.unwrap();
    assert_eq!((rack.offs("w-1"), rack.offs("s-1")), ((0, 0), (0, 0)));

    let stage = result(&rack, "power shutdown --stage workers --reason tidying --yes").await;
    assert_eq!((&stage["outcome"], states(&stage)), (&"done".into(), vec![pair("w-1", "off")]));
    wait_until("it to be off", async || rack.off() == ["w-1"]).await.unwrap();
    // A loss of mains takes the other down and brings it back, and leaves off who was taken down.
    rack.ups_says("OB LB");
    let outage = wait_for("the outage", async || {
        let last = rack.outages().await?.into_iter().next();
        Ok(last.filter(|last| last.kind == "mains").map(|last| last.number))
    });
    let outage = outage.await.unwrap();
    rack.wait_for_line(outage, "s-1", "node.off").await.unwrap();
    rack.ups_says("OL");
    let ended = rack.wait_for_end(outage).await.unwrap();
    assert_eq!((rack.off(), rack.offs("s-1")), (vec!["w-1".to_owned()], (1, 0)), "{}", told(&ended.events));
    rack.switch_on("w-1").unwrap();
    rack.wait_until_well().await.unwrap();

    let all = result(&rack, "power shutdown --all --reason moving --yes").await;
    assert_eq!((&all["outcome"], states(&all)), (&"done".into(), vec![pair("w-1", "off"), pair("s-1", "off")]));
    wait_until("all to be off", async || rack.off().len() == 2).await.unwrap();
    rack.switch_on("s-1").unwrap();
    rack.switch_on("w-1").unwrap();
    rack.wait_until_well().await.unwrap();
    let history = rack.ctl().json("power history --drills").await.unwrap();
    let kinds: Vec<&str> =
        history["outages"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["manual", "mains", "manual", "drill"]);
    let manual = rack.ctl().json("power history --outage 2").await.unwrap();
    let manual = &manual["outages"][0];
    assert_eq!(manual["cause"], "user/admin asked: tidying");
    let lines = manual["events"].as_array().unwrap();
    assert!(lines.iter().any(|line| line["kind"] == "node.off" && line["node"] == "w-1"), "{manual}");
}

#[tokio::test]
async fn a_shutdown_is_ended_and_a_viewer_may_do_none_of_it() {
    let rack = rack().await;
    rack.hook("s-1", "10-takes-long", "sleep 30").unwrap();
    let ctl = rack.ctl();
    ctl.ok("power shutdown --node s-1 --reason mistake --no-follow --yes").await.unwrap();
    wait_for("the hook to run", async || {
        let run = &rack.memory_of("s-1")["run"];
        Ok((run["current"]["kind"] == "hooks").then_some(()))
    })
    .await
    .unwrap();
    let (endpoint, home) = (rack.network().endpoint(), rack.folder().join("vera"));
    let viewer = ctl.another("vera", "viewer", &endpoint, &home).await.unwrap();
    viewer.ok("power status").await.unwrap();
    viewer.ok("power plan").await.unwrap();
    for line in ["power shutdown --all --reason spite --yes", "power drill --yes", "power abort"] {
        let refused = viewer.fails(line, 5).await.unwrap();
        assert!(refused.err.contains("vera is viewer"), "{}", refused.err);
    }
    let aborted = ctl.json("power abort --reason sorry").await.unwrap();
    assert_eq!(aborted, serde_json::json!({ "kept": ["s-1"], "coming_back": [] }));
    let ended = rack.wait_for_end(1).await.unwrap();
    assert!(
        ended.events.iter().any(|line| line.kind == "node.aborted" && line.node == "s-1"),
        "{}",
        told(&ended.events)
    );
    rack.wait_until_well().await.unwrap();
    assert_eq!(rack.offs("s-1"), (0, 0));
    ctl.fails("power abort", 1).await.unwrap();

    let audit = rack.client().audit().await.unwrap();
    let has = |who: &str, action: &str, outcome: &str| {
        audit.iter().any(|it| it.who == who && it.action == action && it.outcome.starts_with(outcome))
    };
    for (who, action, outcome) in [
        ("user/admin", "Power/Shutdown", "ok"),
        ("user/admin", "Power/Abort", "ok"),
        ("user/admin", "Power/Abort", "refused"),
        ("user/vera", "Power/Shutdown", "denied"),
        ("user/vera", "Power/Drill", "denied"),
        ("user/vera", "Power/Abort", "denied"),
    ] {
        let told: Vec<String> = audit.iter().map(|it| format!("{} {} {}", it.who, it.action, it.outcome)).collect();
        assert!(has(who, action, outcome), "{who} {action} {outcome} is not in {told:#?}");
    }
}
