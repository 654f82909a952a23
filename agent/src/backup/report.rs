//! From what the engine writes to what the controller is told.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use prost::Message;
use rackhaven_proto::convert::backup::{MAX_BACKUP_ARCHIVES, MAX_BACKUP_LINES};
use rackhaven_proto::model::backup::{ArchiveName, BackupOutcome};
use rackhaven_proto::v1;
use serde::Deserialize;

use super::core::Run;

/// Longest text of a result that is passed on, bytes.
const MAX_BYTES: usize = 1000;
/// Longest path, bytes.
const MAX_PATH_BYTES: usize = 4000;
/// How much of a run's problems, and of what it would do, is passed on, bytes, and how much of the list of its archives: a report goes into one message.
const MAX_LINES_BYTES: usize = 128 * 1024;
const MAX_ARCHIVES_BYTES: usize = 512 * 1024;
/// Largest file of the engine's that is read, bytes.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

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
    #[serde(default)]
    would: Vec<String>,
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
    entries: Option<u64>,
    source_bytes: Option<u64>,
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
    match ended {
        Ended::By(path) => {
            let read = read_bounded(&path).map_err(|why| (BackupOutcome::Failed, why));
            report_by(run, read.as_deref().map_err(|(outcome, why)| (*outcome, why.clone())), now_unix_ms)
        }
        Ended::Without { outcome, why } => report_by(run, Err((outcome, why)), now_unix_ms),
    }
}

/// The same by what the engine's file holds, or by why there is nothing to read.
pub fn report_by(run: &Run, result: Result<&[u8], (BackupOutcome, String)>, now_unix_ms: i64) -> v1::BackupReport {
    let told = result.and_then(|bytes| {
        let senseless = |error| (BackupOutcome::Failed, format!("the engine's result makes no sense: {error}"));
        serde_json::from_slice::<EngineResult>(bytes).map_err(senseless)
    });
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
                path: plain(&problem.path, MAX_PATH_BYTES),
                reason: plain(&problem.reason, MAX_BYTES),
            });
            let would = result.would.iter().take(MAX_BACKUP_LINES).map(|line| plain(line, MAX_PATH_BYTES));
            let (mut room, mut would_room) = (MAX_LINES_BYTES, MAX_LINES_BYTES);
            let run = v1::BackupRun {
                started_unix_ms: result.started_unix_ms,
                ended_unix_ms: result.ended_unix_ms,
                outcome: v1::BackupOutcome::from(result.outcome).into(),
                message: plain(&result.message, MAX_BYTES),
                archive: known_name(result.archive),
                files: result.entries,
                bytes_read: result.bytes_read,
                bytes_stored: result.bytes_stored,
                would: would.take_while(|line| fits(&mut would_room, line.len())).collect(),
                problems: problems.take_while(|problem| fits(&mut room, problem.encoded_len())).collect(),
                problem_count: result.problem_counts.values().fold(0, |sum, count| sum.saturating_add(*count)),
                ..base
            };
            v1::BackupReport { run: Some(run), archives: result.archives.map(newest) }
        }
        Err((outcome, why)) => {
            let outcome = v1::BackupOutcome::from(outcome).into();
            let run = v1::BackupRun { outcome, message: plain(&why, MAX_BYTES), ..base };
            v1::BackupReport { run: Some(run), archives: None }
        }
    }
}

/// Of many archives the newest are told, as many as fit; they are listed oldest first. What has no archive's name is none.
fn newest(archives: Vec<EngineArchive>) -> v1::BackupArchives {
    let mut room = MAX_ARCHIVES_BYTES;
    let told = archives.into_iter().rev().filter_map(archive).take(MAX_BACKUP_ARCHIVES);
    let mut archives: Vec<_> = told.take_while(|archive| fits(&mut room, archive.encoded_len())).collect();
    archives.reverse();
    v1::BackupArchives { archives }
}

fn fits(room: &mut usize, bytes: usize) -> bool {
    *room = room.saturating_sub(bytes);
    *room > 0
}

fn known_name(name: Option<String>) -> String {
    name.filter(|name| name.parse::<ArchiveName>().is_ok()).unwrap_or_default()
}

fn archive(archive: EngineArchive) -> Option<v1::BackupArchive> {
    let kind = match archive.kind.as_str() {
        "incremental" => "increment",
        kind @ ("full" | "snapshot") => kind,
        _ => return None,
    };
    // Of what there is no record it is not known whether it is whole.
    let outcome = match archive.verified_good {
        Some(false) => BackupOutcome::Failed,
        _ => archive.outcome.unwrap_or(BackupOutcome::Partial),
    };
    archive.name.parse::<ArchiveName>().ok()?;
    Some(v1::BackupArchive {
        name: archive.name,
        kind: kind.to_owned(),
        base: known_name(archive.base),
        made_unix_ms: archive.received_unix_ms,
        files: archive.entries.unwrap_or(0),
        bytes: archive.source_bytes.unwrap_or(0),
        bytes_stored: archive.stored_bytes,
        outcome: v1::BackupOutcome::from(outcome).into(),
        verified_unix_ms: archive.verified_unix_ms.filter(|_| archive.verified_good == Some(true)),
    })
}

/// A file that the engine wrote.
pub(super) fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Ok(read) if read as u64 > MAX_FILE_BYTES => Err(format!("{} is too large", path.display())),
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("reading {}: {error}", path.display())),
    }
}

/// What the controller is told of a run that is under way; none before the engine has written how far it is.
pub(super) fn progress(run: &Run, status: &Path) -> Option<v1::BackupProgress> {
    progress_by(run, &read_bounded(status).ok()?)
}

/// The same by what the engine's file holds.
pub fn progress_by(run: &Run, status: &[u8]) -> Option<v1::BackupProgress> {
    let status: EngineStatus = serde_json::from_slice(status).ok()?;
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
        path: plain(&status.current, MAX_PATH_BYTES),
        started_unix_ms: run.started_unix_ms,
    })
}

/// Without what controls a terminal, and at most so many bytes of it.
pub(super) fn plain(text: &str, most_bytes: usize) -> String {
    let mut plain = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if plain.len() + c.len_utf8() > most_bytes {
            break;
        }
        plain.push(c);
    }
    plain
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::convert::backup::{check_archives, check_run};
    use rackhaven_proto::model::backup::{BackupAction, BackupOutcome, BackupTrigger};
    use rackhaven_proto::v1;

    use super::{Ended, report, report_by};
    use crate::backup::core::Run;

    fn run() -> Run {
        Run {
            id: "save-1".parse().unwrap(),
            job: "etc".parse().unwrap(),
            action: BackupAction::Save { full: false },
            trigger: BackupTrigger::Schedule,
            started_unix_ms: 5,
            tries: 0,
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
        // What is larger than anything that an engine writes is not read.
        std::fs::write(&path, vec![b' '; 5 << 20]).unwrap();
        let of = report(&run(), Ended::By(path), 99).run.unwrap();
        assert!(of.message.ends_with("is too large"), "{}", of.message);
        let refused = Ended::Without { outcome: BackupOutcome::Refused, why: "no such job".to_owned() };
        check_run(&report(&run(), refused, 99).run.unwrap()).unwrap();
    }

    #[test]
    fn however_much_there_is_goes_into_one_message_and_the_newest_of_it_first() {
        let problem = |n: usize| {
            format!(r#"{{"path": "/{n}{}", "kind": "changed", "reason": "{}"}}"#, "ü".repeat(4000), "r".repeat(2000))
        };
        let archive = |n: usize| {
            format!(
                r#"{{"name": "{n:06}-{}", "kind": "incremental", "base": "{}", "received_unix_ms": {n}, "entries": 1,
                    "source_bytes": 70, "stored_bytes": 7, "outcome": "ok", "verified_unix_ms": 1, "verified_good": true}}"#,
                "n".repeat(100),
                "b".repeat(120),
            )
        };
        let all = |one: &dyn Fn(usize) -> String, count: usize| (0..count).map(one).collect::<Vec<_>>().join(",");
        let text = format!(
            r#"{{"outcome": "warn", "message": "{}", "archive": "../x", "started_unix_ms": 1, "ended_unix_ms": 2,
                "problem_counts": {{"changed": 18446744073709551615, "vanished": 1}}, "problems": [{}],
                "archives": [{}], "would": [{}]}}"#,
            "m".repeat(5000),
            all(&problem, 1000),
            all(&archive, 3000),
            all(&|n| format!("\"write /{n}{}\"", "w".repeat(5000)), 1000),
        );
        let told = report_by(&run(), Ok(text.as_bytes()), 9);
        let bytes = prost::Message::encoded_len(&told);
        assert!((400_000..900_000).contains(&bytes), "{bytes}");
        let (of, archives) = (told.run.unwrap(), told.archives.unwrap().archives);
        check_run(&of).unwrap();
        check_archives(&archives).unwrap();
        assert_eq!((of.archive.as_str(), of.problem_count), ("", u64::MAX));
        assert!(of.problems.len() > 10 && of.would.len() > 10, "{} {}", of.problems.len(), of.would.len());
        assert!(
            archives.last().unwrap().name.starts_with("002999") && archives.is_sorted_by_key(|one| one.made_unix_ms)
        );
        assert_eq!((archives[0].bytes, archives[0].kind.as_str()), (70, "increment"));
    }
}
