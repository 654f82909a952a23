//! Runs that are followed: bars on a screen, lines in a pipe, objects for programs.

use insta::assert_snapshot;
use rackhaven_ctl::ExitStatus;
use rackhaven_proto::v1::backup_change::Change;
use rackhaven_proto::v1::*;
use tonic::Code;

use crate::backup_rack::{night, run, started};
use crate::harness::{Ctl, Outcome, both};
use crate::script::{Controller, Ending, Script};

fn follow(script: Script, arguments: &str, prepare: impl FnOnce(Ctl) -> Ctl) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let served = Controller::new(script).serve(folder.path());
    prepare(Ctl::new(folder.path()).args(arguments.split(' ')).args(["--socket"]).args([&served.path])).run()
}

fn script(changes: Vec<BackupChange>) -> Script {
    let nodes = [("pi-1", "r-1"), ("nas", "r-2"), ("pi-3", "r-3")];
    let ended =
        |id: &str| changes.iter().any(|change| matches!(&change.change, Some(Change::Ended(run)) if run.run_id == id));
    let started = nodes.iter().filter(|(_, id)| ended(id)).map(|(node, id)| started(node, "etc", id)).collect();
    Script { started, backups: changes, ending: Ending::Over, ..Script::default() }
}

fn pages(out: &str) -> Vec<String> {
    let plain = |page: &str| page.replace("\u{1b}[K", "").replace("\u{1b}[J", "").replace('\r', "");
    out.split("\u{1b}[H").skip(1).map(plain).collect()
}

#[test]
fn a_screen_shows_bars_and_then_how_it_ended() {
    let outcome = follow(script(night()), "backup run --follow", Ctl::on_screen);
    assert_eq!(outcome.status, ExitStatus::Failed, "{}", outcome.err);
    let pages = pages(&outcome.out);
    for page in &pages {
        let widest = page.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{widest:?} columns:\n{page}");
    }
    // The rate depends on the moment at which a message comes.
    let half = pages.iter().find(|page| page.contains("50%")).unwrap();
    assert!(half.contains("████████░░░░░░░░  50%  650MiB"), "{half}");
    assert_snapshot!("backup_follow_ended", pages.last().unwrap());
}

#[test]
fn a_pipe_gets_lines_and_programs_objects() {
    let outcome = follow(script(night()), "backup run --follow", |ctl| ctl);
    assert_snapshot!("backup_follow_piped", both(&outcome));
    let outcome = follow(script(night()[..4].to_vec()), "backup run --follow -o json", |ctl| ctl);
    assert_eq!(outcome.status, ExitStatus::Fine, "{}", outcome.err);
    let lines: Vec<serde_json::Value> = outcome.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["started"][0]["run_id"], "r-1");
    assert_eq!(lines[3]["progress"]["read_bytes"], 650 * 1024 * 1024);
    assert_eq!((&lines[4]["change"], &lines[4]["run"]["outcome"]), (&"ended".into(), &"ok".into()));
    assert!(lines[4]["progress"].is_null() && lines[3]["run"].is_null());
}

#[test]
fn the_exit_status_is_that_of_the_worst() {
    for (outcome, status) in [
        (BackupOutcome::Ok, ExitStatus::Fine),
        (BackupOutcome::Warn, ExitStatus::Fine),
        (BackupOutcome::Partial, ExitStatus::Failed),
        (BackupOutcome::Failed, ExitStatus::Failed),
        (BackupOutcome::Stopped, ExitStatus::Failed),
        (BackupOutcome::Refused, ExitStatus::Failed),
    ] {
        let ended = Change::Ended(run("r-1", "save", outcome, 0));
        let changes = vec![BackupChange { node: "pi-1".to_owned(), change: Some(ended) }];
        for arguments in ["backup run --follow", "backup watch r-1", "backup prune --dry-run"] {
            let ended = follow(script(changes.clone()), arguments, |ctl| ctl);
            assert_eq!(ended.status, status, "{arguments}, {outcome:?}: {}", ended.err);
        }
    }
    // What could not be begun has not gone well either.
    let mut refused = script(night()[..4].to_vec());
    refused.started.push(StartedBackup { refused: "it is away".to_owned(), ..started("pi-2", "etc", "") });
    let outcome = follow(refused, "backup run --follow", |ctl| ctl);
    assert_eq!(outcome.status, ExitStatus::Failed);
    assert!(outcome.out.contains("pi-2/etc: not begun: it is away"), "{}", outcome.out);
}

#[test]
fn a_connection_that_is_lost_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = script(night()[..2].to_vec());
    first.started = vec![started("pi-1", "etc", "r-1")];
    first.ending = Ending::Cut(Code::Unavailable, "it goes down");
    let controller = Controller::new(first);
    let served = controller.serve(folder.path());
    let ctl = Ctl::new(folder.path()).args(["backup", "run", "--follow", "--socket"]).args([&served.path]);
    let (out, err) = (crate::harness::Kept::default(), crate::harness::Kept::default());
    std::thread::scope(|scope| {
        let (out, err) = (&out, &err);
        let followed = scope.spawn(move || ctl.run_into(out, err));
        for _ in 0..2000 {
            if err.text().contains("connecting again") {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let mut script = controller.0.lock().unwrap();
        script.backups = night()[2..4].to_vec();
        script.ending = Ending::Over;
        drop(script);
        assert_eq!(followed.join().unwrap(), ExitStatus::Fine);
    });
    assert!(out.text().contains("pi-1/etc: save ok"), "{}", out.text());
}

#[test]
fn an_archive_list_is_refreshed_first() {
    let mut script = script(night()[..4].to_vec());
    script.archives = crate::backup_rack::archives();
    let outcome = follow(script, "backup archives --refresh -o json", |ctl| ctl);
    let report: serde_json::Value = serde_json::from_str(&outcome.fine()).unwrap();
    assert_eq!(report["archives"].as_array().unwrap().len(), 2);
}
