use rackhaven_proto::model::{NodeState, Severity};
use rackhaven_proto::v1;

use super::{controller, node, power, sample};
use crate::alerts::core::Scan;
use crate::alerts::rules::{Rule, Rules};
use crate::fleet::{NodeView, Reading};

fn view(state: NodeState) -> NodeView {
    let sample = v1::Sample::default().try_into().unwrap();
    NodeView {
        name: "pi-1".parse().unwrap(),
        labels: [("role", "worker")]
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect::<std::collections::BTreeMap<_, _>>()
            .try_into()
            .unwrap(),
        enrolled_ms: 0,
        state,
        state_for_ms: 0,
        heard_ms_ago: Some(11_000),
        agent_version: String::new(),
        facts: None,
        last_run: None,
        skew_ms: Some(-7_000),
        reading: Some(std::sync::Arc::new(Reading::new(&sample))),
        sample_age_ms: None,
        peer_address: String::new(),
    }
}

/// What is raised, as KEY SEVERITY TEXT.
fn lines(scan: &Scan) -> Vec<String> {
    let raised = |condition: &crate::alerts::core::Condition| {
        let severity = condition.reached.raise.map_or("held", Severity::as_str);
        format!("{} {severity} {}", condition.key, condition.text)
    };
    scan.conditions.values().map(raised).collect()
}

#[test]
fn nodes_golden() {
    const DAY_MS: i64 = 86_400_000;
    for (state, left_ms, expected, blind) in [
        (NodeState::Up, Some(DAY_MS), &["clock-skew:pi-1 warning clock 7 s behind"][..], 0),
        (
            NodeState::Down,
            Some(DAY_MS),
            &[
                "node-down:pi-1 critical down: not heard of for 11 s",
                "certificate-ending:pi-1 warning certificate ends in 24 h",
            ][..],
            10,
        ),
        (NodeState::Unknown, None, &[][..], 11),
        (NodeState::Off, Some(30 * DAY_MS), &[][..], 10),
        (
            NodeState::Suspect,
            Some(0),
            &["clock-skew:pi-1 warning clock 7 s behind", "certificate-ending:pi-1 critical certificate expired"][..],
            0,
        ),
    ] {
        let mut scan = Scan::default();
        node(&Rules::default(), &view(state), left_ms, &mut scan);
        assert_eq!((lines(&scan).as_slice(), scan.blind.len()), (expected.map_strings().as_slice(), blind), "{state}");
    }
}

trait MapStrings {
    fn map_strings(&self) -> Vec<String>;
}

impl MapStrings for [&str] {
    fn map_strings(&self) -> Vec<String> {
        self.iter().map(|text| (*text).to_owned()).collect()
    }
}

#[test]
fn samples_golden() {
    let fs = |mount: &str, used_bytes: u64, read_only| v1::FileSystem {
        mount_point: mount.to_owned(),
        used_bytes,
        available_bytes: 100 - used_bytes,
        inodes_total: Some(100),
        inodes_used: Some(91),
        read_only,
        ..v1::FileSystem::default()
    };
    let hot = |celsius| v1::Temperature { sensor: "cpu".to_owned(), celsius };
    let bad = v1::Sample {
        cpu: Some(v1::Cpu { total_percent: 90.0, core_percent: Vec::new() }),
        memory: Some(v1::Memory { total_bytes: 100, available_bytes: 5, ..v1::Memory::default() }),
        file_systems: vec![fs("/", 50, true), fs("/srv\n", 98, false)],
        temperatures: vec![hot(40.0), hot(91.0)],
        throttling: Some(v1::Throttling {
            under_voltage_since_boot: true,
            throttled_now: true,
            ..v1::Throttling::default()
        }),
        units: Some(v1::Units { failed: vec!["a.service".to_owned()], failed_count: 1 }),
        ..v1::Sample::default()
    };
    let mut scan = Scan::default();
    let mut rules = Rules::default();
    sample(&rules, &view(NodeState::Up), &bad).into_iter().for_each(|condition| scan.add(condition));
    assert_eq!(
        lines(&scan),
        [
            "cpu-high:pi-1 held CPU 90 % busy",
            "memory-high:pi-1 warning memory 95 % used",
            "disk-full:pi-1:/srv critical disk /srv 98 % full",
            "inodes-full:pi-1:/srv warning inodes of /srv 91 % used",
            "temperature:pi-1 critical 91 °C at cpu",
            "under-voltage:pi-1 warning under-voltage since boot",
            "throttled:pi-1 warning throttled",
            "failed-units:pi-1 warning failed unit a.service",
            "read-only-root:pi-1 critical disk / is read-only",
        ]
    );
    rules.get_mut(Rule::DiskFull).enabled = false;
    rules.get_mut(Rule::Temperature).nodes = vec![crate::power::config::selector("x", "role=master").unwrap()];
    let found = sample(&rules, &view(NodeState::Up), &bad);
    assert!(found.iter().all(|condition| !matches!(condition.key.rule, Rule::DiskFull | Rule::Temperature)));
    assert_eq!(found.len(), 7);
}

#[test]
fn power_golden() {
    let ups = |supply: v1::Supply, status: &str, problem: &str| v1::UpsStatus {
        name: "ups@h".to_owned(),
        supply: supply.into(),
        status: status.to_owned(),
        problem: problem.to_owned(),
        charge_percent: Some(9.0),
        replace_battery: status.contains("RB"),
        ..v1::UpsStatus::default()
    };
    use v1::Supply::{Battery, Mains, Unknown};
    for (supply, ups, expected, blind) in [
        (Mains, ups(Mains, "OL", ""), &[][..], 0),
        (Battery, ups(Battery, "OB DISCHRG", ""), &["on-battery warning on battery, about 12 min left"][..], 0),
        (
            Battery,
            ups(Battery, "OB LB RB", ""),
            &[
                "on-battery warning on battery, about 12 min left",
                "battery-low:ups@h critical ups@h: battery low, 9 % charged",
                "replace-battery:ups@h warning ups@h asks for a new battery",
            ][..],
            0,
        ),
        (
            Unknown,
            ups(Unknown, "OB LB", "refused"),
            &["ups-unknown:ups@h warning ups@h cannot be read: refused"][..],
            3,
        ),
    ] {
        let status = v1::PowerStatus {
            supply: supply.into(),
            upses: vec![ups],
            runtime_left_ms: Some(720_000),
            ..v1::PowerStatus::default()
        };
        let mut scan = Scan::default();
        power(&Rules::default(), &status, &mut scan);
        assert_eq!((lines(&scan), scan.blind.len()), (expected.map_strings(), blind));
    }
}

#[test]
fn the_controller_golden() {
    for (percent, left_ms, expected, blind) in [
        (Some(88.0), 1, &[][..], 0),
        (Some(95.4), 1, &["controller-disk critical the controller's disk is 95 % full"][..], 0),
        (None, 0, &["certificate-ending:controller critical the controller's certificate expired"][..], 1),
    ] {
        let mut scan = Scan::default();
        controller(&Rules::default(), percent, left_ms, &mut scan);
        assert_eq!((lines(&scan), scan.blind.len()), (expected.map_strings(), blind));
    }
}
