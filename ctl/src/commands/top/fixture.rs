//! A fleet in trouble, and a view of it, for the tests.

use std::time::Duration;

use jiff::tz::{Offset, TimeZone};
use rackhaven_proto::v1::{self, Alert, BackupSummary, FleetStatus, NodeSummary, PowerStatus, StoredEvent, UpsStatus};

use super::keys::{Input, Key};
use super::view::{Answer, View};
use crate::commands::events::EventReport;
use crate::commands::status::StatusReport;
use crate::connection::Origin;
use crate::output::Page;
use crate::times::Zone;

pub(super) const NOW: i64 = 1_795_292_097_000;

pub(super) fn up(name: &str, cpu: f32) -> NodeSummary {
    NodeSummary {
        name: name.to_owned(),
        state: v1::NodeState::Up.into(),
        arch: "arm64".to_owned(),
        agent_version: "0.1.0".to_owned(),
        state_for_ms: 273_600_000,
        heard_ms_ago: Some(800),
        uptime_seconds: Some(273_700.0),
        cpu_percent: Some(cpu),
        load_one: Some(cpu / 50.0),
        memory_used_percent: Some(40.0 + cpu / 4.0),
        disk_used_percent: Some(61.0),
        disk_mount_point: "/".to_owned(),
        temperature_celsius: Some(41.0 + cpu / 3.0),
        ..NodeSummary::default()
    }
}

pub(super) fn alert(key: &str, severity: v1::Severity, node: &str, summary: &str, minutes: i64, by: &str) -> Alert {
    Alert {
        key: key.to_owned(),
        severity: severity.into(),
        node: node.to_owned(),
        summary: summary.to_owned(),
        since_unix_ms: NOW - minutes * 60_000,
        firing: true,
        acknowledged_by: by.to_owned(),
        ..Alert::default()
    }
}

pub(super) fn empty() -> FleetStatus {
    FleetStatus {
        cluster_name: "rack".to_owned(),
        controller_version: "0.1.0".to_owned(),
        verdict: v1::Verdict::Ok.into(),
        wall_unix_ms: NOW,
        controller_uptime_ms: 1_000_000,
        ..FleetStatus::default()
    }
}

/// Each state, on battery.
pub(super) fn troubled() -> FleetStatus {
    let mut nodes = vec![
        NodeSummary { state: v1::NodeState::Down.into(), state_for_ms: 130_000, ..up("pi-4", 99.0) },
        NodeSummary { state: v1::NodeState::Suspect.into(), state_for_ms: 4_000, ..up("pi-6", 3.0) },
        NodeSummary {
            problems: vec!["/srv is 96 % full".to_owned(), "2 units failed".to_owned()],
            disk_used_percent: Some(96.0),
            disk_mount_point: "/srv".to_owned(),
            ..up("pi-2", 17.0)
        },
        up("master", 61.0),
        up("pi-1", 5.0),
        up("pi-3", 88.0),
        NodeSummary { state: v1::NodeState::Off.into(), state_for_ms: 86_400_000, ..up("pi-5", 0.0) },
        NodeSummary { name: "pi-7".to_owned(), state: v1::NodeState::Unknown.into(), ..NodeSummary::default() },
    ];
    nodes[0].problems.push("down".to_owned());
    FleetStatus {
        verdict: v1::Verdict::Critical.into(),
        verdict_reason: "on battery, 12 min left; 1 of 8 nodes down".to_owned(),
        data_age_ms: Some(900),
        nodes,
        power: Some(PowerStatus {
            phase: v1::PowerPhase::OnBattery.into(),
            supply: v1::Supply::Battery.into(),
            supply_for_ms: 125_000,
            runtime_left_ms: Some(750_000),
            begins_in_ms: Some(421_000),
            upses: vec![UpsStatus {
                name: "ups@localhost".to_owned(),
                supply: v1::Supply::Battery.into(),
                status: "OB DISCHRG".to_owned(),
                reading_age_ms: Some(400),
                charge_percent: Some(63.0),
                runtime_seconds: Some(750),
                load_percent: Some(31.0),
                input_volts: Some(0.0),
                ..UpsStatus::default()
            }],
            wall_unix_ms: NOW,
            ..PowerStatus::default()
        }),
        backups: Some(BackupSummary {
            jobs: 9,
            running: 1,
            late: 2,
            oldest_good_age_ms: Some(90_000_000),
            ..BackupSummary::default()
        }),
        alerts: vec![
            alert("on-battery:ups", v1::Severity::Critical, "", "the rack is on battery", 2, ""),
            alert("node-down:pi-4", v1::Severity::Critical, "pi-4", "the node is down", 2, "ada"),
            alert("disk-full:pi-2:/srv", v1::Severity::Warning, "pi-2", "/srv is 96 % full", 4_000, ""),
        ],
        firing: 3,
        ..empty()
    }
}

pub(super) fn answer(status: FleetStatus) -> Answer {
    let origin =
        Origin { context: Some("home".to_owned()), cluster: None, endpoint: None, address: "rack.lan:7443".to_owned() };
    let event = |position: u64| StoredEvent {
        position,
        node: "pi-4".to_owned(),
        kind: "node.down".to_owned(),
        severity: v1::Severity::Critical.into(),
        message: format!("pi-4 is down: silent for {position} s"),
        happened_unix_ms: NOW - 60_000 + 1_000 * position as i64,
        ..StoredEvent::default()
    };
    let events = (1..40).map(|position| EventReport::new(event(position)).unwrap()).collect();
    Answer { report: StatusReport::new(status, &origin).unwrap(), events, node: None }
}

pub(super) fn view(status: FleetStatus, size: (u16, u16)) -> View {
    let page = Page {
        wide: false,
        columns: None,
        rows: None,
        ascii: false,
        colour: true,
        zone: Zone::new(Some(TimeZone::fixed(Offset::constant(2)))),
    };
    let mut view = View::new(answer(status.clone()), Duration::from_secs(2), size, page);
    for step in 1..30_u16 {
        let mut next = status.clone();
        for node in &mut next.nodes {
            node.cpu_percent = node.cpu_percent.map(|cpu| cpu * f32::from(step % 10) / 9.0);
        }
        view.answer(answer(next), 0);
    }
    view.answer(answer(status), 0);
    view
}

/// Presses keys.
pub(super) fn press(view: &mut View, keys: &str) {
    for c in keys.chars() {
        let key = match c {
            '\n' => Key::Enter,
            '\u{1b}' => Key::Escape,
            c => Key::Char(c),
        };
        view.input(Input::Key(key), 1_000);
    }
}
