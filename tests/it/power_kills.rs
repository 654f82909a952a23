//! The controller, or an agent, is killed in the midst of an outage: it goes on where it was.

use std::collections::BTreeSet;
use std::time::Duration;

use rackhaven_tests::rack::{all_stories, now, told};
use rackhaven_tests::wait::wait_closely;
use rackhaven_tests::{Back, Rack, RackPlan, wait_until};
use serde_json::Value;

async fn rack() -> Rack {
    let mut plan = RackPlan::default()
        .stage("workers", &[("w-1", Back::WakeOnLan), ("w-2", Back::PowerCycle)])
        .stage("storage", &[("s-1", Back::PowerCycle)])
        .master("m-1")
        .with("power.off_grace_seconds", 2);
    // A node whose last word was lost with the controller is given up when the time of all its steps is over.
    for step in ["drain", "stop_k3s", "stop_backups", "hooks", "unmount", "sync", "power_off"] {
        plan = plan.with(&format!("power.steps.{step}_seconds"), 1.5);
    }
    let rack = plan.build().await.unwrap();
    for node in rack.names() {
        let trace = rack.folder().join(format!("{node}.hooked"));
        rack.hook(node, "10-takes-a-while", &format!("echo hook >> {}; sleep 0.2", trace.display())).unwrap();
    }
    rack
}

/// Where an outage is, by what is on the disk: its direction, its cut, and the nodes' phases.
fn place(memory: &Value) -> Option<String> {
    let outage = memory["state"]["outage"].as_object()?;
    let cut = match &outage["cut"] {
        Value::String(word) => word.clone(),
        told => told.as_object()?.keys().next()?.clone(),
    };
    let nodes = outage["nodes"].as_object()?.iter();
    let phases: Vec<String> =
        nodes.map(|(node, track)| format!("{node} {}", track["phase"].as_str().unwrap_or("?"))).collect();
    Some(format!("{}, cut {cut}: {}", outage["direction"].as_str()?, phases.join(", ")))
}

/// One outage in which the controller is killed at each of the places that `kills` picks by their number; the places
/// at which it was.
async fn outage(rack: &Rack, mut kills: impl FnMut(usize) -> bool) -> Vec<String> {
    let number = rack.outages().await.unwrap().first().map_or(1, |last| last.number + 1);
    let before: Vec<(usize, usize)> = rack.names().iter().map(|node| rack.offs(node)).collect();
    let (mut seen, mut killed, mut last) = (0, Vec::new(), String::new());
    let mut all_were_off = false;
    rack.ups_says("OB LB");
    let ended = wait_closely(Duration::from_secs(90), "the outage to end", async || {
        let memory = rack.memory();
        let place = place(&memory).unwrap_or_default();
        if place != last && !place.is_empty() {
            if kills(seen) {
                // Its machine may go off at the same moment.
                rack.kill_controller();
                rack.start_controller()?;
                killed.push(place.clone());
            }
            seen += 1;
            last = place.clone();
        }
        if rack.off().len() == rack.names().len() {
            all_were_off = true;
            rack.ups_says("OL");
        }
        Ok((all_were_off && place.is_empty() && !memory.is_null()).then_some(()))
    });
    ended.await.unwrap_or_else(|error| panic!("{error:#}\n{}", rack.story()));
    rack.wait_until_well().await.unwrap();
    let outage = rack.wait_for_end(number).await.unwrap();
    assert_eq!(rack.outages().await.unwrap().first().map(|last| last.number), Some(number));
    for (node, (offs, cut)) in rack.names().iter().zip(before) {
        assert_eq!(rack.offs(node), (offs + 1, cut), "{node}, killed at {killed:?}: {}", told(&outage.events));
    }
    assert!(outage.events.is_sorted_by_key(|line| line.at_ms), "{}", told(&outage.events));
    killed
}

#[tokio::test]
async fn a_controller_that_is_killed_goes_on_where_it_was() {
    let rack = rack().await;
    let begun = now();
    let mut places = BTreeSet::new();
    // Agents dial less and less often: some kills in one outage, then others in the next.
    let outages = if all_stories() { 25 } else { 2 };
    for turn in 0..outages {
        let killed = outage(&rack, |seen| if all_stories() { seen == turn } else { seen % 4 == turn * 2 }).await;
        places.extend(killed);
    }
    eprintln!("killed the controller at these places, in {:.0} s:", begun.elapsed().as_secs_f64());
    places.iter().for_each(|place| eprintln!("  {place}"));
    assert!(places.len() >= 3, "{places:?}");
}

#[tokio::test]
async fn an_agent_that_is_killed_goes_on_where_it_was() {
    let rack = rack().await;
    let mut places = Vec::new();
    rack.ups_says("OB LB");
    wait_closely(Duration::from_secs(90), "w-1 to be off", async || {
        let run = rack.memory_of("w-1")["run"].clone();
        let at = |run: &Value| format!("{}, {}", run["phase"].as_str().unwrap_or("?"), run["current"]["kind"]);
        if !run.is_null() && places.last() != Some(&at(&run)) && rack.is_on("w-1") {
            places.push(at(&run));
            rack.restart_agent("w-1")?;
        }
        Ok((!rack.is_on("w-1")).then_some(()))
    })
    .await
    .unwrap();
    wait_until("all to be off", async || rack.off().len() == 4).await.unwrap();
    rack.ups_says("OL");
    rack.wait_until_well().await.unwrap();
    let outage = rack.wait_for_end(1).await.unwrap();
    eprintln!("killed the agent at: {places:?}");
    for node in rack.names() {
        assert_eq!(rack.offs(node), (1, 0), "{node}: {}", told(&outage.events));
    }
    // Not at all if the agent was killed between the note that it begins and the beginning.
    let hooked = std::fs::read_to_string(rack.folder().join("w-1.hooked")).unwrap_or_default();
    assert!(hooked.lines().count() <= 1, "the hook was run again");
    assert!(places.len() >= 3, "{places:?}");
}
