//! The tar engine's part of each command.

mod base;

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context as _, bail};

use super::back;
use super::save::{Saved, Wanted};
use super::{Done, Run};
use crate::chance;
use crate::manifest::{ArchiveId, ChainLink, Header, ManifestError};
use crate::outcome::{ArchiveKind, Outcome};
use crate::pace::Pace;
use crate::repository::archive::fresh_name;
use crate::repository::{Archive, Form, Record, Store, Upload};
use crate::tar::{
    Archives, Check, Checked, Identities, ReadError, Request, Restore, Written, encrypting, restore as give_back,
    verify as read_back, write,
};
use base::{MANIFEST, base, entries_before};

/// Fewer entries than this are no reason to wonder where the others went.
const FEW_ENTRIES: u64 = 100;

pub(super) fn save(run: &Run, store: &dyn Store, wanted: &Wanted<'_>) -> anyhow::Result<Saved> {
    store.clean()?;
    let archives = store.list()?;
    let identities = identities(run)?;
    let expected = entries_before(run);
    let base = if wanted.full { None } else { base(run, store, &archives, identities)? };
    let mut chain = base.as_ref().map(|base| base.header.chain.clone()).unwrap_or_default();
    let base_name = chain.last().map(|link| link.name.clone());
    let form = Form::Tar { increment: base.is_some(), encrypted: !run.job.encrypt_to.is_empty() };
    let taken: Vec<String> = archives.iter().map(|archive| archive.name.clone()).collect();
    let name = fresh_name(run.started_unix_ms, form, &taken);
    chain.push(ChainLink { id: ArchiveId(chance::bits().context("drawing an id")?), name: name.clone() });
    let header = Header {
        job: run.name.to_string(),
        node: run.node.to_string(),
        kind: form.kind(),
        started_unix_ms: run.started_unix_ms,
        sources: wanted.selection.sources.iter().map(|path| path.display().to_string()).collect(),
        chain,
    };
    refuse_without_room(store, &archives, form.kind())?;
    let before =
        base.as_ref().map_or((expected.unwrap_or(0), 0), |base| (base.footer.entries, base.footer.content_bytes));
    run.progress.expect(before.0, before.1);
    let pace = Pace::new(run.job.limits.bytes_per_second);
    let request = Request {
        rules: wanted.rules,
        help: help(&header),
        header,
        base,
        level: run.job.compression_level,
        threads: run.threads(),
        pace: &pace,
        problems: &run.problems,
        progress: &run.progress,
        stop: &run.stop,
    };
    let partial = run.state.join(format!("{MANIFEST}.partial"));
    let spool = File::options().create(true).truncate(true).read(true).write(true).open(&partial);
    let spool = spool.with_context(|| format!("making {}", partial.display()))?;
    spool.set_permissions(Permissions::from_mode(0o600)).context("closing the manifest to others")?;
    let mut upload = Counted { upload: store.begin(&name)?, bytes: 0 };
    let written = write_to(&mut upload, request, &run.job.encrypt_to, &spool)?;
    let entries = written.footer.entries;
    if !wanted.full && expected.is_some_and(|before| before >= FEW_ENTRIES && entries < before / 2) {
        bail!(
            "{entries} entries are left of {}: is something not mounted? run with --full if this is meant",
            expected.unwrap_or(0)
        );
    }
    let record = Record {
        format: 1,
        name,
        sequence: 0,
        received_unix_ms: 0,
        started_unix_ms: run.started_unix_ms,
        kind: form.kind(),
        base: base_name,
        outcome: run.problems.outcome(),
        entries,
        source_bytes: written.footer.content_bytes,
        stored_bytes: upload.bytes,
        verified: None,
    };
    let record = upload.upload.publish(record)?;
    // Only now: what is not published must be saved again.
    let mut notes = Vec::new();
    if let Err(error) = base::keep(run, &spool, &partial) {
        notes.push(format!("its manifest could not be kept, the next run fetches it: {error}"));
    }
    Ok(Saved { record, entries_removed: written.removed, notes })
}

fn write_to(
    upload: &mut Counted,
    request: Request<'_>,
    recipients: &[String],
    spool: &File,
) -> anyhow::Result<Written> {
    if recipients.is_empty() {
        return Ok(write(request, upload, spool)?);
    }
    let mut encrypted = encrypting(upload, recipients).context("encrypting the archive")?;
    let written = write(request, &mut encrypted, spool)?;
    encrypted.finish().context("encrypting the archive")?;
    Ok(written)
}

/// Counts what is written to the repository.
struct Counted {
    upload: Box<dyn Upload>,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.upload.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.upload.flush()
    }
}

/// A full archive takes about as much as the one before. Without room for that nothing is begun.
fn refuse_without_room(store: &dyn Store, archives: &[Archive], kind: ArchiveKind) -> anyhow::Result<()> {
    let before = archives.iter().rfind(|archive| archive.kind == kind).map_or(0, |archive| archive.stored_bytes);
    match store.available_bytes()? {
        Some(available) if available < before => {
            bail!("the repository has {available} bytes left, and the last such archive took {before}")
        }
        _ => Ok(()),
    }
}

/// What somebody needs who has the archives but not this program.
fn help(header: &Header) -> String {
    let mut text = String::from("To restore without rackhaven-backup, as root, in the target's folder:\n");
    let options = "--xattrs --xattrs-include='*' --acls --numeric-owner -xpf -";
    for link in &header.chain {
        let name = &link.name;
        let line = match name.strip_suffix(".age") {
            Some(_) => format!("age -d -i KEY {name} | zstd -dc | tar {options}\n"),
            None => format!("zstd -dc {name} | tar {options}\n"),
        };
        text.push_str(&line);
    }
    text
}

fn identities(run: &Run) -> anyhow::Result<Option<Identities>> {
    let read = |path: &std::path::PathBuf| {
        Identities::from_file(path).with_context(|| format!("reading the identity {}", path.display()))
    };
    run.common.identity.as_ref().map(read).transpose()
}

pub(super) fn verify(run: &Run, store: &dyn Store, name: &str, percent: u8) -> anyhow::Result<Done> {
    let shelf = Archives::new(store, identities(run)?);
    let check = Check {
        percent,
        seed: run.started_unix_ms.cast_unsigned(),
        threads: run.threads(),
        problems: &run.problems,
        progress: &run.progress,
        stop: &run.stop,
    };
    let bad = |message: String| Done { outcome: Some(Outcome::Failed), message, ..Done::default() };
    let checked = match read_back(&shelf, name, &check) {
        Err(error @ ReadError::Manifest { source: ManifestError::Damaged(_) | ManifestError::Foreign(_), .. }) => {
            return Ok(bad(error.to_string()));
        }
        other => other?,
    };
    if run.stop.is_requested() {
        bail!("stopped");
    }
    if let Some(broken) = checked.chain.first() {
        return Ok(bad(format!("{name} builds on what cannot be used: {broken}")));
    }
    let Checked { frames, frames_read, frames_damaged, bytes_read, .. } = &checked;
    let message =
        format!("{name}: {frames_read} of {frames} frames read, {bytes_read} bytes, {frames_damaged} damaged");
    if checked.is_good() { Ok(Done { message, ..Done::default() }) } else { Ok(bad(message)) }
}

pub(super) fn restore(
    run: &Run,
    store: &dyn Store,
    name: &str,
    wanted: &back::Wanted<'_>,
    in_place: bool,
) -> anyhow::Result<Done> {
    let shelf = Archives::new(store, identities(run)?);
    let how = Restore {
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
    let restored = give_back(&shelf, name, &how, &mut tell)?;
    let what = if wanted.dry_run { "would be given back" } else { "given back" };
    let message = format!("{} entries of {name} {what} to {}", restored.entries, wanted.to.display());
    let text = wanted.dry_run.then(String::new);
    Ok(Done { message, text, would: would.kept(), ..Done::default() })
}
