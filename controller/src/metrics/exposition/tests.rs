use std::collections::BTreeMap;
use std::sync::Arc;

use rackhaven_proto::model::{Labels, NodeFacts, NodeState, Sample, Severity, Verdict};
use rackhaven_proto::v1;

use super::super::snapshot::{ControllerFigures, NodeFigures, Snapshot};
use super::super::{Form, catalogue};
use super::expose;
use crate::alerts::rules::Rule;
use crate::fleet::{NodeView, Reading};
use crate::k3s::nodes::{self, Known, Seen};

/// 2026-11-22 01:00 UTC.
const NOW_MS: i64 = 1_795_309_200_000;
const FRESH_MS: u64 = 15_000;

fn view(name: &str, state: NodeState) -> NodeView {
    NodeView {
        name: name.parse().unwrap(),
        labels: Labels::default(),
        enrolled_ms: 0,
        state,
        state_for_ms: 1,
        heard_ms_ago: Some(250),
        agent_version: "0.1.0".to_owned(),
        facts: Some(Arc::new(NodeFacts {
            arch: "arm64".to_owned(),
            os: "Debian \"12\"".to_owned(),
            model: "Pi \\ 4".to_owned(),
            cpu_count: 2,
            ..NodeFacts::default()
        })),
        last_run: None,
        skew_ms: Some(-12),
        reading: Some(Arc::new(Reading::new(&Sample::try_from(sample()).unwrap()))),
        sample_age_ms: Some(2_000),
        peer_address: "10.0.0.1:1".to_owned(),
    }
}

fn sample() -> v1::Sample {
    let fs = |mount_point: &str, inodes: Option<u64>| v1::FileSystem {
        mount_point: mount_point.to_owned(),
        fs_type: "ext4".to_owned(),
        total_bytes: 100,
        available_bytes: 60,
        used_bytes: 30,
        inodes_total: inodes,
        inodes_used: inodes.map(|all| all / 2),
        read_only: inodes.is_none(),
    };
    v1::Sample {
        uptime_seconds: 86_400.25,
        cpu: Some(v1::Cpu { total_percent: 12.3, core_percent: vec![24.6, 0.0] }),
        load: Some(v1::Load { one: 0.31, five: 0.2, fifteen: 0.1 }),
        memory: Some(v1::Memory { total_bytes: 8, available_bytes: 5, swap_total_bytes: 0, swap_used_bytes: 0 }),
        pressure: Some(v1::Pressure { io_some_percent: Some(1.1), ..v1::Pressure::default() }),
        file_systems: vec![fs("/", Some(10)), fs("/mnt/a \"b\" \\c", None), fs("/", Some(99))],
        disks: vec![v1::Disk {
            name: "mmcblk0".to_owned(),
            busy_percent: 0.8,
            written_bytes_total: Some(40_960),
            ..v1::Disk::default()
        }],
        networks: vec![v1::NetworkInterface {
            name: "eth0".to_owned(),
            errors_total: 3,
            received_bytes_total: Some(u64::MAX),
            sent_bytes_total: Some(0),
            ..v1::NetworkInterface::default()
        }],
        temperatures: vec![v1::Temperature { sensor: "cpu-thermal".to_owned(), celsius: 47.2 }],
        throttling: Some(v1::Throttling { under_voltage_since_boot: true, ..v1::Throttling::default() }),
        units: Some(v1::Units { failed: vec!["a.service".to_owned()], failed_count: 1 }),
        agent: Some(v1::AgentCost { resident_bytes: 3_100_000, cpu_percent: 0.02 }),
        storage: vec![v1::StorageHealth {
            device: "mmcblk0".to_owned(),
            used_life_percent: Some(110.0),
            bad_sectors: Some(0),
            ..v1::StorageHealth::default()
        }],
        k3s: Some(v1::K3sUnit { unit: "k3s-agent".to_owned(), state: "failed".to_owned() }),
        ..v1::Sample::default()
    }
}

fn power() -> v1::PowerStatus {
    let ups = |name: &str, problem: &str| v1::UpsStatus {
        name: name.to_owned(),
        status: "OB DISCHRG".to_owned(),
        reading_age_ms: Some(100),
        problem: problem.to_owned(),
        charge_percent: Some(87.0),
        runtime_seconds: Some(0),
        load_percent: Some(23.5),
        model: "Back-UPS".to_owned(),
        ..v1::UpsStatus::default()
    };
    v1::PowerStatus {
        phase: v1::PowerPhase::OnBattery.into(),
        supply: v1::Supply::Battery.into(),
        upses: vec![ups("ups@localhost", ""), ups("far@nas", "no answer")],
        runtime_left_ms: Some(240_500),
        begins_in_ms: Some(120_000),
        critical_path_ms: 60_000,
        margin_ms: 60_000,
        witnesses: vec![v1::WitnessStatus { address: "printer.lan".to_owned(), answering: true, heard_ms_ago: None }],
        outage: Some(v1::Outage {
            kind: "mains".to_owned(),
            begun_unix_ms: NOW_MS - 30_000,
            nodes: vec![v1::OutageNode { state: "running".to_owned(), ..v1::OutageNode::default() }],
            ..v1::Outage::default()
        }),
        ..v1::PowerStatus::default()
    }
}

fn backups() -> Vec<v1::NodeBackupJob> {
    let job = |name: &str, engine: &str| v1::NodeBackupJob {
        node: "pi-1".to_owned(),
        job: Some(v1::BackupJob {
            name: name.to_owned(),
            engine: engine.to_owned(),
            repository: "/mnt/nas".to_owned(),
            next_unix_ms: Some(NOW_MS + 1),
            ..v1::BackupJob::default()
        }),
        ..v1::NodeBackupJob::default()
    };
    let run = |ended_unix_ms| v1::BackupRun {
        started_unix_ms: NOW_MS - 90_000,
        ended_unix_ms,
        bytes_read: 2_000,
        bytes_stored: 500,
        ..v1::BackupRun::default()
    };
    let good = v1::NodeBackupJob {
        last: Some(run(NOW_MS - 10_000)),
        last_good: Some(run(NOW_MS - 60_000)),
        troubles: vec!["failed".to_owned()],
        ..job("home", "tar")
    };
    vec![good, job("never-run", "rsync"), job("given-only", "")]
}

fn k3s() -> Seen {
    let node = |name: &str, server: bool| nodes::NodeFacts {
        name: name.to_owned(),
        server,
        ready: Some(server),
        version: "v1.36.0+k3s1".to_owned(),
        schedulable: !server,
        ..nodes::NodeFacts::default()
    };
    let nodes = [node("rack-pi-1", true), node("far", false)].map(|node| (node.name.clone(), node)).into();
    let pods = Some([("far".to_owned(), 7)].into());
    let known = Known { configured: true, nodes, pods, heard_ms: Some(1), ..Known::default() };
    Seen { known, names: [("rack-pi-1".to_owned(), "pi-1".parse().unwrap())].into() }
}

fn snapshot() -> Snapshot {
    let labels = BTreeMap::from([("role", "worker"), ("a.b/c", "x"), ("a-b-c", "y")]);
    let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    let up = NodeView {
        labels: Labels::try_from(labels.collect::<BTreeMap<_, _>>()).unwrap(),
        ..view("pi-1", NodeState::Up)
    };
    let stale = NodeView { sample_age_ms: Some(FRESH_MS + 1), ..view("pi-2", NodeState::Suspect) };
    let new = NodeView {
        facts: None,
        reading: None,
        sample_age_ms: None,
        skew_ms: None,
        heard_ms_ago: None,
        peer_address: String::new(),
        ..view("pi-4", NodeState::Unknown)
    };
    let node = |view, ends| NodeFigures::new(view, ends, FRESH_MS);
    Snapshot {
        wall_unix_ms: NOW_MS,
        cluster: "home".to_owned(),
        cluster_id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
        verdict: Verdict::Critical,
        nodes: vec![
            node(up, Some(NOW_MS + 1_000)),
            node(stale, None),
            node(view("pi-3", NodeState::Down), None),
            node(new, None),
        ],
        k3s: k3s(),
        power: Some(power()),
        backups: backups(),
        alerts: BTreeMap::from([((Rule::NodeDown, Severity::Critical), 1), ((Rule::DiskFull, Severity::Warning), 2)]),
        outbox: Some(BTreeMap::from([("phone".to_owned(), 0)])),
        controller: ControllerFigures {
            connections: 3,
            certificate_ends_unix_ms: NOW_MS,
            disk: Some((1_000, 400)),
            databases: vec![("record", 4_096)],
            cpu_ms: Some(1_230),
            resident_bytes: Some(9_000_000),
            open_fds: Some(20),
            max_fds: None,
            started_unix_ms: NOW_MS - 5,
        },
    }
}

#[test]
fn a_small_fleet() {
    let text = expose(&snapshot(), Form::OpenMetrics, 0);
    let quiet = |line: &&str| !(line.starts_with("rackhaven_alerts_firing{") && line.ends_with("} 0"));
    insta::assert_snapshot!(text.lines().filter(quiet).collect::<Vec<_>>().join("\n"));
}

/// The names of the samples of a text, in their order.
fn names(text: &str) -> Vec<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.split(['{', ' ']).next().unwrap_or_default()).collect()
}

#[test]
fn samples_of_a_metric_stand_together_and_none_is_there_twice() {
    for form in [Form::OpenMetrics, Form::Plain] {
        let text = expose(&snapshot(), form, 0);
        let mut order = names(&text);
        order.dedup();
        let known = catalogue::ALL.iter().map(catalogue::Family::sample_name);
        let known: Vec<_> = known.filter(|name| order.contains(&name.as_str())).collect();
        assert_eq!(order, known, "each once, in the order of the catalogue");
        let mut series: Vec<_> =
            text.lines().filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series).collect();
        series.retain(|series| !series.starts_with('#'));
        let all = series.len();
        series.sort_unstable();
        series.dedup();
        assert_eq!(series.len(), all, "a series is there twice");
    }
}

#[test]
fn what_is_not_measured_now_is_absent() {
    let text = expose(&snapshot(), Form::Plain, 0);
    for node in ["pi-2", "pi-3", "pi-4"] {
        let of_node = format!("{{node=\"{node}\"");
        let lines: Vec<_> = text.lines().filter(|line| line.contains(&of_node)).collect();
        let measured = ["cpu_usage", "memory", "filesystem", "temperature", "uptime", "disk_", "network_", "load1"];
        for what in measured {
            assert!(!lines.iter().any(|line| line.contains(what)), "{node} has {what}: {lines:?}");
        }
    }
    assert!(!text.contains("clock_skew_seconds{node=\"pi-3\"}"), "it is not so of a node that is gone");
    assert!(!text.contains("far@nas\",flag") && text.contains("rackhaven_ups_up{ups=\"far@nas\"} 0"));
    assert!(!text.contains("rackhaven_ups_battery_runtime_seconds"), "0 is no runtime");
}

#[test]
fn nothing_there_is_still_an_answer() {
    let empty = Snapshot {
        nodes: Vec::new(),
        power: None,
        backups: Vec::new(),
        alerts: BTreeMap::new(),
        outbox: None,
        controller: ControllerFigures::default(),
        ..snapshot()
    };
    let text = expose(&empty, Form::OpenMetrics, 0);
    assert!(!text.contains("rackhaven_node_up") && !text.contains("rackhaven_ups") && text.ends_with("# EOF\n"));
}
