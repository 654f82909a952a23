//! Gives back what is in a tree on another machine.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::far::Far;
use super::listing::put;
use super::transfer::{KEEP, transfer};
use crate::manifest::{Item, Manifest, Record};
use crate::repository::{MANIFEST, RepositoryError};
use crate::tree::read::ReadError;
use crate::tree::restore::{Restore, Restored, open_target};
use crate::tree::verify::is_at_or_below;

/// Gives back what a far tree holds, by rsync. `told` hears of each thing.
///
/// # Errors
/// When the tree or the target cannot be used, or a path is not there.
pub fn restore_far(
    far: Far<'_>,
    state: &Path,
    name: &str,
    how: &Restore<'_>,
    told: &mut dyn FnMut(&Record),
) -> Result<Restored, ReadError> {
    let (fetched, paths) = (state.join("restore.manifest"), state.join("restore.paths"));
    far.get(&format!("{name}{MANIFEST}"), &fetched)?;
    if !how.dry_run {
        open_target(how)?;
    }
    let (origin, before) = far.origin(name);
    let restored = choose(&fetched, (&paths, &before), name, how, told);
    let removed = std::fs::remove_file(&fetched);
    let restored = restored?;
    removed.map_err(|error| RepositoryError::io("removing a manifest that was fetched", error))?;
    if !how.dry_run {
        let mut command = far.command();
        command.args(KEEP).args(["--relative", "--recursive", "--from0"]);
        command.arg(format!("--files-from={}", paths.display()));
        command.arg("--").arg(origin).arg(how.to);
        transfer(far, command, how.problems, how.progress, how.stop)?;
    }
    Ok(restored)
}

fn choose(
    manifest: &Path,
    (paths, before): (&Path, &[u8]),
    name: &str,
    how: &Restore<'_>,
    told: &mut dyn FnMut(&Record),
) -> Result<Restored, ReadError> {
    let wrong = |source| ReadError::Manifest { name: name.to_owned(), source };
    let spooled = |error| ReadError::Target(format!("writing {}: {error}", paths.display()));
    let file = File::open(manifest).map_err(|error| RepositoryError::io("opening a manifest", error))?;
    let mut manifest = Manifest::open(BufReader::new(file)).map_err(wrong)?;
    manifest.check().map_err(wrong)?;
    let mut out = BufWriter::new(File::create(paths).map_err(spooled)?);
    let mut restored = Restored::default();
    let mut top: Option<Vec<u8>> = None;
    let mut found = vec![false; how.paths.len()];
    for item in manifest.records().map_err(wrong)? {
        let Item::Entry(record) = item.map_err(wrong)? else { continue };
        let mut wanted = how.paths.is_empty();
        for (path, found) in how.paths.iter().zip(&mut found) {
            if is_at_or_below(&record.entry.path, path.as_os_str().as_bytes()) {
                (*found, wanted) = (true, true);
            }
        }
        if wanted {
            told(&record);
            // rsync finds what is below by itself.
            if !top.as_ref().is_some_and(|top| is_at_or_below(&record.entry.path, top)) {
                put(&mut out, before, &record.entry.path).map_err(spooled)?;
                top = Some(record.entry.path.clone());
            }
            restored.entries += 1;
            restored.bytes += if record.entry.hard_link.is_none() { record.entry.size } else { 0 };
        }
    }
    out.flush().map_err(spooled)?;
    match how.paths.iter().zip(&found).find(|(_, found)| !**found) {
        Some((path, _)) => Err(ReadError::Target(format!("{} is not in {name}", path.display()))),
        None => Ok(restored),
    }
}
