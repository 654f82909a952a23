//! `run`: makes an archive, and removes those that are not kept any more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use rackhaven_proto::model::backup::{BackupEngine, Selection};

use super::{Done, Opened, Run, tar};
use crate::hooks;
use crate::outcome::{Outcome, listed};
use crate::pace::Pace;
use crate::repository::Record;
use crate::repository::prune::prune;
use crate::stop::Stop;
use crate::tree;
use crate::walk::Rules;

/// What an engine made.
pub(crate) struct Saved {
    pub(crate) record: Record,
    pub(crate) entries_removed: u64,
    pub(crate) notes: Vec<String>,
}

/// What is saved, as an engine takes it.
pub(crate) struct Wanted<'a> {
    pub(crate) selection: &'a Selection,
    pub(crate) rules: &'a Rules,
    pub(crate) full: bool,
}

/// Where consistent copies are made, in the job's folder of state.
const PREPARED: &str = "prepared";

/// Saves, with what is to be done before and after. Before anything is done to the repository come the hooks: one of them
/// may be what mounts it.
pub(super) fn save(run: &Run, full: bool) -> anyhow::Result<Done> {
    let prepared = run.state.join(PREPARED);
    let saved = before(run, &prepared).and_then(|more| save_now(run, full, more));
    let mut failures = after(run, saved.as_ref().ok());
    if let Err(error) = std::fs::remove_dir_all(&prepared)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        failures.push(format!("removing {}: {error}", prepared.display()));
    }
    match saved {
        Ok(mut done) => {
            for failure in &failures {
                done.message.push_str("; ");
                done.message.push_str(failure);
            }
            if !failures.is_empty() {
                done.outcome = Some(done.outcome.unwrap_or_else(|| run.problems.outcome()).max(Outcome::Warn));
            }
            Ok(done)
        }
        Err(error) if failures.is_empty() => Err(error),
        Err(error) => Err(anyhow::anyhow!("{error:#}; {}", failures.join("; "))),
    }
}

fn before(run: &Run, prepared: &Path) -> anyhow::Result<Option<PathBuf>> {
    let hooks = &run.job.hooks;
    let repository = run.job.repository.to_string();
    let told = told(run, &repository, "before");
    for name in &hooks.before {
        hooks::run(&run.common.hooks_dir, name, &told, Duration::from_secs(hooks.timeout_s.into()), &run.stop)?;
    }
    Ok(hooks::prepare(hooks, prepared, &run.stop)?)
}

/// Runs all of them, whatever came of the run, and says which failed.
fn after(run: &Run, done: Option<&Done>) -> Vec<String> {
    let hooks = &run.job.hooks;
    let repository = run.job.repository.to_string();
    let outcome = match done {
        Some(done) => done.outcome.unwrap_or_else(|| run.problems.outcome()),
        None if run.stop.is_requested() => Outcome::Stopped,
        None => Outcome::Failed,
    };
    let outcome = outcome.to_string();
    let archive = done.and_then(|done| done.saved.as_ref()).map_or("", |record| record.name.as_str());
    let told = hooks::Told { outcome: &outcome, archive, ..told(run, &repository, "after") };
    let limit = Duration::from_secs(hooks.timeout_s.into());
    // A run that is stopped leaves things as its hooks found them all the same.
    let stop = Stop::default();
    let ran = hooks.after.iter().map(|name| hooks::run(&run.common.hooks_dir, name, &told, limit, &stop));
    ran.filter_map(Result::err).map(|error| error.to_string()).collect()
}

fn told<'a>(run: &'a Run, repository: &'a str, phase: &'a str) -> hooks::Told<'a> {
    hooks::Told { node: run.node.as_str(), job: run.name.as_str(), repository, phase, outcome: "", archive: "" }
}

fn save_now(run: &Run, full: bool, prepared: Option<PathBuf>) -> anyhow::Result<Done> {
    let opened = run.open()?;
    let mut selection = run.job.selection.clone();
    selection.sources.extend(prepared);
    let selection = &selection;
    let never = match &run.job.repository {
        rackhaven_proto::model::backup::Repository::Folder(folder) => vec![folder.clone(), run.state.clone()],
        _ => vec![run.state.clone()],
    };
    let rules = Rules::new(selection, &never)?;
    let wanted = Wanted { selection, rules: &rules, full };
    let saved = match run.job.engine {
        BackupEngine::Tar => tar::save(run, opened.store(), &wanted)?,
        BackupEngine::Rsync => save_tree(run, &opened, &wanted)?,
    };
    let mut notes = saved.notes;
    // What is not kept is removed as soon as there is something newer. That it could not be does not undo the archive.
    match prune(opened.store(), &run.job.keep, false) {
        Ok(pruned) if pruned.removed.is_empty() => {}
        Ok(pruned) => notes.push(format!("{} older ones removed", pruned.removed.len())),
        Err(error) => notes.push(format!("older ones could not be removed: {error}")),
    }
    let record = saved.record;
    let mut message = format!("{} with {} entries", record.name, record.entries);
    for note in notes {
        message.push_str("; ");
        message.push_str(&note);
    }
    Ok(Done {
        message,
        archives: opened.store().list().ok().map(|archives| listed(&archives)),
        saved: Some(record),
        entries_removed: saved.entries_removed,
        ..Done::default()
    })
}

fn save_tree(run: &Run, opened: &Opened, wanted: &Wanted<'_>) -> anyhow::Result<Saved> {
    let snapshot = tree::Snapshot {
        node: run.node.as_str(),
        job: run.name.as_str(),
        selection: wanted.selection,
        rules: wanted.rules,
        started_unix_ms: run.started_unix_ms,
        full: wanted.full,
        threads: run.threads(),
    };
    let pace = Pace::new(run.job.limits.bytes_per_second);
    let made = match opened {
        Opened::Local(local) => tree::make(local, &snapshot, &run.problems, &run.progress, &pace, &run.stop),
        Opened::Ssh(ssh) => make_far(run, tree::Far::Ssh(ssh), &snapshot),
        Opened::Daemon(daemon) => make_far(run, tree::Far::Daemon(daemon), &snapshot),
    };
    match made {
        Ok(made) => Ok(Saved { record: made.record, entries_removed: made.entries_removed, notes: made.notes }),
        Err(error) => bail!(error),
    }
}

fn make_far(run: &Run, far: tree::Far<'_>, snapshot: &tree::Snapshot<'_>) -> Result<tree::Made, tree::TreeError> {
    let pace = run.job.limits.bytes_per_second;
    tree::make_far(far, &run.state, snapshot, pace, &run.problems, &run.progress, &run.stop)
}
