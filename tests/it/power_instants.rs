//! Mains comes back at any instant of a staged shutdown, and everything comes back with it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use rackhaven_proto::v1::Outage;
use rackhaven_tests::rack::{all_stories, now, told};
use rackhaven_tests::{Back, Rack, RackPlan, wait_until};

/// How long the whole way down takes here, and a little more.
const LONGEST_MS: u64 = 3000;

async fn rack() -> Rack {
    let plan = RackPlan::default()
        .stage("workers", &[("w-1", Back::WakeOnLan), ("w-2", Back::PowerCycle)])
        .stage("storage", &[("s-1", Back::WakeOnLan), ("s-2", Back::PowerCycle)])
        .master("m-1");
    let rack = plan.build().await.unwrap();
    for node in rack.names() {
        rack.hook(node, "10-takes-a-while", "sleep 0.3").unwrap();
    }
    rack
}

/// What is wrong with the order of a timeline's lines; empty if nothing is.
fn disorder(outage: &Outage, went: &BTreeMap<String, bool>) -> String {
    const WAY: [&str; 5] = ["node.powering-off", "node.off", "node.waking", "node.returning", "node.back"];
    for (node, went) in went {
        let lines: Vec<&str> =
            outage.events.iter().filter(|line| line.node == *node).map(|line| line.kind.as_str()).collect();
        // Who was turned back may go again with the others, in a round of its own.
        let rounds = lines.split(|kind| kind.ends_with(".ordered"));
        let sorted = rounds.into_iter().all(|round| {
            let places: Vec<usize> = round.iter().filter_map(|kind| WAY.iter().position(|own| own == kind)).collect();
            places.is_sorted()
        });
        let has = |kind: &str| lines.contains(&kind);
        let ordered = has("node.ordered") || has("master.ordered");
        let complete = match went {
            true => ordered && has("node.returning") && has("node.back"),
            false => ordered == has("node.aborted") && !has("node.off"),
        };
        if !sorted || !complete {
            return format!("{node} ({}): {lines:?}", if *went { "went" } else { "stayed" });
        }
    }
    String::new()
}

/// One outage; mains is back after so long.
async fn outage(rack: &Rack, back_after: Duration) -> Result<usize, String> {
    let number = rack.outages().await.map_err(|error| format!("{error:#}"))?.first().map_or(1, |last| last.number + 1);
    let before: BTreeMap<String, (usize, usize)> =
        rack.names().iter().map(|node| (node.clone(), rack.offs(node))).collect();
    let told_of = |error: anyhow::Error| format!("{error:#}\n{}", rack.story());
    rack.ups_says("OB LB");
    let seen = wait_until("the outage to be seen", async || !rack.memory()["state"]["outage"].is_null());
    seen.await.map_err(told_of)?;
    tokio::time::sleep(back_after).await;
    rack.ups_says("OL");
    let outage = rack.wait_for_end(number).await.map_err(told_of)?;
    rack.wait_until_well().await.map_err(told_of)?;
    let mut went = BTreeMap::new();
    for (node, (offs, cut)) in before {
        let (offs_now, cut_now) = rack.offs(&node);
        // Twice: gone as mains came back, woken, and gone again for the sake of one that only a power cycle brings back.
        if offs_now > offs + 2 || cut_now > cut {
            return Err(format!("{node} went {} times and was cut {} times", offs_now - offs, cut_now - cut));
        }
        went.insert(node, offs_now > offs);
    }
    let mut disorder = disorder(&outage, &went);
    if !outage.events.is_sorted_by_key(|line| line.at_ms) {
        disorder.push_str("; time goes back");
    }
    if !disorder.is_empty() {
        return Err(format!("{disorder}{}", told(&outage.events)));
    }
    Ok(went.values().filter(|went| **went).count())
}

#[tokio::test]
async fn mains_returns_at_any_instant() {
    let count = if all_stories() { 200 } else { 6 };
    let rack = rack().await;
    let begun = now();
    let mut seed = std::hash::RandomState::new().build_hasher().finish();
    let first_seed = seed;
    let mut by_gone = BTreeMap::<usize, usize>::new();
    let mut failures = Vec::new();
    for number in 0..count {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Each in a part of its own of the way down.
        let part_ms = LONGEST_MS / count;
        let back_after_ms = number * part_ms + (seed >> 33) % part_ms;
        match outage(&rack, Duration::from_millis(back_after_ms)).await {
            Ok(gone) => *by_gone.entry(gone).or_default() += 1,
            Err(failure) => {
                eprintln!("mains back after {back_after_ms} ms: {failure}");
                failures.push(back_after_ms);
                break;
            }
        }
    }
    eprintln!(
        "{count} returns of mains (seed {first_seed:x}) in {:.0} s; how many times so many nodes went: {by_gone:?}",
        begun.elapsed().as_secs_f64()
    );
    assert!(failures.is_empty(), "after {failures:?} ms");
}
