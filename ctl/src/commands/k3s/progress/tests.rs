use rackhaven_proto::v1;
use rackhaven_proto::v1::k3s_ended::Result as Ended;
use rackhaven_proto::v1::k3s_finding::Level;
use rackhaven_proto::v1::k3s_step::State;

use super::board::Board;
use super::report::{EndedReport, ProgressReport};
use crate::output::Page;
use crate::text::width;
use crate::times::Zone;

fn page(columns: usize, rows: usize) -> Page {
    let (columns, rows) = (Some(columns), Some(rows));
    Page { wide: false, columns, rows, ascii: false, colour: false, zone: Zone::new(None) }
}

fn step(node: &str, name: &str, state: State, text: &str) -> v1::K3sProgress {
    let step = v1::K3sStep { name: name.into(), state: state.into(), text: text.into(), ..v1::K3sStep::default() };
    v1::K3sProgress { node: node.into(), step: Some(step), ..v1::K3sProgress::default() }
}

fn counted(node: &str, done: u32) -> v1::K3sProgress {
    let mut told = step(node, "evict", State::Running, "waiting for budget web");
    told.step.iter_mut().for_each(|step| (step.done_count, step.total_count) = (done, 50));
    told
}

fn report(wire: v1::K3sProgress) -> ProgressReport {
    ProgressReport::new(wire).unwrap()
}

fn finding(level: Level, remedy: &str) -> v1::K3sProgress {
    let text = "the kernel was started without it".to_owned();
    let finding = v1::K3sFinding { check: "memory cgroup".into(), level: level.into(), text, remedy: remedy.into() };
    v1::K3sProgress { node: "pi-1".into(), findings: vec![finding], ..v1::K3sProgress::default() }
}

fn ended(nodes: &[(&str, Ended, &str)]) -> v1::K3sProgress {
    let one = |&(node, result, text): &(&str, Ended, &str)| v1::K3sEnded {
        node: node.to_owned(),
        result: result.into(),
        text: text.to_owned(),
    };
    v1::K3sProgress { ended: nodes.iter().map(one).collect(), ..v1::K3sProgress::default() }
}

#[test]
fn a_pipe_is_told_each_change_once() {
    let page = Page { columns: None, rows: None, ..page(80, 24) };
    assert_eq!(report(step("pi-1", "cordon", State::Done, "")).lines(&page), "pi-1: cordon: done\n");
    let at = |done| report(counted("pi-1", done));
    assert_eq!(at(12).lines(&page), "pi-1: evict: running: 12 of 50, waiting for budget web\n");
    assert_eq!(at(11).brief(), at(14).brief());
    assert_ne!(at(14).brief(), at(15).brief());
    let found = report(finding(Level::Problem, "add cgroup_enable=memory to /boot/firmware/cmdline.txt"));
    assert_eq!(
        found.lines(&page),
        "pi-1: problem: memory cgroup: the kernel was started without it\n  \
         add cgroup_enable=memory to /boot/firmware/cmdline.txt\n"
    );
    assert_eq!(report(finding(Level::Ok, "")).lines(&page), "");
}

#[test]
fn a_screen_has_one_line_for_each_node_and_no_more_than_it_has_room_for() {
    let mut board = Board::default();
    board.take(&report(step("pi-1", "cordon", State::Done, "")));
    board.take(&report(counted("pi-1", 12)));
    board.take(&report(step("a-node-with-a-rather-long-name", "install", State::Failed, &"no room ".repeat(20))));
    let drawn = board.lines(&page(80, 24));
    assert_eq!(drawn[0], "pi-1                      evict    running    12 of 50, waiting for budget web");
    assert!(drawn[1].starts_with("a-node-with-a-rather-lo…  install  failed     no room no room"), "{}", drawn[1]);
    assert!(drawn.iter().all(|line| width(line) <= 80), "{drawn:?}");
    for number in 2..9 {
        board.take(&report(step(&format!("pi-{number}"), "install", State::Running, "")));
    }
    let drawn = board.lines(&page(80, 6));
    assert_eq!(drawn.len(), 5);
    assert_eq!(drawn[4], "… 5 more");
    board.end();
    assert!(board.lines(&page(80, 24)).is_empty());
}

#[test]
fn the_end_says_all_of_what_went_wrong() {
    let long = "left after 300 s: default/web-7 (budget web allows none to go), default/db-0 (ends since 290 s)";
    let told = report(ended(&[("pi-1", Ended::Done, "50 pods"), ("pi-2", Ended::Failed, long)]));
    assert_eq!(
        told.end_lines(&page(80, 24)),
        "NODE  RESULT\n\
         pi-1  done    50 pods\n\
         pi-2  failed\n  \
         left after 300 s: default/web-7 (budget web allows none to go), default/db-0\n  \
         (ends since 290 s)\n"
    );
    assert!(!told.ended.iter().all(EndedReport::is_good));
    let json = serde_json::to_value(&told).unwrap();
    assert_eq!(json["ended"][1]["result"], "failed");
    assert!(json["node"].is_null() && json["step"].is_null() && json["findings"].as_array().unwrap().is_empty());
}

#[test]
fn what_is_not_understood_is_refused_and_nothing_steers_the_terminal() {
    assert!(ProgressReport::new(step("pi-1", "x", State::Unspecified, "")).is_err());
    assert!(ProgressReport::new(ended(&[("pi-1", Ended::Unspecified, "")])).is_err());
    let hostile = report(step("pi\u{1b}[2J", "x\r", State::Failed, "\u{9b}31m"));
    assert!(!hostile.lines(&page(80, 24)).trim_end().chars().any(char::is_control));
}
