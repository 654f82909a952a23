//! `run`: makes an archive, and removes those that are not kept any more.

use anyhow::bail;
use rackhaven_proto::model::backup::{BackupEngine, Selection};

use super::{Done, Opened, Run, tar};
use crate::outcome::listed;
use crate::pace::Pace;
use crate::repository::Record;
use crate::repository::prune::prune;
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

pub(super) fn save(run: &Run, full: bool) -> anyhow::Result<Done> {
    let opened = run.open()?;
    let selection = &run.job.selection;
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
