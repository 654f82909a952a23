//! What is done before and after a run: the admin's own programs, and consistent copies of what cannot be copied live.
//!
//! A job names programs and never holds a command: it may come from the controller, and only root puts programs into the
//! folder from which they are run.

mod prepare;

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

pub use prepare::prepare;

use crate::child::{self, Running};
use crate::clock::steady;
use crate::stop::Stop;

/// What a hook is told, in its environment.
#[derive(Debug, Clone)]
pub struct Told<'a> {
    /// `RACKHAVEN_NODE`.
    pub node: &'a str,
    /// `RACKHAVEN_JOB`.
    pub job: &'a str,
    /// `RACKHAVEN_REPOSITORY`.
    pub repository: &'a str,
    /// `RACKHAVEN_PHASE`: `before` or `after`.
    pub phase: &'a str,
    /// `RACKHAVEN_OUTCOME`, afterwards: how the run ended.
    pub outcome: &'a str,
    /// `RACKHAVEN_ARCHIVE`, afterwards: what it made.
    pub archive: &'a str,
}

/// A hook that did not do what it should.
#[derive(Debug, thiserror::Error)]
#[error("hook {name}: {reason}")]
pub struct HookError {
    /// Which.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl HookError {
    fn new(name: &str, reason: impl Into<String>) -> Self {
        Self { name: name.to_owned(), reason: reason.into() }
    }
}

/// Runs one hook to its end.
///
/// # Errors
/// When it is not there, others than root may write to it, it fails, takes too long, or is stopped.
pub fn run(folder: &Path, name: &str, told: &Told<'_>, limit: Duration, stop: &Stop) -> Result<(), HookError> {
    let path = find(folder, name).map_err(|reason| HookError::new(name, reason))?;
    let mut command = child::command(&path);
    command.stdout(Stdio::null());
    for (variable, value) in [
        ("RACKHAVEN_NODE", told.node),
        ("RACKHAVEN_JOB", told.job),
        ("RACKHAVEN_REPOSITORY", told.repository),
        ("RACKHAVEN_PHASE", told.phase),
        ("RACKHAVEN_OUTCOME", told.outcome),
        ("RACKHAVEN_ARCHIVE", told.archive),
    ] {
        command.env(variable, value);
    }
    let ended = Running::start(command).and_then(|mut running| running.wait(Some(steady() + limit), stop));
    match ended {
        Ok(ended) if ended.status.success() => Ok(()),
        Ok(ended) => Err(HookError::new(name, format!("it ended with {}: {}", ended.word(), ended.said))),
        Err(error) => Err(HookError::new(name, error.to_string())),
    }
}

/// The program of this name, if nobody but root can have put it there.
fn find(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let reading = |path: &Path, error: std::io::Error| format!("examining {}: {error}", path.display());
    let of_folder = fs::metadata(folder).map_err(|error| reading(folder, error))?;
    if others_may_write(&of_folder) {
        return Err(format!("it is not run: others than root may write to {}", folder.display()));
    }
    let path = folder.join(name);
    let of_hook = fs::symlink_metadata(&path).map_err(|error| reading(&path, error))?;
    if !of_hook.is_file() || of_hook.permissions().mode() & 0o111 == 0 {
        return Err(format!("{} is no program", path.display()));
    }
    if others_may_write(&of_hook) {
        return Err("it is not run: others than root may write to it".to_owned());
    }
    Ok(path)
}

fn others_may_write(metadata: &Metadata) -> bool {
    let owners = [0, rustix::process::geteuid().as_raw()];
    metadata.mode() & 0o022 != 0 || !owners.contains(&metadata.uid())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;
    use std::time::Duration;

    use super::{Told, run};
    use crate::stop::Stop;

    const TOLD: Told<'_> =
        Told { node: "pi-1", job: "home", repository: "/r", phase: "after", outcome: "ok", archive: "a" };

    fn hook(folder: &Path, name: &str, mode: u32, script: &str) {
        fs::write(folder.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(folder.join(name), Permissions::from_mode(mode)).unwrap();
    }

    fn said(folder: &Path, name: &str) -> String {
        match run(folder, name, &TOLD, Duration::from_secs(60), &Stop::default()) {
            Ok(()) => "done".to_owned(),
            Err(error) => error.to_string().replace(&folder.display().to_string(), "DIR"),
        }
    }

    #[test]
    fn hooks_are_what_only_root_may_change() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        let told = "[ \"$RACKHAVEN_NODE $RACKHAVEN_JOB $RACKHAVEN_PHASE $RACKHAVEN_OUTCOME\" = 'pi-1 home after ok' ]";
        hook(folder, "good", 0o755, told);
        hook(folder, "bad", 0o700, "echo no luck >&2; exit 7");
        hook(folder, "group", 0o775, "");
        hook(folder, "text", 0o644, "");
        symlink("/bin/true", folder.join("link")).unwrap();
        for (name, expected) in [
            ("good", "done"),
            ("bad", "hook bad: it ended with exit status 7: no luck"),
            ("group", "hook group: it is not run: others than root may write to it"),
            ("text", "hook text: DIR/text is no program"),
            ("link", "hook link: DIR/link is no program"),
            ("none", "hook none: examining DIR/none: No such file or directory (os error 2)"),
        ] {
            assert_eq!(said(folder, name), expected);
        }
        fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap();
        assert_eq!(said(folder, "good"), "hook good: it is not run: others than root may write to DIR");
    }

    #[test]
    fn a_hook_that_takes_too_long_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        hook(folder.path(), "slow", 0o755, "sleep 1000");
        let error = run(folder.path(), "slow", &TOLD, Duration::from_millis(20), &Stop::default()).unwrap_err();
        assert!(error.to_string().ends_with("took too long"), "{error}");
    }
}
