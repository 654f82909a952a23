//! Looks at the files of an installation, and makes them what they are to be.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use rackhaven_proto::model::k3s::{Arch, Artifact, ArtifactKind, Digest};

use super::plan::{Change, Seen, Source, Wanted};
use super::release;
use crate::files;
use crate::news::Done;
use crate::order::Work;
use crate::paths::{AGENT_TOKEN, LINKS, PROGRAM};

/// So many bytes tell what a file is.
const FIRST_BYTES: u64 = 512;

/// What is at all places that count.
pub(super) fn look(work: &mut Work, all: &[Wanted]) -> anyhow::Result<BTreeMap<String, Seen>> {
    let mut seen = BTreeMap::new();
    let paths = all.iter().map(|file| file.path.as_str()).chain(LINKS).chain([AGENT_TOKEN]);
    for path in paths {
        let place = work.root.at(path);
        let there = match fs::symlink_metadata(&place) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Seen::Absent
            }
            Err(error) => return Err(error).with_context(|| format!("looking at {path}")),
            Ok(metadata) if metadata.is_symlink() => Seen::Link(fs::read_link(&place)?.to_string_lossy().into_owned()),
            Ok(metadata) if metadata.is_file() => {
                let (sum, _) = files::sum_of(&place, &mut |_| work.go_on())?;
                Seen::File(metadata.permissions().mode() & 0o7777, sum)
            }
            Ok(_) => Seen::Other,
        };
        seen.insert(path.to_owned(), there);
    }
    Ok(seen)
}

/// Looks whether the order's files are here, whole, and for this machine, as far as they are needed.
pub(super) fn check_artifacts(work: &mut Work, all: &[Wanted], seen: &BTreeMap<String, Seen>) -> anyhow::Result<Done> {
    let mut checked = Vec::new();
    for artifact in missing(all, seen) {
        let place = work.artifacts.join(artifact.sha256.to_string());
        check_artifact(work, artifact, &place).with_context(|| artifact.to_string())?;
        checked.push(artifact.to_string());
    }
    // Before anything is changed: it would run, and never be the release that is waited for.
    for file in all {
        let Source::Artifact(artifact) = &file.source else { continue };
        if artifact.kind == ArtifactKind::Program {
            let here = work.artifacts.join(artifact.sha256.to_string());
            let place = if is_there(seen, file) { work.root.at(&file.path) } else { here };
            release::check(work, artifact, &place).with_context(|| artifact.to_string())?;
        }
    }
    Ok(match checked.as_slice() {
        [] => Done::Unchanged("the release's files are in their places".to_owned()),
        _ => Done::Changed(format!("checked {}", checked.join(", "))),
    })
}

/// The order's files that are not in their places.
pub(super) fn missing<'a>(all: &'a [Wanted], seen: &BTreeMap<String, Seen>) -> Vec<&'a Artifact> {
    let of = |file: &'a Wanted| match &file.source {
        Source::Artifact(artifact) if !is_there(seen, file) => Some(artifact),
        _ => None,
    };
    all.iter().filter_map(of).collect()
}

/// Whether a file is in its place.
fn is_there(seen: &BTreeMap<String, Seen>, file: &Wanted) -> bool {
    matches!(seen.get(&file.path), Some(Seen::File(_, sum)) if *sum == file.sum)
}

fn check_artifact(work: &mut Work, artifact: &Artifact, place: &Path) -> anyhow::Result<()> {
    let (sum, length) = files::sum_of(place, &mut |done| work.progress(done, artifact.bytes))?;
    let mut first = Vec::new();
    fs::File::open(place)?.take(FIRST_BYTES).read_to_end(&mut first)?;
    if let Err(reason) = judge(artifact, sum, length, &first) {
        // The next order would find it again.
        files::remove_if_there(place)?;
        return Err(reason);
    }
    if artifact.kind == ArtifactKind::Program { release::let_run(place) } else { Ok(()) }
}

/// Refuses a file that is not what the order wants, by its SHA-256, length and first bytes.
fn judge(artifact: &Artifact, sum: Digest, length: u64, first: &[u8]) -> anyhow::Result<()> {
    match &artifact.source {
        None if length != artifact.bytes => bail!("the file has {length} bytes of {}", artifact.bytes),
        Some(source) if sum != artifact.sha256 => {
            bail!("its SHA-256 is {sum}, not {}: {length} bytes came from {source}", artifact.sha256)
        }
        None if sum != artifact.sha256 => bail!("its SHA-256 is {sum}, not {}", artifact.sha256),
        _ => {}
    }
    if ArtifactKind::of_bytes(first) != Some(artifact.kind) {
        bail!("it is no {}", artifact.kind);
    }
    if artifact.kind == ArtifactKind::Program {
        let arch = Arch::of_program(first).context("it is a program for processors that Rackhaven does not know")?;
        let machine = rustix::system::uname().machine().to_string_lossy().into_owned();
        if arch != artifact.arch || !runs_on(arch, &machine) {
            bail!("it is a program for {arch}, which does not run on this machine ({machine})");
        }
    }
    Ok(())
}

/// Whether a machine of this name (uname's) runs programs for these processors.
fn runs_on(arch: Arch, machine: &str) -> bool {
    match arch {
        Arch::Amd64 => machine == "x86_64",
        Arch::Arm64 => machine == "aarch64",
        Arch::Armhf => machine.starts_with("armv7") || machine.starts_with("armv8"),
    }
}

/// Makes these changes.
pub(super) fn make(work: &mut Work, all: &[Wanted], changes: &[Change]) -> anyhow::Result<Done> {
    let mut told = Vec::new();
    for change in changes {
        work.go_on()?;
        match change {
            Change::Write(number) => {
                let Some(file) = all.get(*number) else { continue };
                write(work, file)?;
                told.push(file.path.clone());
            }
            Change::SetMode(number) => {
                let Some(file) = all.get(*number) else { continue };
                let set = fs::set_permissions(work.root.at(&file.path), Permissions::from_mode(file.mode));
                set.with_context(|| format!("setting the permissions of {}", file.path))?;
                told.push(format!("permissions of {}", file.path));
            }
            Change::Link(path) => {
                // Beside the program, so that it means the same wherever the folder is seen.
                files::link(PROGRAM.rsplit('/').next().unwrap_or(PROGRAM), &work.root.at(path))?;
                told.push((*path).to_owned());
            }
            Change::Remove(path) => {
                files::remove_if_there(&work.root.at(path))?;
                told.push(format!("{path} removed"));
            }
        }
    }
    Ok(if told.is_empty() { Done::Unchanged(String::new()) } else { Done::Changed(told.join(", ")) })
}

fn write(work: &mut Work, file: &Wanted) -> io::Result<()> {
    let place = work.root.at(&file.path);
    make_folders(work, &file.path)?;
    match &file.source {
        Source::Bytes(bytes) => files::replace(&place, bytes, file.mode),
        Source::Artifact(artifact) => {
            let from = work.artifacts.join(artifact.sha256.to_string());
            files::copy(&from, &place, file.mode, artifact.sha256, &mut |done| work.progress(done, artifact.bytes))
        }
    }
}

/// The folders above a file; what servers keep is for root alone.
fn make_folders(work: &Work, path: &str) -> io::Result<()> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let mut folder = String::new();
    for part in &parts[..parts.len().saturating_sub(1)] {
        folder = format!("{folder}/{part}");
        if !work.root.is_there(&folder) {
            let mode = if folder.contains("/k3s/server") { 0o700 } else { 0o755 };
            files::make_folder(&work.root.at(&folder), mode)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::model::k3s::Arch;

    use super::runs_on;

    #[test]
    fn machines_golden() {
        for (arch, machine, runs) in [
            (Arch::Amd64, "x86_64", true),
            (Arch::Arm64, "aarch64", true),
            (Arch::Armhf, "armv7l", true),
            (Arch::Armhf, "armv6l", false),
            (Arch::Armhf, "aarch64", false),
            (Arch::Arm64, "armv7l", false),
            (Arch::Amd64, "aarch64", false),
        ] {
            assert_eq!(runs_on(arch, machine), runs, "{arch} on {machine}");
        }
    }
}
