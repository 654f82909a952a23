//! From what the engine writes to what the controller is told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rackhaven_proto::convert::backup::{MAX_BACKUP_ARCHIVES, MAX_BACKUP_LINES};
use rackhaven_proto::model::backup::BackupOutcome;
use rackhaven_proto::v1;
use serde::Deserialize;

use super::core::Run;

/// Longest text of a result that is passed on, in characters.
const MAX_CHARS: usize = 250;
/// Longest path, in characters.
const MAX_PATH_CHARS: usize = 1000;

/// How a run ended.
pub(super) enum Ended {
    /// As this file of the engine's says.
    By(PathBuf),
    /// Without a word of the engine's.
    Without {
        /// How.
        outcome: BackupOutcome,
        /// Why.
        why: String,
    },
}

/// A result, as the engine writes it.
#[derive(Debug, Deserialize)]
struct EngineResult {
    outcome: BackupOutcome,
    message: String,
    archive: Option<String>,
    started_unix_ms: i64,
    ended_unix_ms: i64,
    #[serde(default)]
    entries: u64,
    #[serde(default)]
    bytes_read: u64,
    #[serde(default)]
    bytes_stored: u64,
    #[serde(default)]
    problems: Vec<EngineProblem>,
    /// How many of each kind.
    #[serde(default)]
    problem_counts: BTreeMap<String, u64>,
    archives: Option<Vec<EngineArchive>>,
}

#[derive(Debug, Deserialize)]
struct EngineProblem {
    path: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct EngineArchive {
    name: String,
    kind: String,
    base: Option<String>,
    received_unix_ms: i64,
    stored_bytes: u64,
    source_bytes: Option<u64>,
    entries: Option<u64>,
    outcome: Option<BackupOutcome>,
    verified_unix_ms: Option<i64>,
    verified_good: Option<bool>,
}

/// How far a run is, as the engine writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EngineStatus {
    phase: String,
    entries: u64,
    bytes_read: u64,
    bytes_stored: u64,
    entries_expected: u64,
    bytes_expected: u64,
    current: String,
}

/// What the controller is told of a run that has ended.
pub(super) fn report(run: &Run, ended: Ended, now_unix_ms: i64) -> v1::BackupReport {
    let told = match ended {
        Ended::By(path) => read(&path).map_err(|why| (BackupOutcome::Failed, why)),
        Ended::Without { outcome, why } => Err((outcome, why)),
    };
    let base = v1::BackupRun {
        run_id: run.id.to_string(),
        job: run.job.to_string(),
        action: run.action.as_str().to_owned(),
        trigger: run.trigger.as_str().to_owned(),
        started_unix_ms: run.started_unix_ms,
        ended_unix_ms: now_unix_ms,
        ..v1::BackupRun::default()
    };
    match told {
        Ok(result) => {
            let problems = result.problems.iter().take(MAX_BACKUP_LINES).map(|problem| v1::BackupProblem {
                path: plain(&problem.path, MAX_PATH_CHARS),
                reason: plain(&problem.reason, MAX_CHARS),
            });
            let run = v1::BackupRun {
                started_unix_ms: result.started_unix_ms,
                ended_unix_ms: result.ended_unix_ms,
                outcome: v1::BackupOutcome::from(result.outcome).into(),
                message: plain(&result.message, MAX_CHARS),
                archive: result.archive.unwrap_or_default(),
                files: result.entries,
                bytes_read: result.bytes_read,
                bytes_stored: result.bytes_stored,
                problems: problems.collect(),
                problem_count: result.problem_counts.values().sum(),
                ..base
            };
            let archives = result.archives.map(|archives| v1::BackupArchives {
                archives: archives.into_iter().take(MAX_BACKUP_ARCHIVES).map(archive).collect(),
            });
            v1::BackupReport { run: Some(run), archives }
        }
        Err((outcome, why)) => {
            let outcome = v1::BackupOutcome::from(outcome).into();
            let run = v1::BackupRun { outcome, message: plain(&why, MAX_CHARS), ..base };
            v1::BackupReport { run: Some(run), archives: None }
        }
    }
}

fn archive(archive: EngineArchive) -> v1::BackupArchive {
    let kind = if archive.kind == "incremental" { "increment".to_owned() } else { archive.kind };
    // Of what there is no record it is not known whether it is whole.
    let outcome = match archive.verified_good {
        Some(false) => BackupOutcome::Failed,
        _ => archive.outcome.unwrap_or(BackupOutcome::Partial),
    };
    v1::BackupArchive {
        name: archive.name,
        kind,
        base: archive.base.unwrap_or_default(),
        made_unix_ms: archive.received_unix_ms,
        files: archive.entries.unwrap_or(0),
        bytes: archive.source_bytes.unwrap_or(0),
        bytes_stored: archive.stored_bytes,
        outcome: v1::BackupOutcome::from(outcome).into(),
        verified_unix_ms: archive.verified_unix_ms.filter(|_| archive.verified_good == Some(true)),
    }
}

fn read(path: &Path) -> Result<EngineResult, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("reading {}: {error}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// What the controller is told of a run that is under way; none before the engine has written how far it is.
pub(super) fn progress(run: &Run, status: &Path) -> Option<v1::BackupProgress> {
    let status: EngineStatus = serde_json::from_slice(&std::fs::read(status).ok()?).ok()?;
    let known = |expected: u64| (expected > 0).then_some(expected);
    Some(v1::BackupProgress {
        run_id: run.id.to_string(),
        job: run.job.to_string(),
        action: run.action.as_str().to_owned(),
        phase: plain(&status.phase, 100),
        files: status.entries,
        bytes: status.bytes_read,
        bytes_stored: status.bytes_stored,
        files_expected: known(status.entries_expected),
        bytes_expected: known(status.bytes_expected),
        path: plain(&status.current, MAX_PATH_CHARS),
        started_unix_ms: run.started_unix_ms,
    })
}

fn plain(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::convert::backup::{check_archives, check_run};
    use rackhaven_proto::model::backup::{BackupAction, BackupOutcome, BackupTrigger};
    use rackhaven_proto::v1;

    use super::{Ended, report};
    use crate::backup::core::Run;

    fn run() -> Run {
        Run {
            id: "save-1".parse().unwrap(),
            job: "etc".parse().unwrap(),
            action: BackupAction::Save { full: false },
            trigger: BackupTrigger::Schedule,
            started_unix_ms: 5,
        }
    }

    #[test]
    fn what_the_engine_writes_reaches_the_controller_in_its_form() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r");
        let text = r#"{"job": "etc", "node": "pi-1", "outcome": "partial", "message": "3 files\u001b left out",
            "archive": "2026-11-22T021500Z-full.tar.zst", "kind": "full", "base": null, "started_unix_ms": 10,
            "ended_unix_ms": 20, "entries": 7, "bytes_read": 8, "bytes_stored": 9,
            "problem_counts": {"unreadable": 1, "changed": 2},
            "problems": [{"path": "/etc/x", "kind": "unreadable", "reason": "Input/output error"}],
            "archives": [{"name": "2026-11-22T021500Z-full.tar.zst", "kind": "full", "base": null, "received_unix_ms": 20,
                "entries": 7, "stored_bytes": 9, "outcome": "partial", "verified_unix_ms": null, "verified_good": null}]}"#;
        std::fs::write(&path, text).unwrap();
        let told = report(&run(), Ended::By(path.clone()), 99);
        let of = told.run.unwrap();
        check_run(&of).unwrap();
        check_archives(&told.archives.unwrap().archives).unwrap();
        assert_eq!(of.outcome(), v1::BackupOutcome::Partial);
        assert_eq!((of.message.as_str(), of.problem_count, of.ended_unix_ms), ("3 files left out", 3, 20));
        for damaged in ["", "{}", &text[..text.len() / 2]] {
            std::fs::write(&path, damaged).unwrap();
            let of = report(&run(), Ended::By(path.clone()), 99).run.unwrap();
            check_run(&of).unwrap();
            assert_eq!((of.outcome(), of.ended_unix_ms), (v1::BackupOutcome::Failed, 99));
        }
        let refused = Ended::Without { outcome: BackupOutcome::Refused, why: "no such job".to_owned() };
        check_run(&report(&run(), refused, 99).run.unwrap()).unwrap();
    }
}
