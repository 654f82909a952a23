use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rackhaven_proto::model::StepOutcome;
use tokio::sync::{mpsc, oneshot};

use super::Ended;
use crate::causes::with_causes;
use crate::config::ShutdownConfig;
use crate::host::linux::child::{self, Job, Place};
use crate::shutdown::event::StepJob;

/// How many lines of what a hook says go to the log.
const MAX_LINES: usize = 20;

/// What a step tells while it is performed, in this order.
pub(in crate::shutdown) enum News {
    /// It comes to this hook; answered when that is on the disk, with whether it is to be run.
    HookNext(String, oneshot::Sender<bool>),
    /// This hook has ended, and why it failed; empty if it did not.
    HookEnded(String, String),
    /// The step has ended.
    Ended(Ended),
}

/// By which the step asks before each hook.
pub(in crate::shutdown) struct HookGate {
    pub(in crate::shutdown) ticket: u64,
    pub(in crate::shutdown) news: mpsc::Sender<(u64, News)>,
}

impl HookGate {
    async fn may_begin(&self, name: &str) -> bool {
        let (answer, answered) = oneshot::channel();
        let asked = self.news.send((self.ticket, News::HookNext(name.to_owned(), answer))).await;
        asked.is_ok() && answered.await.unwrap_or(false)
    }

    async fn ended(&self, name: &str, failure: String) {
        // If nobody listens any more, the step is being dropped.
        let _ = self.news.send((self.ticket, News::HookEnded(name.to_owned(), failure))).await;
    }
}

/// Runs the admin's hooks, one after the other. One that fails does not keep the others from being run.
pub(super) async fn run(job: &StepJob, config: &ShutdownConfig, place: Place, gate: HookGate) -> Ended {
    let (hooks, refused) = match list(&config.hooks_dir) {
        Ok(found) => found,
        Err(why) => return (StepOutcome::Failed, why),
    };
    if hooks.is_empty() && refused.is_empty() {
        return (StepOutcome::Skipped, "there is none".to_owned());
    }
    let environment = [
        ("RACKHAVEN_ORDER", job.order_id.as_str()),
        ("RACKHAVEN_REASON", job.reason.as_str()),
        ("RACKHAVEN_DRILL", if job.drill { "1" } else { "0" }),
    ];
    for (name, path) in hooks {
        if !gate.may_begin(&name).await {
            continue;
        }
        tracing::info!(hook = name, order = %job.order_id, "running a hook");
        let argv = [path.display().to_string()];
        let ran =
            child::run(Job { argv: &argv, environment: &environment, stands: false, place }, config.hook_timeout).await;
        let failure = match ran {
            Ok(said) => {
                let surplus = said.len().saturating_sub(MAX_LINES);
                said.iter().skip(surplus).for_each(|line| tracing::info!(hook = name, "{line}"));
                String::new()
            }
            Err(error) => with_causes(&error),
        };
        if !failure.is_empty() {
            tracing::warn!(hook = name, "{failure}");
        }
        gate.ended(&name, failure).await;
    }
    let outcome = if refused.is_empty() { StepOutcome::Done } else { StepOutcome::Failed };
    (outcome, refused.join("; "))
}

/// The hooks in the order of their names, and what there is to say of those that are not run.
type Found = (Vec<(String, PathBuf)>, Vec<String>);

fn list(dir: &Path) -> Result<Found, String> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Vec::new(), Vec::new())),
        Err(error) => return Err(format!("reading {}: {error}", dir.display())),
    };
    let of_dir = fs::metadata(dir).map_err(|error| format!("reading {}: {error}", dir.display()))?;
    if others_may_write(&of_dir) {
        return Err(format!("no hook is run: others than root may write to {}", dir.display()));
    }
    let (mut hooks, mut refused) = (Vec::new(), Vec::new());
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
        if passed_over(&name) || !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
            continue;
        }
        if others_may_write(&metadata) {
            refused.push(format!("{name} is not run: others than root may write to it"));
        } else {
            hooks.push((name, entry.path()));
        }
    }
    hooks.sort();
    refused.sort();
    Ok((hooks, refused))
}

/// What editors and packages leave behind is no hook.
fn passed_over(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~') || name.contains(".dpkg-") || name.chars().any(char::is_control)
}

fn others_may_write(metadata: &Metadata) -> bool {
    let owners = [0, nix::unistd::geteuid().as_raw()];
    metadata.mode() & 0o022 != 0 || !owners.contains(&metadata.uid())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::list;

    #[test]
    fn hooks_are_what_only_root_may_change() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        for (name, mode) in [
            ("20-last", 0o755),
            ("10-first", 0o700),
            ("15-group", 0o775),
            ("16-all", 0o757),
            ("30-no-program", 0o644),
            (".hidden", 0o755),
            ("10-first~", 0o755),
            ("10-first.dpkg-old", 0o755),
        ] {
            fs::write(dir.path().join(name), "").unwrap();
            fs::set_permissions(dir.path().join(name), Permissions::from_mode(mode)).unwrap();
        }
        symlink("/bin/true", dir.path().join("40-link")).unwrap();
        fs::create_dir(dir.path().join("50-folder")).unwrap();
        let (hooks, refused) = list(dir.path()).unwrap();
        assert_eq!(hooks.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["10-first", "20-last"]);
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert_eq!(refused[0], "15-group is not run: others than root may write to it");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(list(dir.path()).unwrap_err().contains("others than root may write"));
        assert_eq!(list(&dir.path().join("missing")), Ok((Vec::new(), Vec::new())));
    }
}
