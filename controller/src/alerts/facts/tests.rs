use rackhaven_proto::model::{NodeState, Severity};
use rackhaven_proto::v1;

use super::{Controller, controller, forecast, node, power, sample};
use crate::alerts::core::Scan;
use crate::alerts::forecast::Trend;
use crate::alerts::rules::{Rule, Rules};
use crate::fleet::{NodeView, Reading};

pub(super) fn view(state: NodeState) -> NodeView {
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
            13,
        ),
        (NodeState::Unknown, None, &[][..], 14),
        (NodeState::Off, Some(30 * DAY_MS), &[][..], 13),
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
        storage: vec![
            v1::StorageHealth { device: "mmcblk0".to_owned(), file_system_errors: Some(0), ..Default::default() },
            v1::StorageHealth { device: "mmcblk1".to_owned(), used_life_percent: Some(90.0), ..Default::default() },
            v1::StorageHealth { device: "sda".to_owned(), bad_sectors: Some(8), ..Default::default() },
            v1::StorageHealth { device: "sdb".to_owned(), failing: true, ..Default::default() },
        ],
        k3s: Some(v1::K3sUnit { unit: "k3s-agent".to_owned(), state: "activating".to_owned() }),
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
            "storage-health:pi-1:mmcblk1 warning mmcblk1: 90 % of its life used",
            "storage-health:pi-1:sda warning sda: 8 bad sectors",
            "storage-health:pi-1:sdb critical sdb: it says that it fails",
            "temperature:pi-1 critical 91 °C at cpu",
            "under-voltage:pi-1 warning under-voltage since boot",
            "throttled:pi-1 warning throttled",
            "failed-units:pi-1 warning failed unit a.service",
            "k3s-not-ready:pi-1 warning k3s-agent is activating",
            "read-only-root:pi-1 critical disk / is read-only",
        ]
    );
    rules.get_mut(Rule::DiskFull).enabled = false;
    rules.get_mut(Rule::Temperature).nodes = vec![crate::power::config::selector("x", "role=master").unwrap()];
    let found = sample(&rules, &view(NodeState::Up), &bad);
    assert!(found.iter().all(|condition| !matches!(condition.key.rule, Rule::DiskFull | Rule::Temperature)));
    assert_eq!(found.len(), 11);
}

#[test]
fn forecasts_golden() {
    let filled = |minutes: u64, percent_a_minute: f64| {
        let mut trend = Trend::default();
        (0..=minutes).for_each(|minute| trend.add(minute * 60_000, 10.0 + percent_a_minute * minute as f64));
        trend
    };
    let mut scan = Scan::default();
    let trends = [("/", filled(120, 0.0)), ("/srv", filled(120, 0.2)), ("/var", filled(120, 0.065))];
    let trends = trends.into_iter().map(|(mount, trend)| (mount.to_owned(), trend)).collect();
    forecast(&Rules::default(), &view(NodeState::Up), &trends, &mut scan);
    assert_eq!(
        (lines(&scan), scan.blind.len()),
        (
            vec![
                "disk-full-soon:pi-1:/srv warning disk /srv will be full in 5 h".to_owned(),
                "disk-full-soon:pi-1:/var warning disk /var will be full in 21 h".to_owned()
            ],
            0
        )
    );
    let young = [("/".to_owned(), filled(10, 1.0))].into();
    let mut scan = Scan::default();
    forecast(&Rules::default(), &view(NodeState::Up), &young, &mut scan);
    assert_eq!((lines(&scan).len(), scan.blind.len()), (0, 1));
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
    let failing = || std::collections::BTreeMap::from([("phone".to_owned(), "refused\n".to_owned())]);
    for (disk_percent, certificate_left_ms, waiting, expected, blind) in [
        (
            Some(88.0),
            1,
            99,
            &[
                "controller-queue held 99 messages wait to be told",
                "channel-failing:phone warning the channel phone does not take its messages: refused",
            ][..],
            0,
        ),
        (Some(95.4), 1, 0, &["controller-disk critical the controller's disk is 95 % full"][..], 0),
        (None, 0, 0, &["certificate-ending:controller critical the controller's certificate expired"][..], 1),
    ] {
        let mut scan = Scan::default();
        let failing = if waiting > 0 { failing() } else { std::collections::BTreeMap::new() };
        let of = Controller { disk_percent, certificate_left_ms, waiting, failing };
        controller(&Rules::default(), &of, &mut scan);
        assert_eq!((lines(&scan), scan.blind.len()), (expected.map_strings(), blind));
    }
}
