//! What a rack has saved.

use rackhaven_proto::v1::backup_change::Change;
use rackhaven_proto::v1::*;

use crate::fleet::NOW_MS;

const HOUR_MS: i64 = 3_600_000;
const MIB: u64 = 1024 * 1024;

pub(crate) fn started(node: &str, job: &str, run_id: &str) -> StartedBackup {
    StartedBackup { node: node.to_owned(), job: job.to_owned(), run_id: run_id.to_owned(), refused: String::new() }
}

pub(crate) fn run(id: &str, action: &str, outcome: BackupOutcome, hours_ago: i64) -> BackupRun {
    BackupRun {
        run_id: id.to_owned(),
        job: "etc".to_owned(),
        action: action.to_owned(),
        trigger: "schedule".to_owned(),
        started_unix_ms: NOW_MS - hours_ago * HOUR_MS,
        ended_unix_ms: NOW_MS - hours_ago * HOUR_MS + 130_000,
        outcome: outcome.into(),
        archive: "2026-11-21T021500Z-full.tar.zst".to_owned(),
        files: 71_204,
        bytes_read: 1300 * MIB,
        bytes_stored: 402 * MIB,
        ..BackupRun::default()
    }
}

fn failed() -> BackupRun {
    BackupRun {
        message: "the repository /mnt/nas/rackhaven is not mounted".to_owned(),
        archive: String::new(),
        files: 0,
        bytes_read: 0,
        bytes_stored: 0,
        ..run("r-7", "save", BackupOutcome::Failed, 5)
    }
}

pub(crate) fn partial() -> BackupRun {
    let problem = |path: &str, reason: &str| BackupProblem { path: path.to_owned(), reason: reason.to_owned() };
    BackupRun {
        problems: vec![problem("/etc/shadow", "Permission denied"), problem("/etc/late", "it vanished")],
        problem_count: 31,
        ..run("r-8", "save", BackupOutcome::Partial, 3)
    }
}

fn progress(id: &str, job: &str, done: u64, of: Option<u64>) -> BackupProgress {
    BackupProgress {
        run_id: id.to_owned(),
        job: job.to_owned(),
        action: "save".to_owned(),
        phase: "reading".to_owned(),
        files: done * 50,
        bytes: done * MIB,
        bytes_stored: done * MIB / 3,
        bytes_expected: of.map(|of| of * MIB),
        path: "/etc/ssl/certs".to_owned(),
        started_unix_ms: NOW_MS,
        ..BackupProgress::default()
    }
}

fn change(node: &str, change: Change) -> BackupChange {
    BackupChange { node: node.to_owned(), change: Some(change) }
}

/// One run to its end, then two more, of which one fails.
pub(crate) fn night() -> Vec<BackupChange> {
    let at = |node: &str, id: &str, done, of| change(node, Change::Progress(progress(id, "etc", done, of)));
    vec![
        at("pi-1", "r-1", 0, Some(1300)),
        at("pi-1", "r-1", 10, Some(1300)),
        at("pi-1", "r-1", 650, Some(1300)),
        change("pi-1", Change::Ended(run("r-1", "save", BackupOutcome::Ok, 0))),
        at("nas", "r-2", 77, None),
        change("nas", Change::Ended(BackupRun { run_id: "r-2".to_owned(), ..partial() })),
        change("pi-3", Change::Ended(BackupRun { run_id: "r-3".to_owned(), ..failed() })),
    ]
}

pub(crate) fn jobs() -> Vec<NodeBackupJob> {
    let job = |name: &str| BackupJob {
        name: name.to_owned(),
        engine: "tar".to_owned(),
        sources: vec!["/etc".to_owned(), "/home".to_owned()],
        repository: "/mnt/nas/rackhaven".to_owned(),
        schedule: "*-*-* 02:15".to_owned(),
        next_unix_ms: Some(NOW_MS + 6 * HOUR_MS),
        ..BackupJob::default()
    };
    let row = |node: &str, name: &str| NodeBackupJob {
        node: node.to_owned(),
        job: Some(job(name)),
        last: Some(run("r-5", "save", BackupOutcome::Ok, 18)),
        last_good: Some(run("r-5", "save", BackupOutcome::Ok, 18)),
        ..NodeBackupJob::default()
    };
    vec![
        row("nas", "etc"),
        NodeBackupJob {
            last: Some(failed()),
            troubles: vec!["failed".to_owned(), "late".to_owned()],
            late: true,
            ..row("pi-1", "etc")
        },
        NodeBackupJob { running: Some(progress("r-9", "home", 650, Some(1300))), ..row("pi-2", "home") },
        NodeBackupJob {
            pending: true,
            last: None,
            last_good: None,
            job: Some(BackupJob { name: "var".to_owned(), given: true, ..BackupJob::default() }),
            ..row("pi-3", "var")
        },
    ]
}

pub(crate) fn runs() -> Vec<NodeBackupRun> {
    let row = |node: &str, run| NodeBackupRun { node: node.to_owned(), run: Some(run) };
    let prune = BackupRun {
        would: vec!["remove 2026-10-01T021500Z-full.tar.zst".to_owned()],
        trigger: "order".to_owned(),
        ..run("r-4", "prune", BackupOutcome::Ok, 1)
    };
    vec![row("nas", partial()), row("pi-1", failed()), row("pi-1", prune)]
}

pub(crate) fn archives() -> Vec<NodeBackupArchive> {
    let archive = |day: i64, kind: &str, base: &str, verified: Option<i64>| NodeBackupArchive {
        node: "pi-1".to_owned(),
        job: "etc".to_owned(),
        repository: "/mnt/nas/rackhaven".to_owned(),
        archive: Some(BackupArchive {
            name: format!("2026-11-{day}T021500Z-{kind}.tar.zst"),
            kind: kind.to_owned(),
            base: base.to_owned(),
            made_unix_ms: NOW_MS - (21 - day) * 24 * HOUR_MS,
            files: 71_204,
            bytes: 1300 * MIB,
            bytes_stored: 402 * MIB,
            outcome: BackupOutcome::Ok.into(),
            verified_unix_ms: verified,
        }),
    };
    vec![
        archive(21, "increment", "2026-11-20T021500Z-full.tar.zst", None),
        archive(20, "full", "", Some(NOW_MS - 20 * HOUR_MS)),
    ]
}
