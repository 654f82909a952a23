//! Outages of a simulated rack, by the real cores of controller and agents.
//!
//! `RACKHAVEN_POWER_SEED=… cargo test -p rackhaven-tests --test it outages_of_chance -- --nocapture` replays one, with
//! all that happens. `cargo run --release -p rackhaven-tests --example power_outages` simulates a hundred thousand.

use rackhaven_proto::model::{NodeName, StepKind};
use rackhaven_tests::power_sim::{Dice, Outcome, Scenario, Turn, Who, outages, run, try_seed};

/// So many outages are simulated each time.
const OUTAGES: u64 = 1000;
/// Seeds that found a fault.
const FOUND: [u64; 41] = [
    12, 16, 20, 21, 129, 156, 218, 244, 620, 732, 972, 1662, 2327, 2346, 2648, 3917, 5200, 5279, 5986, 6735, 7081,
    7545, 9278, 13668, 21280, 27869, 28669, 28990, 30425, 32423, 34268, 41132, 43909, 45044, 45719, 48987, 49198,
    49510, 50172, 51141, 61638,
];
/// A board may be told one beat late, and its silence seen two beats late.
const BEATS_MS: u64 = 2500;

fn number(key: &str) -> Option<u64> {
    std::env::var(key).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{key} is {text:?}, not a number")))
}

#[test]
fn outages_of_chance() {
    if let Some(seed) = number("RACKHAVEN_POWER_SEED") {
        let scenario = Scenario::random(seed);
        eprintln!("{scenario:#?}");
        let outcome = run(&scenario, true).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        eprintln!("{outcome:#?}");
        return;
    }
    let many = outages(OUTAGES);
    println!("{} outages of {} racks", many.outages, many.racks);
    assert!(many.failures.is_empty(), "{}", many.failures.join("\n"));
}

#[test]
fn seeds_that_found_a_fault() {
    let failures: Vec<String> = FOUND.iter().filter_map(|seed| try_seed(*seed).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Five nodes in three stages; mains fails after 10 s, the shutdown begins 5 s later, mains is back after `back_ms`.
fn staged(back_ms: u64) -> Scenario {
    let mut scenario = Scenario::plain();
    scenario.policy.time_ms = Some(5000);
    scenario.turns = vec![(10_000, Turn::Mains(false)), (back_ms, Turn::Mains(true))];
    scenario
}

fn names(scenario: &Scenario) -> Vec<NodeName> {
    scenario.hosts.iter().map(|host| host.name.clone()).collect()
}

/// One outage, and each node was switched off once and is up again.
fn all_went_once(scenario: &Scenario, what: &str) -> Outcome {
    let outcome = run(scenario, false).unwrap_or_else(|why| panic!("{what}: {why}"));
    assert_eq!(outcome.outages, 1, "{what}");
    assert_eq!(outcome.up, names(scenario), "{what}");
    for (node, boots) in &outcome.power_offs {
        assert_eq!(boots, &[1], "{what}: {node} was switched off in these boots");
    }
    outcome
}

#[test]
fn a_controller_or_an_agent_killed_after_any_write_goes_on_with_the_same_outage() {
    let calm = staged(120_000);
    let outcome = all_went_once(&calm, "nobody is killed");
    assert!(outcome.control_writes > 30, "{outcome:?}");
    for write in 1..=outcome.control_writes {
        let scenario = Scenario { kill_at: Some((Who::Controller, write)), ..calm.clone() };
        all_went_once(&scenario, &format!("the controller is killed after write {write}"));
    }
    for (host, writes) in outcome.agent_writes.iter().enumerate() {
        assert!(*writes > 7, "{outcome:?}");
        for write in 1..=*writes {
            let scenario = Scenario { kill_at: Some((Who::Agent(host), write)), ..calm.clone() };
            all_went_once(&scenario, &format!("the agent of host {host} is killed after write {write}"));
        }
    }
}

#[test]
fn a_node_that_hangs_in_a_step_costs_that_steps_deadline_at_most() {
    let calm = staged(200_000);
    let usual_ms = all_went_once(&calm, "nobody hangs").down_ms;
    let steps = calm.policy.steps.clone();
    for host in 0..calm.hosts.len() {
        for step in steps.as_slice().iter().filter(|step| step.kind != StepKind::PowerOff) {
            let mut scenario = calm.clone();
            scenario.hosts[host].step_ms.insert(step.kind, None);
            let what = format!("host {host} hangs in {}", step.kind);
            let down_ms = all_went_once(&scenario, &what).down_ms;
            let most_ms = usual_ms + u64::from(step.timeout_ms) + BEATS_MS;
            assert!(down_ms <= most_ms, "{what}: {down_ms} ms instead of {usual_ms} ms");
        }
        // One that cannot be switched off costs the time that a node is given at all, and stays up.
        let mut scenario = calm.clone();
        scenario.honest = false;
        scenario.hosts[host].step_ms.insert(StepKind::PowerOff, None);
        let what = format!("host {host} cannot be switched off");
        let outcome = run(&scenario, false).unwrap_or_else(|why| panic!("{what}: {why}"));
        assert_eq!(outcome.up, names(&scenario), "{what}");
        assert!(outcome.down_ms <= usual_ms + calm.policy.cap_ms() + BEATS_MS, "{what}: {} ms", outcome.down_ms);
    }
}

#[test]
fn mains_that_returns_at_any_instant_leaves_all_nodes_up() {
    let mut dice = Dice::new(200);
    let down_ms = 15_000 + all_went_once(&staged(200_000), "mains returns late").down_ms;
    for _ in 0..200 {
        let back_ms = dice.between(10_100, down_ms + 40_000);
        let what = format!("mains returns at {back_ms} ms");
        let scenario = staged(back_ms);
        let outcome = run(&scenario, false).unwrap_or_else(|why| panic!("{what}: {why}"));
        assert_eq!(outcome.up, names(&scenario), "{what}");
        assert_eq!(outcome.by_hand, 0, "{what}: somebody had to start the master");
        assert!(outcome.power_offs.values().all(|boots| boots.len() <= 1), "{what}: {outcome:?}");
    }
}
