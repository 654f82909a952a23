//! Messages as a controller sends them, made by hand.

use std::collections::BTreeMap;

use rackhaven_proto::v1::*;

/// 2026-11-21 20:14:57 UTC, milliseconds.
pub(crate) const NOW_MS: i64 = 1_795_292_097_000;
pub(crate) const DAY_MS: u64 = 24 * 3600 * 1000;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A node that is well.
pub(crate) fn node(name: &str) -> NodeSummary {
    NodeSummary {
        name: name.to_owned(),
        state: NodeState::Up.into(),
        arch: "arm64".to_owned(),
        agent_version: "0.1.0".to_owned(),
        labels: labels(&[("role", "worker"), ("stage", "1")]),
        state_for_ms: 3 * DAY_MS + 4 * 3_600_000,
        heard_ms_ago: Some(1200),
        clock_skew_ms: Some(12),
        uptime_seconds: Some(273_700.0),
        cpu_percent: Some(12.4),
        load_one: Some(0.42),
        memory_used_percent: Some(45.2),
        disk_used_percent: Some(37.0),
        disk_mount_point: "/".to_owned(),
        temperature_celsius: Some(52.1),
        problems: vec![],
        certificate_ends_unix_ms: NOW_MS + 80 * DAY_MS as i64,
    }
}

/// A rack with one board down, and a full NAS.
pub(crate) fn degraded() -> FleetStatus {
    let down = NodeSummary {
        state: NodeState::Down.into(),
        state_for_ms: 12 * 60_000,
        heard_ms_ago: Some(730_000),
        problems: vec!["down".to_owned(), "certificate ends in 6 days".to_owned()],
        ..node("pi-3")
    };
    let nas = NodeSummary {
        arch: "amd64".to_owned(),
        labels: labels(&[("role", "nas")]),
        cpu_percent: Some(3.0),
        disk_used_percent: Some(96.2),
        disk_mount_point: "/srv/backup".to_owned(),
        temperature_celsius: None,
        problems: vec!["disk /srv/backup 96 % full".to_owned(), "failed unit smartd.service".to_owned()],
        ..node("nas")
    };
    let master = NodeSummary {
        arch: "amd64".to_owned(),
        labels: labels(&[("role", "master")]),
        load_one: Some(1.5),
        ..node("master")
    };
    let spare = NodeSummary {
        state: NodeState::Unknown.into(),
        arch: String::new(),
        agent_version: String::new(),
        labels: BTreeMap::new(),
        heard_ms_ago: None,
        clock_skew_ms: None,
        uptime_seconds: None,
        cpu_percent: None,
        load_one: None,
        memory_used_percent: None,
        disk_used_percent: None,
        disk_mount_point: String::new(),
        temperature_celsius: None,
        problems: vec!["not heard of yet".to_owned()],
        ..node("spare")
    };
    FleetStatus {
        k3s: Some(K3sSummary {
            nodes: 6,
            not_ready: vec!["pi-3".to_owned()],
            cordoned: vec!["pi-2".to_owned()],
            problem: String::new(),
        }),
        cluster_id: "rh-0123456789ab".to_owned(),
        cluster_name: "rack".to_owned(),
        controller_version: "0.1.0".to_owned(),
        verdict: Verdict::Degraded.into(),
        verdict_reason: "1 of 6 nodes down (pi-3); 1 of 6 nodes not heard (spare); nas: disk /srv/backup 96 % full"
            .to_owned(),
        data_age_ms: Some(2300),
        wall_unix_ms: NOW_MS,
        controller_uptime_ms: 12 * DAY_MS,
        nodes: vec![down, spare, nas, master, node("pi-1"), node("pi-2")],
        server_certificate_ends_unix_ms: NOW_MS + 300 * DAY_MS as i64,
        power: None,
        backups: None,
        alerts: Vec::new(),
        firing: 0,
    }
}

/// A rack in which all is well.
pub(crate) fn healthy() -> FleetStatus {
    FleetStatus {
        verdict: Verdict::Ok.into(),
        verdict_reason: "2 nodes up".to_owned(),
        nodes: vec![node("pi-1"), node("pi-2")],
        ..degraded()
    }
}

/// A day of a Raspberry Pi in steps of 20 minutes: a spike at night, no sensor for some hours, two times down.
pub(crate) fn day() -> NodeHistory {
    let step_ms = 20 * 60_000;
    let first = (NOW_MS - DAY_MS as i64) / step_ms;
    let point = |number: i64| {
        let wave = (number as f32 / 11.0).sin();
        let cpu = 14.0 + 9.0 * wave;
        let spike = number == 22;
        let spread = |mean: f32, below: f32, above: f32| Some(Spread { mean, low: mean - below, high: mean + above });
        HistoryPoint {
            wall_unix_ms: (first + number) * step_ms,
            heard_minutes: if number == 48 { 9 } else { 20 },
            cpu_percent: spread(cpu, 3.0, if spike { 99.0 - cpu } else { 6.0 }),
            memory_used_percent: spread(45.0 + wave, 0.3, 0.3),
            temperature_celsius: (!(30..36).contains(&number))
                .then_some(())
                .and_then(|()| spread(52.0 + 6.0 * wave, 1.0, if spike { 30.5 } else { 2.0 })),
            load_one: spread(0.4 + 0.2 * wave, 0.1, if spike { 3.1 } else { 0.3 }),
            disk_used_percent: spread(37.0 + number as f32 / 3.0, 0.0, 0.0),
        }
    };
    NodeHistory {
        summary: Some(NodeSummary { problems: vec!["under-voltage since boot".to_owned()], ..node("pi-1") }),
        since_unix_ms: NOW_MS - DAY_MS as i64,
        until_unix_ms: NOW_MS,
        step_seconds: 1200,
        points: (0..73).filter(|number| !(40..45).contains(number)).map(point).collect(),
        first_unix_ms: Some(NOW_MS - 20 * DAY_MS as i64),
        expected_minutes: 1440,
        heard_minutes: 1329,
    }
}

/// All that there is to know of a Raspberry Pi.
pub(crate) fn detail() -> NodeDetail {
    let point = |minute: i64| Point {
        wall_unix_ms: NOW_MS - (60 - minute) * 60_000,
        cpu_percent: (minute != 30).then_some(5.0 + (minute % 20) as f32 * 4.0),
        memory_used_percent: Some(45.0),
        temperature_celsius: Some(48.0 + minute as f32 / 10.0),
        load_one: Some(0.4),
        disk_used_percent: Some(37.0),
    };
    NodeDetail {
        summary: Some(NodeSummary { problems: vec!["under-voltage since boot".to_owned()], ..node("pi-1") }),
        facts: Some(NodeFacts {
            hostname: "pi-1".to_owned(),
            arch: "arm64".to_owned(),
            os: "Debian GNU/Linux 12 (bookworm)".to_owned(),
            kernel: "6.6.31+rpt-rpi-v8".to_owned(),
            model: "Raspberry Pi 4 Model B Rev 1.5".to_owned(),
            cpu_count: 4,
            memory_total_bytes: 3_972_844_748,
            boot_id: "3f1c1a52-5b9f-4c57-9d65-6a1d8a4b8a11".to_owned(),
            wake_macs: Vec::new(),
        }),
        sample: Some(sample()),
        sample_age_ms: Some(2300),
        last_run: Some(LastRun {
            ending: last_run::Ending::NodeLost.into(),
            boot_id: "0d8f2c1e-0000-4000-8000-000000000000".to_owned(),
            reason: String::new(),
        }),
        enrolled_unix_ms: NOW_MS - 20 * DAY_MS as i64,
        certificate_serial: "5a0b".to_owned(),
        peer_address: "10.0.0.11:51234".to_owned(),
        recent: vec![point(59)],
        minutes: (0..60).map(point).collect(),
    }
}

fn sample() -> Sample {
    let fs = |mount_point: &str, fs_type: &str, total_bytes: u64, used_bytes: u64, read_only| FileSystem {
        mount_point: mount_point.to_owned(),
        fs_type: fs_type.to_owned(),
        total_bytes,
        used_bytes,
        available_bytes: (total_bytes - used_bytes) / 20 * 19,
        inodes_total: (fs_type == "ext4").then_some(1_900_000),
        inodes_used: (fs_type == "ext4").then_some(90_000),
        read_only,
    };
    Sample {
        sequence: 54_321,
        wall_unix_ms: NOW_MS - 2300,
        uptime_seconds: 273_700.0,
        cpu: Some(Cpu { total_percent: 12.4, core_percent: vec![40.0, 5.0, 2.0, 2.6] }),
        load: Some(Load { one: 0.42, five: 0.38, fifteen: 0.3 }),
        memory: Some(Memory {
            total_bytes: 3_972_844_748,
            available_bytes: 2_177_118_921,
            swap_total_bytes: 104_853_504,
            swap_used_bytes: 0,
        }),
        pressure: None,
        file_systems: vec![
            fs("/", "ext4", 31_268_536_320, 11_569_358_438, false),
            fs("/boot/firmware", "vfat", 535_805_952, 80_530_636, true),
        ],
        disks: vec![Disk {
            name: "mmcblk0".to_owned(),
            read_bytes_per_second: 0,
            written_bytes_per_second: 48_213,
            busy_percent: 1.4,
            ..Disk::default()
        }],
        networks: vec![NetworkInterface {
            name: "eth0".to_owned(),
            received_bytes_per_second: 12_911,
            sent_bytes_per_second: 1_310_720,
            errors_total: 3,
            ..NetworkInterface::default()
        }],
        temperatures: vec![Temperature { sensor: "cpu-thermal".to_owned(), celsius: 52.1 }],
        throttling: Some(Throttling { under_voltage_since_boot: true, ..Throttling::default() }),
        units: Some(Units { failed: vec!["man-db.service".to_owned()], failed_count: 2 }),
        agent: Some(AgentCost { resident_bytes: 8_493_465, cpu_percent: 0.3 }),
        storage: vec![StorageHealth {
            device: "mmcblk0".to_owned(),
            model: "SD32G".to_owned(),
            file_system_errors: Some(3),
            ..StorageHealth::default()
        }],
        k3s: Some(K3sUnit { unit: "k3s-agent".to_owned(), state: "active".to_owned() }),
    }
}

/// An event, one minute after the one before.
pub(crate) fn event(position: u64, severity: Severity, kind: &str, message: &str) -> StoredEvent {
    let happened_unix_ms = NOW_MS + position as i64 * 60_000;
    StoredEvent {
        position,
        node: if kind.starts_with("controller") { String::new() } else { "pi-3".to_owned() },
        kind: kind.to_owned(),
        severity: severity.into(),
        message: message.to_owned(),
        happened_unix_ms,
        stored_unix_ms: happened_unix_ms + 50,
    }
}

/// Three events.
pub(crate) fn events() -> Vec<StoredEvent> {
    vec![
        event(41, Severity::Info, "controller.started", "controller 0.1.0 started"),
        event(
            42,
            Severity::Critical,
            "node.down",
            "pi-3 is down: 5 heartbeats missed, last heard 10 s ago from 10.0.0.13:51234",
        ),
        event(43, Severity::Warning, "node.rebooted", "pi-3 is back after an unclean stop"),
    ]
}
