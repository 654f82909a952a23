//! `verify` and `restore`: reads archives back.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use jiff::Timestamp;

use super::{Done, Opened, Run, tar};
use crate::clock::unix_ms;
use crate::outcome::{ArchiveKind, Outcome, listed};
use crate::repository::{Archive, Record, Store, Verified};
use crate::tree;

/// What is to be given back.
pub(crate) struct Wanted<'a> {
    pub(crate) archive: Option<&'a str>,
    pub(crate) at: Option<&'a str>,
    pub(crate) to: &'a Path,
    pub(crate) paths: &'a [PathBuf],
    pub(crate) dry_run: bool,
}

impl<'a> Wanted<'a> {
    /// From the words of the command line: an archive may come first, and paths from the root follow.
    pub(super) fn new(what: &'a [PathBuf], at: Option<&'a str>, to: &'a Path) -> anyhow::Result<Self> {
        let (archive, paths) = match what.split_first() {
            Some((first, rest)) if !first.is_absolute() => (first.to_str(), rest),
            _ => (None, what),
        };
        if archive.is_some() && at.is_some() {
            bail!("an archive and --at exclude each other");
        }
        if let Some(path) = paths.iter().find(|path| !path.is_absolute()) {
            bail!("{} does not begin with /", path.display());
        }
        Ok(Self { archive, at, to, paths, dry_run: false })
    }
}

pub(super) fn verify(run: &Run, archive: Option<&str>, percent: u8) -> anyhow::Result<Done> {
    let opened = run.open()?;
    let archives = opened.store().list()?;
    let archive = choose(&archives, archive, None)?;
    let (good, mut done) = match archive.kind {
        ArchiveKind::Snapshot => verify_tree(run, &opened, &archive.name, percent)?,
        ArchiveKind::Full | ArchiveKind::Incremental => {
            let done = tar::verify(run, opened.store(), &archive.name, percent)?;
            (done.outcome.is_none_or(|outcome| outcome == Outcome::Ok), done)
        }
    };
    // One that cannot be read at all is no proof of damage, and comes by another way than this.
    note(opened.store(), archive, percent, good)?;
    done.archives = Some(listed(&opened.store().list()?));
    Ok(done)
}

fn verify_tree(run: &Run, opened: &Opened, name: &str, percent: u8) -> anyhow::Result<(bool, Done)> {
    let check = tree::Check {
        percent,
        seed: run.started_unix_ms.cast_unsigned(),
        threads: run.threads(),
        problems: &run.problems,
        progress: &run.progress,
        stop: &run.stop,
    };
    let checked = match opened {
        Opened::Local(local) => tree::verify(local, name, &check)?,
        Opened::Ssh(_) | Opened::Daemon(_) => {
            bail!("a tree on another machine is verified there, with its folder as the job's repository")
        }
    };
    let tree::Checked { entries, files_read, damaged } = checked;
    let good = damaged == 0;
    let message = format!("{name}: {entries} entries compared, {files_read} files read, {damaged} damaged");
    let outcome = if good { Outcome::Ok } else { Outcome::Failed };
    Ok((good, Done { outcome: Some(outcome), message, ..Done::default() }))
}

fn note(store: &dyn Store, archive: &Archive, percent: u8, good: bool) -> anyhow::Result<()> {
    if let Some(record) = &archive.record {
        let verified = Some(Verified { unix_ms: unix_ms(), percent, good });
        store.write_record(&Record { verified, ..record.clone() })?;
    }
    Ok(())
}

pub(super) fn restore(run: &Run, wanted: &Wanted<'_>, in_place: bool) -> anyhow::Result<Done> {
    let opened = run.open()?;
    let archives = opened.store().list()?;
    let archive = choose(&archives, wanted.archive, wanted.at)?;
    if archive.kind != ArchiveKind::Snapshot {
        return tar::restore(run, opened.store(), &archive.name, wanted, in_place);
    }
    let how = tree::Restore {
        to: wanted.to,
        paths: wanted.paths,
        in_place,
        dry_run: wanted.dry_run,
        problems: &run.problems,
        progress: &run.progress,
        stop: &run.stop,
    };
    let mut would = run.would();
    let mut tell = |record: &crate::manifest::Record| {
        if wanted.dry_run {
            would.give_back(record, wanted.to);
        }
    };
    let restored = match &opened {
        Opened::Local(local) => tree::restore(local, &archive.name, &how, &mut tell)?,
        Opened::Ssh(ssh) => tree::restore_far(tree::Far::Ssh(ssh), &run.state, &archive.name, &how, &mut tell)?,
        Opened::Daemon(daemon) => {
            tree::restore_far(tree::Far::Daemon(daemon), &run.state, &archive.name, &how, &mut tell)?
        }
    };
    let what = if wanted.dry_run { "would be given back" } else { "given back" };
    let message = format!("{} entries of {} {what} to {}", restored.entries, archive.name, wanted.to.display());
    let text = wanted.dry_run.then(String::new);
    Ok(Done { message, text, would: would.kept(), ..Done::default() })
}

/// The archive that is meant: by its name, the newest, or the newest at a time.
fn choose<'a>(archives: &'a [Archive], name: Option<&str>, at: Option<&str>) -> anyhow::Result<&'a Archive> {
    if let Some(at) = at {
        // Programs say it as milliseconds since 1970-01-01 UTC.
        let by_number = at.strip_prefix('@').and_then(|ms| Timestamp::from_millisecond(ms.parse().ok()?).ok());
        let time = by_number.map_or_else(|| at.parse::<Timestamp>(), Ok);
        let time = time.with_context(|| format!("{at:?} is no time such as 2026-11-22T02:15:00Z"))?;
        let before = |archive: &&Archive| archive.received_unix_ms <= time.as_millisecond();
        return archives.iter().rfind(before).with_context(|| format!("there is no archive from before {at}"));
    }
    match name {
        None | Some("latest") => archives.last().context("there is no archive yet"),
        Some(name) => match archives.iter().find(|archive| archive.name == name) {
            Some(archive) => Ok(archive),
            None => bail!("there is no archive {name}"),
        },
    }
}
