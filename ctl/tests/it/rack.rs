//! A rack of a dozen nodes and a UPS.

use rackhaven_proto::v1::*;

use crate::fleet::NOW_MS;

/// The stages, first to go first.
pub(crate) const STAGES: [(&str, &[&str]); 4] = [
    ("workers", &["pi-1", "pi-2", "pi-3", "pi-4", "pi-5", "pi-6", "pi-7"]),
    ("servers", &["m5-1", "m5-2", "m5-3"]),
    ("storage", &["nas"]),
    ("master", &["master"]),
];

/// The steps of a node, and their deadlines in seconds.
pub(crate) const STEPS: [(StepKind, &str, u32); 7] = [
    (StepKind::Drain, "drain", 60),
    (StepKind::StopK3s, "stop-k3s", 30),
    (StepKind::StopBackups, "stop-backups", 20),
    (StepKind::Hooks, "hooks", 30),
    (StepKind::Unmount, "unmount", 10),
    (StepKind::Sync, "sync", 10),
    (StepKind::PowerOff, "power-off", 30),
];

/// A UPS that tells everything, on battery.
pub(crate) fn ups() -> UpsStatus {
    let trigger =
        |name: &str, fed, detail: &str| TriggerStatus { name: name.to_owned(), fed, detail: detail.to_owned() };
    UpsStatus {
        name: "ups@localhost".to_owned(),
        supply: Supply::Battery.into(),
        status: "OB DISCHRG".to_owned(),
        reading_age_ms: Some(240),
        problem: String::new(),
        charge_percent: Some(62.0),
        runtime_seconds: Some(562),
        load_percent: Some(23.0),
        input_volts: Some(0.0),
        battery_volts: Some(24.9),
        temperature_celsius: Some(31.0),
        model: "Ellipse PRO 1200".to_owned(),
        cut_command: "shutdown.return".to_owned(),
        triggers: vec![
            trigger("fsd", true, "at once"),
            trigger("low-battery", true, "when it holds for 2 s"),
            trigger("charge", true, "below 20 %"),
            trigger("budget", true, "when less is left than the shutdown takes"),
            trigger("time", true, "after 10 min on battery"),
        ],
        replace_battery: false,
    }
}

/// A cheap UPS that tells little.
pub(crate) fn cheap_ups() -> UpsStatus {
    UpsStatus {
        name: "cheap@nas".to_owned(),
        status: "OB LB".to_owned(),
        runtime_seconds: Some(0),
        charge_percent: Some(18.0),
        load_percent: None,
        temperature_celsius: None,
        model: String::new(),
        cut_command: String::new(),
        reading_age_ms: Some(14_000),
        replace_battery: true,
        triggers: vec![
            TriggerStatus { name: "fsd".to_owned(), fed: true, detail: "at once".to_owned() },
            TriggerStatus {
                name: "budget".to_owned(),
                fed: false,
                detail: "the UPS tells no runtime: 300 s from the loss of mains are assumed".to_owned(),
            },
        ],
        ..ups()
    }
}

/// On mains for three days.
pub(crate) fn on_mains() -> PowerStatus {
    let ups = UpsStatus {
        supply: Supply::Mains.into(),
        status: "OL CHRG".to_owned(),
        charge_percent: Some(98.0),
        runtime_seconds: Some(2_470),
        input_volts: Some(231.4),
        ..ups()
    };
    PowerStatus {
        phase: PowerPhase::Normal.into(),
        supply: Supply::Mains.into(),
        supply_for_ms: 273_700_000,
        upses: vec![ups],
        critical_path_ms: 92_000,
        margin_ms: 60_000,
        witnesses: vec![
            WitnessStatus { address: "192.168.1.1".to_owned(), answering: true, heard_ms_ago: Some(800) },
            WitnessStatus { address: "printer.lan".to_owned(), answering: false, heard_ms_ago: None },
        ],
        wall_unix_ms: NOW_MS,
        ..PowerStatus::default()
    }
}

/// The mains has failed, nothing has gone yet.
pub(crate) fn on_battery() -> PowerStatus {
    PowerStatus {
        phase: PowerPhase::OnBattery.into(),
        supply: Supply::Battery.into(),
        supply_for_ms: 130_000,
        upses: vec![ups()],
        runtime_left_ms: Some(540_000),
        begins_in_ms: Some(270_000),
        ..on_mains()
    }
}

/// The plan of this rack.
pub(crate) fn plan() -> PowerPlan {
    let mut begins_after_ms = 0;
    let mut stages = Vec::new();
    for (place, (stage, names)) in STAGES.into_iter().enumerate() {
        let steps = |name: &str| {
            let has = |kind: StepKind| !(name == "nas" && matches!(kind, StepKind::Drain | StepKind::StopK3s));
            let wire = |(kind, _, seconds): &(StepKind, &str, u32)| ShutdownStep {
                kind: i32::from(*kind),
                timeout_ms: seconds * 1000,
            };
            STEPS.iter().filter(|(kind, _, _)| has(*kind)).map(wire).collect()
        };
        let node = |name: &&str| PlanNode {
            name: (*name).to_owned(),
            expected_ms: 21_000 + 500 * place as u64,
            learnt: *name != "m5-3",
            cap_ms: 120_000,
            steps: steps(name),
            wake: match stage {
                "workers" => "power-cycle",
                "storage" => "by-hand",
                _ => "wake-on-lan",
            }
            .to_owned(),
            master: stage == "master",
            reachable: *name != "pi-5",
        };
        let expected_ms = 21_000 + 500 * place as u64;
        stages.push(PlanStage {
            name: stage.to_owned(),
            begins_after_ms,
            expected_ms,
            cap_ms: 120_000,
            nodes: names.iter().map(node).collect(),
            shed: if stage == "workers" { "below 60 % charge".to_owned() } else { String::new() },
            needs: if stage == "workers" { vec!["nas".to_owned(), "master".to_owned()] } else { vec![] },
        });
        begins_after_ms += expected_ms;
    }
    PowerPlan {
        stages,
        critical_path_ms: begins_after_ms,
        margin_ms: 60_000,
        runtime_left_ms: Some(2_470_000),
        cut_delay_ms: Some(120_000),
        warnings: vec!["pi-5 has no session: its time is counted to its cap".to_owned()],
    }
}
