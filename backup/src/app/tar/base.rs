//! What an increment is compared with: the manifest of the newest archive, as it is kept on the node.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::Context as _;

use super::super::Run;
use crate::manifest::{FOOTER_BYTES, Manifest};
use crate::repository::{Archive, Store};
use crate::tar::{Archives, Identities, Shelf, open_manifest};

/// Its name in the job's state.
pub(super) const MANIFEST: &str = "last.manifest";

/// How many entries the newest archive that was made here had.
pub(super) fn entries_before(run: &Run) -> Option<u64> {
    let file = File::open(run.state.join(MANIFEST)).ok()?;
    Some(Manifest::open(file).ok()?.footer.entries)
}

/// The manifest that the next increment is compared with; none when a full archive is due.
pub(super) fn base(
    run: &Run,
    store: &dyn Store,
    archives: &[Archive],
    identities: Option<Identities>,
) -> anyhow::Result<Option<Manifest<File>>> {
    let Some(newest) = archives.last() else { return Ok(None) };
    if newest.record.as_ref().and_then(|record| record.verified.as_ref()).is_some_and(|verified| !verified.good) {
        return Ok(None);
    }
    let path = run.state.join(MANIFEST);
    let kept = kept(&path).filter(|manifest| is_of(manifest, &newest.name));
    let manifest = match kept {
        Some(manifest) => manifest,
        // A run was killed between its archive and its state, or the state was lost.
        None => match fetch(&Archives::new(store, identities), &newest.name, &path)? {
            Some(manifest) => manifest,
            None => return Ok(None),
        },
    };
    let chain = &manifest.header.chain;
    let is_due = chain.len() > run.job.full_every as usize;
    let is_whole = chain.iter().all(|link| archives.iter().any(|archive| archive.name == link.name));
    Ok(if is_due || !is_whole { None } else { Some(manifest) })
}

/// What is kept, if it is what was written.
fn kept(path: &Path) -> Option<Manifest<File>> {
    let mut manifest = Manifest::open(File::open(path).ok()?).ok()?;
    manifest.check().ok()?;
    Some(manifest)
}

fn is_of<R>(manifest: &Manifest<R>, name: &str) -> bool {
    manifest.header.chain.last().is_some_and(|link| link.name == name)
}

/// Copies the manifest from the end of an archive. None when the archive cannot be opened from here, as an encrypted one.
fn fetch(shelf: &Archives<'_>, name: &str, path: &Path) -> anyhow::Result<Option<Manifest<File>>> {
    let Ok(manifest) = open_manifest(shelf, name) else { return Ok(None) };
    let (offset, len) = (manifest.footer.manifest_offset, manifest.footer.manifest_bytes + FOOTER_BYTES as u64);
    let mut source = shelf.open(name)?;
    source.seek(SeekFrom::Start(offset))?;
    let mut file = File::create(path).with_context(|| format!("making {}", path.display()))?;
    io::copy(&mut source.take(len), &mut file).with_context(|| format!("fetching the manifest of {name}"))?;
    file.flush()?;
    Ok(kept(path).filter(|manifest| is_of(manifest, name)))
}

/// Puts a new manifest in the place of the last one.
pub(super) fn keep(run: &Run, spool: &File, partial: &Path) -> io::Result<()> {
    spool.sync_all()?;
    fs::rename(partial, run.state.join(MANIFEST))?;
    File::open(&run.state)?.sync_all()
}
