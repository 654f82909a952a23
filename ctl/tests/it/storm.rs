//! A night on which the mains fails, and what is done by day.

use rackhaven_proto::v1::*;

use crate::fleet::NOW_MS;
use crate::rack::{STAGES, STEPS, on_battery, on_mains};

/// Why the fleet goes down.
const CAUSE: &str = "no more is left than the shutdown takes";

fn event(at_ms: u64, node: &str, kind: &str, message: &str) -> OutageEvent {
    OutageEvent {
        outage: 12,
        at_ms,
        wall_unix_ms: NOW_MS + at_ms as i64,
        node: node.to_owned(),
        kind: kind.to_owned(),
        message: message.to_owned(),
    }
}

/// One node's way down: its steps, off, and when that was.
fn down(node: &str, begun_ms: u64, pace: u64, drill: bool) -> (Vec<OutageEvent>, u64) {
    let mut at = begun_ms;
    let mut events = vec![event(at, node, "node.ordered", &format!("{node} is told to go"))];
    for (place, (_, step, _)) in STEPS.iter().enumerate().take(6) {
        let takes = pace * [9, 4, 1, 2, 1, 2][place];
        events.push(event(at + 50, node, "node.step", &format!("{step} begun")));
        at += takes;
        let told = match (node, *step) {
            ("pi-4", "drain") => format!("{step} timed out after {:.1} s", takes as f64 / 1000.0),
            (_, "stop-backups") => format!("{step} skipped: none is running"),
            _ => format!("{step} done in {:.1} s", takes as f64 / 1000.0),
        };
        events.push(event(at, node, "node.step", &told));
    }
    if drill {
        events.push(event(at + 2 * pace, node, "node.back", ""));
        return (events, at + 2 * pace);
    }
    events.push(event(at, node, "node.powering-off", &format!("{node} switches off")));
    at += 5 * pace;
    match node {
        "pi-6" => events.push(event(
            at + 9_000,
            node,
            "node.missing",
            &format!("{node} is not confirmed to be off after 120 s; the others go on"),
        )),
        _ => events.push(event(
            at,
            node,
            "node.off",
            &format!("{node} is off after {:.1} s", (at - begun_ms) as f64 / 1000.0),
        )),
    }
    (events, at)
}

/// A night: on battery, down after 130 s, off for two hours, up again.
pub(crate) fn storm() -> Vec<OutageEvent> {
    let mut events = vec![
        event(0, "", "outage.on-battery", "mains has failed: the rack is on battery"),
        event(130_000, "", "outage.trigger", &format!("shutting down: {CAUSE}")),
    ];
    let mut begun = 130_000;
    for (stage, nodes) in STAGES {
        events.push(event(begun, "", "stage.begun", &format!("stage {stage} begins: {} nodes", nodes.len())));
        let mut ended = begun;
        for (place, node) in nodes.iter().enumerate() {
            let (own, off) = down(node, begun + 200, 700 + 110 * place as u64, false);
            events.extend(own);
            ended = ended.max(off);
        }
        if stage == "master" {
            events.push(event(
                begun + 100,
                "",
                "ups.cut",
                "the UPS will cut the load in 120 s, and bring it back with mains: ups@localhost took shutdown.return",
            ));
            events.push(event(begun + 150, "master", "master.ordered", "master is told to go"));
        } else {
            events.push(event(
                ended,
                "",
                "stage.ended",
                &format!("stage {stage} is down after {} s", (ended - begun) / 1000),
            ));
        }
        begun = ended + 500;
    }
    let up = 7_300_000;
    events.push(event(up, "", "controller.restarted", "the controller's host is up again"));
    events.push(event(up + 100, "", "outage.mains-back", "mains is back"));
    events.push(event(up + 2_000, "master", "node.back", "master is back"));
    for (stage, nodes) in STAGES.iter().rev().skip(1) {
        for (place, node) in nodes.iter().enumerate() {
            let woken = up + 5_000 + 4_000 * place as u64 + if *stage == "workers" { 20_000 } else { 0 };
            events.push(event(woken, node, "node.waking", &format!("{node} is being woken")));
            events.push(event(woken + 21_000, node, "node.returning", &format!("{node} is up again")));
            if *stage == "workers" {
                events.push(event(woken + 22_000, node, "node.held", "needs nas"));
            }
            events.push(event(woken + 33_000, node, "node.back", &format!("{node} is back")));
        }
    }
    events.push(event(up + 120_000, "", "outage.ended", "the outage is over after 7420 s; all are up"));
    events.sort_by_key(|event| event.at_ms);
    events
}

/// Nodes with the states that `events` have led to.
fn nodes(events: &[OutageEvent]) -> Vec<OutageNode> {
    let mut nodes = Vec::new();
    for (stage, names) in STAGES {
        for name in names {
            let mut node = OutageNode {
                name: (*name).to_owned(),
                stage: stage.to_owned(),
                state: "running".to_owned(),
                step: StepKind::Unspecified.into(),
            };
            for event in events.iter().filter(|event| event.node == *name) {
                let state = match event.kind.as_str() {
                    "node.ordered" => "ordered",
                    "node.step" => "stopping",
                    "node.powering-off" => "powering-off",
                    "node.off" => "off",
                    "node.missing" => "missing",
                    "node.waking" | "node.returning" | "node.held" => "returning",
                    _ => "back",
                };
                node.state = state.to_owned();
                let step = STEPS.iter().find(|(_, word, _)| event.message == format!("{word} begun"));
                node.step = step.map_or(0, |(kind, _, _)| i32::from(*kind));
            }
            nodes.push(node);
        }
    }
    nodes
}

/// The storm as it was known at a moment.
pub(crate) fn storm_at(at_ms: u64) -> PowerStatus {
    let events: Vec<_> = storm().into_iter().filter(|event| event.at_ms <= at_ms).collect();
    let mains = events.iter().any(|event| event.kind == "outage.mains-back");
    let begun = events.iter().any(|event| event.kind == "outage.trigger");
    let phase = match (mains, begun) {
        (true, _) => PowerPhase::Restoring,
        (false, true) => PowerPhase::ShuttingDown,
        (false, false) => PowerPhase::OnBattery,
    };
    let outage = Outage {
        number: 12,
        kind: "mains".to_owned(),
        cause: if begun { CAUSE.to_owned() } else { String::new() },
        begun_unix_ms: NOW_MS,
        ended_unix_ms: None,
        nodes: nodes(&events),
        events,
    };
    let supply = if mains { on_mains() } else { on_battery() };
    PowerStatus {
        phase: phase.into(),
        // Halves of a second, so that a page that is drawn a little later says the same.
        supply_for_ms: if mains { at_ms.saturating_sub(7_300_500) } else { at_ms },
        runtime_left_ms: (!mains).then(|| 400_500_u64.saturating_sub(at_ms)),
        begins_in_ms: (!mains && !begun).then(|| 130_500_u64.saturating_sub(at_ms)),
        wall_unix_ms: NOW_MS + at_ms as i64,
        outage: Some(outage),
        ..supply
    }
}

/// The storm when it was over; a blip before it; a drill; a shutdown that somebody asked for.
pub(crate) fn outages() -> Vec<Outage> {
    let whole = storm();
    let ended_unix_ms = whole.last().map(|event| event.wall_unix_ms);
    let blip = Outage {
        number: 11,
        kind: "mains".to_owned(),
        begun_unix_ms: NOW_MS - 86_400_000,
        ended_unix_ms: Some(NOW_MS - 86_400_000 + 4_000),
        nodes: nodes(&[]),
        events: vec![
            OutageEvent { outage: 11, ..event(0, "", "outage.on-battery", "mains has failed: the rack is on battery") },
            OutageEvent { outage: 11, ..event(4_000, "", "outage.ended", "the outage is over after 4 s; all are up") },
        ],
        ..Outage::default()
    };
    let drilled = drill(&["pi-1", "pi-4"]);
    let drill = Outage {
        number: 10,
        kind: "drill".to_owned(),
        cause: "before the holidays".to_owned(),
        begun_unix_ms: NOW_MS - 2 * 86_400_000,
        ended_unix_ms: Some(NOW_MS - 2 * 86_400_000 + 21_000),
        nodes: nodes(&drilled).into_iter().filter(|node| node.name == "pi-1" || node.name == "pi-4").collect(),
        events: drilled,
    };
    let storm = Outage {
        number: 12,
        kind: "mains".to_owned(),
        cause: CAUSE.to_owned(),
        begun_unix_ms: NOW_MS,
        ended_unix_ms,
        nodes: nodes(&whole),
        events: whole,
    };
    let asked = shutdown(&["pi-2"]);
    let manual = Outage {
        number: 9,
        kind: "manual".to_owned(),
        cause: "user/ann asked: a new card".to_owned(),
        begun_unix_ms: NOW_MS - 3 * 86_400_000,
        ended_unix_ms: Some(NOW_MS - 3 * 86_400_000 + 17_000),
        nodes: nodes(&asked).into_iter().filter(|node| node.name == "pi-2").collect(),
        events: asked,
    };
    vec![storm, blip, drill, manual]
}

/// What the drill of nodes tells.
pub(crate) fn drill(names: &[&str]) -> Vec<OutageEvent> {
    let own = |name: &&str| down(name, 100, 700, true).0;
    let mut events: Vec<_> = names.iter().flat_map(own).collect();
    events.sort_by_key(|event| event.at_ms);
    events
}

/// What a shutdown of nodes tells until they are off.
pub(crate) fn shutdown(names: &[&str]) -> Vec<OutageEvent> {
    let mut events: Vec<_> = names.iter().flat_map(|name| down(name, 100, 700, false).0).collect();
    events.sort_by_key(|event| event.at_ms);
    events
}
