//! Backups: from the wire to the model, and what is refused of what a node tells.

use std::path::{Path, PathBuf};

use crate::model::backup::{BackupAction, BackupOrder, BackupOutcome, Restore};
use crate::model::{Invalid, JobName, NodeName, plain_text};
use crate::v1;

/// Longest path, in bytes.
const MAX_PATH_BYTES: usize = 4096;
/// Longest message, in bytes.
const MAX_MESSAGE_BYTES: usize = 1024;
/// Most paths that a restore names.
const MAX_PATHS: usize = 256;
/// Most jobs of a node.
pub const MAX_BACKUP_JOBS: usize = 64;
/// Longest job, as text, in bytes.
const MAX_JOB_BYTES: usize = 64 * 1024;
/// Most problems, and most lines of a dry run, that a report holds.
pub const MAX_BACKUP_LINES: usize = 100;
/// Most archives that a report holds.
pub const MAX_BACKUP_ARCHIVES: usize = 2000;

impl TryFrom<v1::BackupOutcome> for BackupOutcome {
    type Error = Invalid;

    fn try_from(wire: v1::BackupOutcome) -> Result<Self, Invalid> {
        match wire {
            v1::BackupOutcome::Ok => Ok(Self::Ok),
            v1::BackupOutcome::Warn => Ok(Self::Warn),
            v1::BackupOutcome::Partial => Ok(Self::Partial),
            v1::BackupOutcome::Failed => Ok(Self::Failed),
            v1::BackupOutcome::Stopped => Ok(Self::Stopped),
            v1::BackupOutcome::Refused => Ok(Self::Refused),
            v1::BackupOutcome::Unspecified => Err(Invalid::new("outcome", "is missing")),
        }
    }
}

impl From<BackupOutcome> for v1::BackupOutcome {
    fn from(outcome: BackupOutcome) -> Self {
        match outcome {
            BackupOutcome::Ok => Self::Ok,
            BackupOutcome::Warn => Self::Warn,
            BackupOutcome::Partial => Self::Partial,
            BackupOutcome::Failed => Self::Failed,
            BackupOutcome::Stopped => Self::Stopped,
            BackupOutcome::Refused => Self::Refused,
        }
    }
}

fn path(field: &str, text: String) -> Result<PathBuf, Invalid> {
    plain_text(field, &text, MAX_PATH_BYTES)?;
    if !Path::new(&text).is_absolute() {
        return Err(Invalid::new(field, format!("{text:?} does not begin with /")));
    }
    Ok(text.into())
}

fn named<T: std::str::FromStr<Err = Invalid>>(text: &str) -> Result<Option<T>, Invalid> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}

impl TryFrom<v1::BackupAction> for BackupAction {
    type Error = Invalid;

    fn try_from(wire: v1::BackupAction) -> Result<Self, Invalid> {
        use v1::backup_action::Action;
        match wire.action {
            None => Err(Invalid::new("action", "is missing or not known to this version")),
            Some(Action::Save(save)) => Ok(Self::Save { full: save.full }),
            Some(Action::Verify(verify)) => match u8::try_from(verify.percent) {
                Ok(percent @ 1..=100) => Ok(Self::Verify { archive: named(&verify.archive)?, percent }),
                _ => Err(Invalid::new("verify.percent", format!("{} is not between 1 and 100", verify.percent))),
            },
            Some(Action::Restore(restore)) => Ok(Self::Restore(restore.try_into()?)),
            Some(Action::Prune(prune)) => Ok(Self::Prune { dry_run: prune.dry_run }),
            Some(Action::List(_)) => Ok(Self::List),
        }
    }
}

impl TryFrom<v1::BackupRestore> for Restore {
    type Error = Invalid;

    fn try_from(wire: v1::BackupRestore) -> Result<Self, Invalid> {
        if wire.paths.len() > MAX_PATHS {
            let reason = format!("holds {} paths, at most {MAX_PATHS} are allowed", wire.paths.len());
            return Err(Invalid::new("restore.paths", reason));
        }
        if !wire.archive.is_empty() && wire.before_unix_ms.is_some() {
            return Err(Invalid::new("restore.archive", "and a moment exclude each other"));
        }
        Ok(Self {
            archive: named(&wire.archive)?,
            before_unix_ms: wire.before_unix_ms,
            paths: wire.paths.into_iter().map(|text| path("restore.paths", text)).collect::<Result<_, _>>()?,
            to: path("restore.to", wire.to)?,
            dry_run: wire.dry_run,
            in_place: wire.in_place,
            of_node: named::<NodeName>(&wire.of_node)?,
        })
    }
}

impl From<BackupAction> for v1::BackupAction {
    fn from(action: BackupAction) -> Self {
        use v1::backup_action::Action;
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let action = match action {
            BackupAction::Save { full } => Action::Save(v1::BackupSave { full }),
            BackupAction::Verify { archive, percent } => Action::Verify(v1::BackupVerify {
                archive: archive.map_or_else(String::new, String::from),
                percent: percent.into(),
            }),
            BackupAction::Restore(restore) => Action::Restore(v1::BackupRestore {
                archive: restore.archive.map_or_else(String::new, String::from),
                before_unix_ms: restore.before_unix_ms,
                paths: restore.paths.iter().map(text).collect(),
                to: text(&restore.to),
                dry_run: restore.dry_run,
                in_place: restore.in_place,
                of_node: restore.of_node.map_or_else(String::new, String::from),
            }),
            BackupAction::Prune { dry_run } => Action::Prune(v1::BackupPrune { dry_run }),
            BackupAction::List => Action::List(v1::BackupList {}),
        };
        Self { action: Some(action) }
    }
}

impl TryFrom<v1::BackupOrder> for BackupOrder {
    type Error = Invalid;

    fn try_from(wire: v1::BackupOrder) -> Result<Self, Invalid> {
        plain_text("order.requested_by", &wire.requested_by, 128)?;
        Ok(Self {
            run_id: wire.run_id.parse()?,
            job: wire.job.parse()?,
            action: wire.action.ok_or_else(|| Invalid::new("order.action", "is missing"))?.try_into()?,
            expires_in_ms: wire.expires_in_ms,
            requested_by: wire.requested_by,
        })
    }
}

impl From<BackupOrder> for v1::BackupOrder {
    fn from(order: BackupOrder) -> Self {
        Self {
            run_id: order.run_id.into(),
            job: order.job.into(),
            action: Some(order.action.into()),
            expires_in_ms: order.expires_in_ms,
            requested_by: order.requested_by,
        }
    }
}

/// Refuses what a node tells of a run that has ended, if it is not well-formed.
///
/// # Errors
/// The first field that is not.
pub fn check_run(run: &v1::BackupRun) -> Result<(), Invalid> {
    run.run_id.parse::<crate::model::backup::BackupRunId>()?;
    run.job.parse::<JobName>()?;
    outcome("run.outcome", run.outcome)?;
    let words = [
        ("run.action", run.action.as_str(), &["save", "verify", "restore", "prune", "list"][..]),
        ("run.trigger", run.trigger.as_str(), &["schedule", "catch-up", "order"][..]),
    ];
    for (field, word, known) in words {
        one_of(field, word, known)?;
    }
    plain_text("run.message", &run.message, MAX_MESSAGE_BYTES)?;
    named::<crate::model::backup::ArchiveName>(&run.archive)?;
    bounded("run.problems", run.problems.len(), MAX_BACKUP_LINES)?;
    bounded("run.would", run.would.len(), MAX_BACKUP_LINES)?;
    for problem in &run.problems {
        plain_text("run.problems.path", &problem.path, MAX_PATH_BYTES)?;
        plain_text("run.problems.reason", &problem.reason, MAX_MESSAGE_BYTES)?;
    }
    run.would.iter().try_for_each(|line| plain_text("run.would", line, MAX_PATH_BYTES))
}

/// Refuses what a node tells of the archives of a job.
///
/// # Errors
/// The first field that is not well-formed.
pub fn check_archives(archives: &[v1::BackupArchive]) -> Result<(), Invalid> {
    bounded("archives", archives.len(), MAX_BACKUP_ARCHIVES)?;
    archives.iter().try_for_each(|archive| {
        archive.name.parse::<crate::model::backup::ArchiveName>()?;
        named::<crate::model::backup::ArchiveName>(&archive.base)?;
        one_of("archive.kind", &archive.kind, &["full", "increment", "snapshot"])?;
        outcome("archive.outcome", archive.outcome)
    })
}

/// Refuses what a node tells of its jobs.
///
/// # Errors
/// The first field that is not well-formed.
pub fn check_jobs(jobs: &v1::BackupJobs) -> Result<(), Invalid> {
    bounded("jobs", jobs.jobs.len(), MAX_BACKUP_JOBS)?;
    jobs.jobs.iter().try_for_each(|job| {
        job.name.parse::<JobName>()?;
        bounded("job.sources", job.sources.len(), 1000)?;
        job.sources.iter().try_for_each(|source| plain_text("job.sources", source, MAX_PATH_BYTES))?;
        for (field, text) in [
            ("job.engine", &job.engine),
            ("job.repository", &job.repository),
            ("job.schedule", &job.schedule),
            ("job.problem", &job.problem),
        ] {
            plain_text(field, text, MAX_PATH_BYTES)?;
        }
        Ok(())
    })
}

/// Refuses what a node tells of how far a run is.
///
/// # Errors
/// The first field that is not well-formed.
pub fn check_progress(progress: &v1::BackupProgress) -> Result<(), Invalid> {
    progress.run_id.parse::<crate::model::backup::BackupRunId>()?;
    progress.job.parse::<JobName>()?;
    plain_text("progress.action", &progress.action, 32)?;
    plain_text("progress.phase", &progress.phase, 128)?;
    plain_text("progress.path", &progress.path, MAX_PATH_BYTES)
}

/// Refuses jobs that somebody wants to give a node: what is in their text is checked by whoever reads it.
///
/// # Errors
/// The first field that is not well-formed.
pub fn check_given(jobs: &[v1::GivenBackupJob]) -> Result<(), Invalid> {
    bounded("jobs", jobs.len(), MAX_BACKUP_JOBS)?;
    jobs.iter().try_for_each(|job| {
        job.name.parse::<JobName>()?;
        bounded("job.toml", job.toml.len(), MAX_JOB_BYTES)
    })
}

fn outcome(field: &str, number: i32) -> Result<(), Invalid> {
    let wire = v1::BackupOutcome::try_from(number)
        .map_err(|_| Invalid::new(field, format!("{number} is not known to this version")))?;
    BackupOutcome::try_from(wire).map(drop)
}

fn one_of(field: &str, word: &str, known: &[&str]) -> Result<(), Invalid> {
    if known.contains(&word) {
        Ok(())
    } else {
        Err(Invalid::new(field, format!("{word:?} is none of {}", known.join(", "))))
    }
}

fn bounded(field: &str, count: usize, most: usize) -> Result<(), Invalid> {
    if count > most { Err(Invalid::new(field, format!("holds {count}, at most {most} are allowed"))) } else { Ok(()) }
}
