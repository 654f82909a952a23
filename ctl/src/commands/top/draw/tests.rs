//! Frames as they are seen, cell by cell.

use rackhaven_proto::v1::{
    self, Cpu, FileSystem, FleetStatus, Load, NodeDetail, NodeFacts, Outage, OutageNode, Point, Sample, Temperature,
    Units,
};
use ratatui::buffer::Buffer;
use ratatui::style::Modifier;

use super::frame;
use crate::commands::node::LiveNode;
use crate::commands::top::fixture::{NOW, answer, empty, press, troubled, up, view};
use crate::commands::top::view::Answer;
use crate::text::Text;

fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let line: String = (0..buffer.area.width).map(|x| buffer.cell((x, y)).unwrap().symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
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
