//! What people and programs see of backups.

use insta::assert_snapshot;
use rackhaven_ctl::ExitStatus;
use rackhaven_proto::v1::*;

use crate::backup_rack;
use crate::fleet::healthy;
use crate::harness::{Ctl, Outcome, both};
use crate::script::{Controller, Script};

fn script() -> Script {
    Script {
        jobs: backup_rack::jobs(),
        pending: vec!["pi-3".to_owned()],
        started: vec![
            backup_rack::started("pi-1", "etc", "r-1"),
            StartedBackup { refused: "pi-2 is not connected".to_owned(), ..backup_rack::started("pi-2", "etc", "") },
        ],
        runs: backup_rack::runs(),
        archives: backup_rack::archives(),
        who: WhoAmIResponse { cluster_name: "rack".to_owned(), ..WhoAmIResponse::default() },
        ..Script::default()
    }
}

fn perform(script: Script, arguments: &str, on_screen: bool) -> (Outcome, Controller) {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::new(script);
    let served = controller.serve(folder.path());
    std::fs::write(folder.path().join("etc.toml"), "sources = [\"/etc\"]\n").unwrap();
    let arguments = arguments.replace("FOLDER", &folder.path().display().to_string());
    let ctl = Ctl::new(folder.path()).args(arguments.split(' ')).args(["--socket"]).args([&served.path]);
    let outcome = if on_screen { ctl.on_screen() } else { ctl }.run();
    (outcome, controller)
}

fn shown(arguments: &str, on_screen: bool) -> String {
    let (outcome, _) = perform(script(), arguments, on_screen);
    let text = if outcome.err.is_empty() { outcome.fine() } else { both(&outcome) };
    if on_screen && !arguments.contains("wide") {
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{widest:?} columns:\n{text}");
    }
    assert!(!text.lines().any(|line| line.ends_with(' ')), "blanks at a line's end:\n{text}");
    text
}

#[test]
fn tables_and_shapes() {
    assert_snapshot!("backup_jobs", shown("backup jobs", true));
    assert_snapshot!("backup_jobs_wide", shown("backup jobs -o wide", true));
    assert_snapshot!("backup_jobs_json", shown("backup jobs -o json", false));
    assert_snapshot!("backup_history", shown("backup history", true));
    assert_snapshot!("backup_history_wide", shown("backup history -o wide", true));
    assert_snapshot!("backup_history_one", shown("backup history --limit 1", true));
    assert_snapshot!("backup_history_json", shown("backup history -o json", false));
    assert_snapshot!("backup_archives", shown("backup archives", true));
    assert_snapshot!("backup_archives_wide", shown("backup archives -o wide", true));
    assert_snapshot!("backup_archives_json", shown("backup archives -o json", false));
    assert_snapshot!("backup_apply", shown("backup jobs apply -f FOLDER/etc.toml --node pi-3", true));
    assert_snapshot!("backup_remove", shown("backup jobs remove etc", true));
    assert_snapshot!("backup_stop", shown("backup stop r-1 r-2", true));
    assert_snapshot!("backup_run", shown("backup run etc", true));
    assert_snapshot!("backup_run_json", shown("backup run etc -o json", false));
}

#[test]
fn nothing_yet_says_what_to_do_next() {
    for (arguments, hint) in [
        ("backup jobs", "ctl backup jobs apply"),
        ("backup history", "No run yet"),
        ("backup archives", "ctl backup archives --refresh"),
    ] {
        let (outcome, _) = perform(Script::default(), arguments, true);
        assert_eq!((outcome.status, outcome.out.as_str()), (ExitStatus::Fine, ""), "{arguments}");
        assert!(outcome.err.contains(hint), "{arguments}: {}", outcome.err);
    }
}

#[test]
fn status_tells_of_backups_in_one_line() {
    let summary = |failed, late, troubled, never| BackupSummary {
        jobs: 12,
        running: 1,
        failed,
        late,
        troubled,
        never,
        oldest_good_age_ms: (never < 12).then_some(100_000_000),
    };
    let show = |summary: BackupSummary| {
        let status = FleetStatus { backups: Some(summary), ..healthy() };
        let (outcome, _) = perform(Script { status, ..Script::default() }, "status", true);
        outcome.fine()
    };
    assert_snapshot!("status_backups", show(summary(0, 0, 0, 0)));
    let line = |text: &str| text.lines().find(|line| line.starts_with("BACKUPS")).unwrap().to_owned();
    assert_eq!(
        line(&show(summary(2, 1, 3, 4))),
        "BACKUPS  12 jobs · 2 failed · 1 late · 3 with other troubles · 4 never saved · …"
    );
    assert_eq!(line(&show(summary(0, 0, 0, 12))), "BACKUPS  12 jobs · 12 never saved · 1 under way");
}

#[test]
fn what_is_asked_is_what_was_said() {
    for (arguments, asked) in [
        ("backup run --full", "action: Some(BackupAction { action: Some(Save(BackupSave { full: true })) })"),
        ("backup verify etc --node pi-1 --archive a-1 --percent 5", "BackupVerify { archive: \"a-1\", percent: 5 }"),
        ("backup prune etc --yes", "BackupPrune { dry_run: false }"),
        (
            "backup restore etc /etc/hosts --node pi-1 --to /tmp/back --at 2026-11-22T02:15 --of-node pi-2",
            "BackupRestore { archive: \"\", before_unix_ms: Some(1795306500000), paths: [\"/etc/hosts\"], \
             to: \"/tmp/back\", dry_run: false, in_place: false, of_node: \"pi-2\" }",
        ),
        ("backup jobs apply -f FOLDER/etc.toml --node pi-1", "name: \"etc\", toml: \"sources = [\\\"/etc\\\"]\\n\""),
    ] {
        let (outcome, controller) = perform(script(), arguments, false);
        let all = controller.asked().join("\n");
        assert!(all.contains(asked), "{arguments}: {all}{}", outcome.err);
    }
    for wrong in [
        "backup verify --archive a-1",
        "backup restore etc etc/hosts --node pi-1 --to /tmp",
        "backup restore etc --node pi-1 --to tmp",
        "backup restore etc --node pi-1 --to /tmp --at yesterday",
        "backup restore etc --to /tmp",
        "backup jobs apply -f FOLDER/nope.toml --node pi-1",
        "backup jobs apply -f FOLDER/etc.toml",
        "backup stop",
        "backup verify --percent 0",
    ] {
        let (outcome, controller) = perform(script(), wrong, false);
        assert_eq!(outcome.status, ExitStatus::Usage, "{wrong}: {}", outcome.err);
        assert!(controller.asked().is_empty(), "{wrong}");
    }
}

/// What steers a terminal in one way or another.
const PAINT: &str = "\u{1b}[2J\u{9b}1;1HOK\u{7f}\u{8}\r\n\u{202e}\u{200b}\u{feff}\u{85}";

fn painted(mut run: BackupRun) -> BackupRun {
    for text in [&mut run.job, &mut run.action, &mut run.trigger, &mut run.message, &mut run.archive] {
        text.push_str(PAINT);
    }
    run.problems.push(BackupProblem { path: PAINT.to_owned(), reason: PAINT.to_owned() });
    run.would.push(PAINT.to_owned());
    run
}

#[test]
fn no_node_paints_on_the_screen() {
    use rackhaven_proto::v1::backup_change::Change;
    let mut script = script();
    for row in &mut script.jobs {
        row.troubles.insert(0, PAINT.to_owned());
        row.last = row.last.take().map(painted);
        if let Some(job) = &mut row.job {
            [&mut job.engine, &mut job.repository, &mut job.schedule, &mut job.problem]
                .into_iter()
                .for_each(|text| text.push_str(PAINT));
            job.sources.push(PAINT.to_owned());
        }
    }
    script.runs.iter_mut().for_each(|row| row.run = row.run.take().map(painted));
    for row in &mut script.archives {
        let archive = row.archive.as_mut().unwrap();
        [&mut row.repository, &mut archive.name, &mut archive.kind, &mut archive.base]
            .into_iter()
            .for_each(|text| text.push_str(PAINT));
    }
    script.started = vec![backup_rack::started(PAINT, PAINT, "r-1")];
    let progress = BackupProgress {
        run_id: "r-1".to_owned(),
        phase: PAINT.to_owned(),
        path: PAINT.to_owned(),
        ..Default::default()
    };
    let ended = painted(backup_rack::run("r-1", "save", BackupOutcome::Ok, 0));
    let change = |change| BackupChange { node: PAINT.to_owned(), change: Some(change) };
    script.backups = vec![change(Change::Progress(progress)), change(Change::Ended(ended))];
    for form in ["table", "wide", "json", "yaml"] {
        for command in ["jobs", "history", "history --limit 1", "archives", "run", "run --follow", "watch r-1"] {
            let script = Script {
                jobs: script.jobs.clone(),
                runs: script.runs.clone(),
                archives: script.archives.clone(),
                started: script.started.clone(),
                backups: script.backups.clone(),
                ..Script::default()
            };
            let (outcome, _) = perform(script, &format!("backup {command} -o {form}"), false);
            let bad = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{200b}\u{feff}".contains(c);
            let text = format!("{}{}", outcome.out, outcome.err);
            assert!(outcome.status.code() == 0 && text.contains("OK"), "{command} {form}: {text}");
            assert!(!text.contains(bad), "{command} {form}: {text:?}");
        }
    }
}
