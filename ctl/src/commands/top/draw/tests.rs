//! Frames as they are seen, cell by cell.

use std::time::Duration;

use jiff::tz::{Offset, TimeZone};
use rackhaven_proto::v1::{
    self, Alert, BackupSummary, Cpu, FileSystem, FleetStatus, Load, NodeDetail, NodeFacts, NodeSummary, Outage,
    OutageNode, Point, PowerStatus, Sample, StoredEvent, Temperature, Units, UpsStatus,
};
use ratatui::buffer::Buffer;
use ratatui::style::Modifier;

use super::frame;
use crate::commands::events::EventReport;
use crate::commands::node::LiveNode;
use crate::commands::status::StatusReport;
use crate::commands::top::keys::{Input, Key};
use crate::commands::top::view::{Answer, View};
use crate::connection::Origin;
use crate::output::Page;
use crate::text::Text;
use crate::times::Zone;

const NOW: i64 = 1_795_292_097_000;

fn up(name: &str, cpu: f32) -> NodeSummary {
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

fn alert(key: &str, severity: v1::Severity, node: &str, summary: &str, minutes: i64, by: &str) -> Alert {
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

fn empty() -> FleetStatus {
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
fn troubled() -> FleetStatus {
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

fn answer(status: FleetStatus) -> Answer {
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

fn view(status: FleetStatus, size: (u16, u16)) -> View {
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

fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let line: String = (0..buffer.area.width).map(|x| buffer.cell((x, y)).unwrap().symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn press(view: &mut View, keys: &str) {
    for c in keys.chars() {
        let key = match c {
            '\n' => Key::Enter,
            '\u{1b}' => Key::Escape,
            c => Key::Char(c),
        };
        view.input(Input::Key(key), 1_000);
    }
}

macro_rules! golden {
    ($name:literal, $view:expr, $now_ms:expr) => {
        let view = &$view;
        let frame = text(&frame(view, $now_ms));
        let widest = frame.lines().map(crate::text::width).max().unwrap();
        assert!(widest <= view.size.0.into(), "{frame}");
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(concat!("top_", $name), frame);
        });
    };
}

#[test]
fn all_states_on_each_screen() {
    golden!("80x24", view(troubled(), (80, 24)), 1_000);
    // The manual shows what there is to see.
    let manual = include_str!("../../../../../docs/ctl.md");
    assert!(manual.contains(&text(&frame(&view(troubled(), (80, 24)), 1_000))));
    golden!("60x14", view(troubled(), (60, 14)), 1_000);
    golden!("200x50", view(troubled(), (200, 50)), 1_000);
    golden!("40x10", view(troubled(), (40, 10)), 1_000);
}

#[test]
fn no_screen_makes_it_panic() {
    for columns in [1, 2, 20, 59, 60, 61, 80, 119, 120, 121, 200] {
        for rows in [1, 2, 5, 13, 14, 15, 24, 29, 30, 31, 50] {
            let mut view = view(troubled(), (columns, rows));
            for keys in ["", "2", "3", "4", "?", "q1jjj\n", "\u{1b}/pi", "\nsI", "2aay"] {
                press(&mut view, keys);
                frame(&view, 5_000);
            }
        }
    }
}

#[test]
fn a_fleet_without_nodes() {
    golden!("empty", view(empty(), (80, 24)), 1_000);
}

#[test]
fn a_hundred_nodes_scrolled() {
    let nodes = (0..100_u8).map(|number| up(&format!("node-{number:03}"), f32::from(number))).collect();
    let mut view = view(FleetStatus { nodes, ..troubled() }, (80, 24));
    press(&mut view, "P");
    (0..30).for_each(|_| press(&mut view, "j"));
    golden!("scrolled", view, 1_000);
    // Whatever becomes of the order, the chosen node stays chosen.
    assert_eq!(view.node().unwrap().name.as_str(), "node-069");
    press(&mut view, "G");
    assert_eq!(view.node().unwrap().name.as_str(), "node-000");
}

#[test]
fn a_controller_that_is_lost() {
    let mut view = view(troubled(), (80, 24));
    view.asked_ms = Some(2_000);
    view.lost("cannot reach rack.lan:7443: connection refused".to_owned(), 2_500);
    view.lost("cannot reach rack.lan:7443: connection refused".to_owned(), 9_000);
    golden!("lost", view, 14_000);
    let frame = frame(&view, 14_000);
    assert!(frame.cell((2, 10)).unwrap().modifier.contains(Modifier::DIM));
    assert!(!frame.cell((0, 0)).unwrap().modifier.contains(Modifier::DIM));
}

#[test]
fn questions_and_help() {
    let mut view = view(troubled(), (80, 24));
    press(&mut view, "/pi-2");
    golden!("filter", view, 1_000);
    press(&mut view, "\n");
    golden!("filtered", view, 1_000);
    press(&mut view, "\u{1b}2a");
    golden!("confirm", view, 1_000);
    press(&mut view, "n4");
    golden!("power", view, 20_000);
    press(&mut view, "?");
    golden!("help", view, 20_000);
}

#[test]
fn nodes_go_down_in_an_outage() {
    let mut status = troubled();
    let power = status.power.as_mut().unwrap();
    power.phase = v1::PowerPhase::ShuttingDown.into();
    power.begins_in_ms = None;
    let node = |name: &str, state: &str| OutageNode {
        name: name.to_owned(),
        stage: "workers".to_owned(),
        state: state.to_owned(),
        ..OutageNode::default()
    };
    power.outage = Some(Outage {
        number: 3,
        kind: "mains".to_owned(),
        begun_unix_ms: NOW - 125_000,
        nodes: vec![node("pi-1", "stopping"), node("pi-2", "off")],
        ..Outage::default()
    });
    let view = view(status, (80, 24));
    golden!("outage", view, 1_000);
}

#[test]
fn one_node_closely() {
    let point = |minute: i64| Point {
        wall_unix_ms: NOW + minute * 60_000,
        cpu_percent: Some((minute % 20) as f32 * 5.0),
        memory_used_percent: Some(42.0),
        temperature_celsius: Some(40.0 + minute as f32 / 2.0),
        ..Point::default()
    };
    let file_system = |mount: &str, used: u64| FileSystem {
        mount_point: mount.to_owned(),
        fs_type: "ext4".to_owned(),
        total_bytes: 100 << 30,
        available_bytes: (100 - used) << 30,
        used_bytes: used << 30,
        ..FileSystem::default()
    };
    let status = troubled();
    let detail = || NodeDetail {
        summary: Some(status.nodes[2].clone()),
        facts: Some(NodeFacts {
            hostname: "pi-2".to_owned(),
            os: "Debian GNU/Linux 12 (bookworm)".to_owned(),
            kernel: "6.12.25".to_owned(),
            model: "Raspberry Pi 5 Model B".to_owned(),
            cpu_count: 4,
            memory_total_bytes: 8 << 30,
            ..NodeFacts::default()
        }),
        sample: Some(Sample {
            cpu: Some(Cpu { total_percent: 17.0, core_percent: vec![34.0, 5.0, 100.0, 0.0] }),
            load: Some(Load { one: 0.42, five: 0.4, fifteen: 0.3 }),
            file_systems: vec![file_system("/", 61), file_system("/srv", 96)],
            temperatures: vec![Temperature { sensor: "cpu-thermal".to_owned(), celsius: 46.7 }],
            units: Some(Units { failed_count: 2, failed: vec!["nfs.service".to_owned(), "db.service".to_owned()] }),
            ..Sample::default()
        }),
        sample_age_ms: Some(900),
        minutes: (0..60).map(point).collect(),
        ..NodeDetail::default()
    };
    let mut small = view(troubled(), (80, 24));
    press(&mut small, "jj\n");
    golden!("node_asked", small, 1_000);
    let told = || Some((Text::new("pi-2"), Ok(LiveNode::new(detail()).unwrap())));
    small.answer(Answer { node: told(), ..answer(troubled()) }, 1_000);
    golden!("node_80x24", small, 1_000);
    press(&mut small, "G");
    golden!("node_scrolled", small, 1_000);
    small.size = (200, 50);
    golden!("node_200x50", small, 1_000);
    let gone = Some((Text::new("pi-2"), Err("there is no node pi-2".to_owned())));
    small.answer(Answer { node: gone, ..answer(troubled()) }, 1_000);
    assert!(text(&frame(&small, 1_000)).contains("there is no node pi-2"));
}
