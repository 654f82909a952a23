//! `ctl power` as people and programs see it.

use insta::assert_snapshot;
use rackhaven_ctl::ExitStatus;
use rackhaven_proto::v1::*;

use crate::fleet::{degraded, healthy};
use crate::harness::{Ctl, Outcome};
use crate::rack;
use crate::script::{Controller, Script};
use crate::storm;

fn script() -> Script {
    Script {
        power: rack::on_battery(),
        plan: rack::plan(),
        outages: storm::outages(),
        abort: AbortPowerResponse {
            kept: vec!["m5-1".to_owned(), "nas".to_owned()],
            coming_back: vec!["pi-1".to_owned()],
        },
        ..Script::default()
    }
}

/// One command against a script, on a screen of so many columns, or in a pipe.
pub(crate) fn perform(
    script: Script,
    arguments: &str,
    columns: Option<usize>,
    prepare: impl FnOnce(Ctl) -> Ctl,
) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let served = Controller::new(script).serve(folder.path());
    let mut ctl = Ctl::new(folder.path()).args(arguments.split(' ')).args(["--socket"]).args([&served.path]);
    ctl.environment.no_color = true;
    match columns {
        Some(80) => ctl.size = || Some((80, 24)),
        Some(120) => ctl.size = || Some((120, 40)),
        Some(50) => ctl.size = || Some((50, 24)),
        _ => {}
    }
    prepare(ctl).run()
}

/// The same of a run that goes well; no line is too long for the screen.
fn shown(script: Script, arguments: &str, columns: Option<usize>) -> String {
    let text = perform(script, arguments, columns, |ctl| ctl).fine();
    if let Some(columns) = columns.filter(|_| !arguments.contains("wide")) {
        for line in text.lines() {
            assert!(line.chars().count() <= columns, "{line:?} is wider than {columns}");
        }
    }
    assert!(!text.lines().any(|line| line.ends_with(' ')), "blanks at a line's end:\n{text}");
    text
}

fn with(power: PowerStatus) -> Script {
    Script { power, ..script() }
}

#[test]
fn status() {
    assert_snapshot!("power_mains", shown(with(rack::on_mains()), "power status", Some(80)));
    assert_snapshot!("power_battery", shown(script(), "power status", Some(80)));
    assert_snapshot!("power_battery_json", shown(script(), "power status -o json", None));
    let cheap = PowerStatus {
        upses: vec![rack::cheap_ups()],
        runtime_left_ms: None,
        warnings: vec![
            "cheap@nas tells no runtime; set power.assumed_runtime to what was measured with this load".to_owned(),
        ],
        ..rack::on_battery()
    };
    assert_snapshot!("power_cheap_ups", shown(with(cheap), "power status", Some(80)));
    assert_snapshot!("power_storm", shown(with(storm::storm_at(150_000)), "power status", Some(80)));
    assert_snapshot!("power_storm_json", shown(with(storm::storm_at(131_500)), "power status -o json", None));
    let lost = UpsStatus {
        supply: Supply::Unknown.into(),
        status: String::new(),
        problem: "connecting to localhost:3493: connection refused".to_owned(),
        reading_age_ms: Some(95_000),
        ..rack::ups()
    };
    let unknown = PowerStatus {
        phase: PowerPhase::Normal.into(),
        supply: Supply::Unknown.into(),
        supply_for_ms: 95_000,
        upses: vec![lost],
        runtime_left_ms: None,
        begins_in_ms: None,
        ..rack::on_battery()
    };
    assert_snapshot!("power_unknown", shown(with(unknown), "power status", Some(80)));
    let none = PowerStatus { phase: PowerPhase::None.into(), supply: Supply::Unknown.into(), ..PowerStatus::default() };
    assert_snapshot!("power_none", shown(with(none), "power status", Some(80)));
}

#[test]
fn plans() {
    assert_snapshot!("power_plan", shown(script(), "power plan", Some(80)));
    assert_snapshot!("power_plan_120", shown(script(), "power plan", Some(120)));
    assert_snapshot!("power_plan_wide", shown(script(), "power plan -o wide", Some(80)));
    assert_snapshot!(
        "power_plan_json",
        shown(script(), "power plan -o json", None).lines().take(60).collect::<Vec<_>>().join("\n")
    );
    let short = PowerPlan { runtime_left_ms: Some(100_000), ..rack::plan() };
    let text = shown(Script { plan: short, ..script() }, "power plan", Some(80));
    assert!(text.starts_with("TOO SHORT: 1 min 40 s left in the battery, the shutdown needs 2 min 27 s\n"), "{text}");
}

#[test]
fn history() {
    assert_snapshot!("power_history", shown(script(), "power history --drills", Some(80)));
    assert_snapshot!("power_history_120", shown(script(), "power history --drills", Some(120)));
    assert_snapshot!(
        "power_outage",
        shown(script(), "power history --outage 12", Some(80)).lines().take(48).collect::<Vec<_>>().join("\n")
    );
    assert_snapshot!(
        "power_outage_120",
        shown(script(), "power history --outage 12", Some(120)).lines().take(20).collect::<Vec<_>>().join("\n")
    );
    assert_snapshot!("power_outage_drill", shown(script(), "power history --outage 10", Some(80)));
    assert_snapshot!("power_outage_blip", shown(script(), "power history --outage 11", Some(80)));
    let missing = perform(script(), "power history --outage 99", None, |ctl| ctl);
    assert_eq!(missing.status, ExitStatus::Failed);
    assert!(missing.err.contains("there is no outage 99"), "{}", missing.err);
    let json: serde_json::Value = serde_json::from_str(&shown(script(), "power history -o json", None)).unwrap();
    assert_eq!(json["outages"][0]["events"][1]["kind"], "outage.trigger");
    assert_eq!(json["outages"][0]["events"][1]["at_seconds"], 130.0);
    assert_eq!(json["outages"][1]["cause"], serde_json::Value::Null);
}

#[test]
fn status_of_the_fleet_has_a_section_of_power() {
    let fleet = |power| Script { status: FleetStatus { power: Some(power), ..degraded() }, ..script() };
    for (name, power) in [
        ("status_power_mains", rack::on_mains()),
        ("status_power_battery", rack::on_battery()),
        ("status_power_storm", storm::storm_at(150_000)),
        ("status_power_restoring", storm::storm_at(7_330_000)),
    ] {
        let text = shown(fleet(power), "status", Some(80));
        assert_snapshot!(name, text.lines().take(7).collect::<Vec<_>>().join("\n"));
    }
    let json: serde_json::Value =
        serde_json::from_str(&shown(fleet(rack::on_battery()), "status -o json", None)).unwrap();
    assert_eq!(json["power"]["supply"], "battery");
    assert_eq!(json["power"]["phase"], "on-battery");
    assert_eq!(json["power"]["begins_in_seconds"], 270.0);
    let none = PowerStatus { phase: PowerPhase::None.into(), supply: Supply::Unknown.into(), ..PowerStatus::default() };
    let without = shown(Script { status: healthy(), ..script() }, "status", Some(80));
    let unconfigured = Script { status: FleetStatus { power: Some(none), ..healthy() }, ..script() };
    assert_eq!(shown(unconfigured, "status", Some(80)), without);
}

#[test]
fn abort() {
    assert_snapshot!("power_abort", perform(script(), "power abort --reason mistake", Some(80), |ctl| ctl).fine());
    let json: serde_json::Value = serde_json::from_str(&shown(script(), "power abort -o json", None)).unwrap();
    assert_eq!(json, serde_json::json!({"kept": ["m5-1", "nas"], "coming_back": ["pi-1"]}));
}

#[test]
fn numbers_that_are_not_known_are_a_strange_answer() {
    let mut outage = storm::storm_at(140_000);
    outage.outage.as_mut().unwrap().nodes[0].step = 99;
    let mut plan = rack::plan();
    plan.stages[0].nodes[0].steps[0].kind = 99;
    let mut ups = rack::on_mains();
    ups.upses[0].supply = 99;
    for (script, command) in [
        (with(PowerStatus { phase: 99, ..rack::on_mains() }), "power status"),
        (with(PowerStatus { supply: 0, ..rack::on_mains() }), "power status"),
        (with(ups), "power status"),
        (with(outage), "power status"),
        (Script { plan, ..script() }, "power plan"),
    ] {
        let outcome = perform(script, command, None, |ctl| ctl);
        assert_eq!(outcome.status, ExitStatus::Failed, "{command}");
        assert!(outcome.err.contains("is not understood"), "{}", outcome.err);
    }
}

#[test]
fn a_terminal_without_utf8_gets_ascii() {
    for (power, command) in [(storm::storm_at(150_000), "power status"), (rack::on_mains(), "power status")] {
        let outcome = perform(with(power), command, Some(80), |mut ctl| {
            ctl.environment.ascii = true;
            ctl
        });
        let text = outcome.fine();
        assert!(text.is_ascii(), "{text}");
    }
    let outcome = perform(script(), "power history --outage 12", Some(80), |mut ctl| {
        ctl.environment.ascii = true;
        ctl
    });
    assert_snapshot!("power_outage_ascii", outcome.fine().lines().take(18).collect::<Vec<_>>().join("\n"));
}

#[test]
fn strange_figures_break_no_page() {
    for ms in [0, 1, u64::MAX / 1000, u64::MAX] {
        for figure in [f32::NAN, f32::INFINITY, -5.0, 1e30] {
            let mut power = storm::storm_at(180_000);
            (power.supply_for_ms, power.runtime_left_ms, power.begins_in_ms) = (ms, Some(ms), Some(ms));
            (power.critical_path_ms, power.margin_ms, power.wall_unix_ms) = (ms, ms, i64::MIN);
            let ups = &mut power.upses[0];
            ups.reading_age_ms = Some(ms);
            let figures =
                [&mut ups.charge_percent, &mut ups.load_percent, &mut ups.input_volts, &mut ups.battery_volts];
            figures.into_iter().for_each(|given| *given = Some(figure));
            ups.temperature_celsius = Some(figure);
            let outage = power.outage.as_mut().unwrap();
            outage.begun_unix_ms = i64::MAX;
            outage.ended_unix_ms = Some(i64::MIN);
            outage.events.iter_mut().skip(9).for_each(|event| (event.at_ms, event.wall_unix_ms) = (ms, i64::MAX));
            let mut plan = rack::plan();
            (plan.critical_path_ms, plan.margin_ms, plan.cut_delay_ms) = (ms, ms, Some(ms));
            plan.stages[0].nodes[0].expected_ms = ms;
            let outages = vec![outage.clone()];
            let script = || Script {
                status: FleetStatus { power: Some(power.clone()), ..healthy() },
                power: power.clone(),
                plan: plan.clone(),
                outages: outages.clone(),
                ..script()
            };
            for command in ["status", "power status", "power plan", "power history --outage 12", "power history"] {
                for form in ["table", "wide", "json", "yaml"] {
                    perform(script(), &format!("{command} -o {form}"), Some(80), |ctl| ctl).fine();
                }
            }
        }
    }
}
