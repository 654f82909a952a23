use std::path::Path;

use anyhow::Context;
use rackhaven_pki::durable::StateError;
use rackhaven_proto::model::{Ending, LastRun};
use serde::{Deserialize, Serialize};

use super::StateFolder;

const RUN: &str = "run";
const STOP: &str = "stop";

/// The run of the agent that is, or was the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// The boot in which it runs.
    pub boot_id: String,
    /// Why it ended in an orderly way; none while it runs, or if it was cut short.
    pub ended: Option<String>,
    /// Whether the end of this boot will be recorded, by [`record_stop`].
    #[serde(default)]
    pub stop_recorded: bool,
}

/// The last boot whose end was recorded.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StopRecord {
    boot_id: String,
}

/// What the beginning of a run has found.
#[derive(Debug)]
pub struct Began {
    /// How the run before ended.
    pub last_run: Option<LastRun>,
    /// Whether the end of the boot in which that was would have been recorded: if so, [`Ending::Clean`] means that
    /// the machine, too, had stopped in order.
    pub stop_recorded: bool,
    /// What was wrong with the records.
    pub damaged: Option<String>,
    /// Whether this run's beginning is on the disk.
    pub written: Result<(), StateError>,
}

/// Writes down that a run begins. `records_stops` says whether the end of this boot will be recorded.
pub fn begin_run(folder: &StateFolder, boot_id: &str, records_stops: bool) -> Began {
    let (before, mut damaged) = folder.read::<RunRecord>(RUN, 1);
    let (stop, damaged_stop) = folder.read::<StopRecord>(STOP, 1);
    if let Some(more) = damaged_stop {
        damaged = Some(damaged.map_or_else(|| more.clone(), |first| format!("{first}; {more}")));
    }
    let stop_recorded = before.as_ref().is_some_and(|before| before.stop_recorded);
    let last_run = before.map(|before| ending(before, boot_id, stop.as_ref()));
    let begun = RunRecord { boot_id: boot_id.to_owned(), ended: None, stop_recorded: records_stops };
    Began { last_run, stop_recorded, damaged, written: folder.write(RUN, 1, &begun) }
}

/// Writes down that this run ends in an orderly way.
///
/// # Errors
/// When the disk refuses.
pub fn end_run(folder: &StateFolder, boot_id: &str, reason: &str, records_stops: bool) -> Result<(), StateError> {
    let (boot_id, ended) = (boot_id.to_owned(), Some(reason.to_owned()));
    folder.write(RUN, 1, &RunRecord { boot_id, ended, stop_recorded: records_stops })
}

/// Writes everything to the disks, and then that this boot ends. For the last that happens before file systems are
/// unmounted. `boot_id` is the file with this boot's id.
///
/// # Errors
/// When the id cannot be read, or the disk refuses.
pub fn record_stop(folder: &StateFolder, boot_id: &Path) -> anyhow::Result<()> {
    let boot_id = std::fs::read_to_string(boot_id).with_context(|| format!("reading {}", boot_id.display()))?;
    nix::unistd::sync();
    folder.write(STOP, 1, &StopRecord { boot_id: boot_id.trim().to_owned() })?;
    Ok(())
}

fn ending(before: RunRecord, boot_id: &str, stop: Option<&StopRecord>) -> LastRun {
    let stopped = stop.is_some_and(|stop| stop.boot_id == before.boot_id);
    let (ending, reason) = match before.ended {
        Some(reason) if stopped || before.boot_id == boot_id || !before.stop_recorded => (Ending::Clean, reason),
        Some(_) => (Ending::NodeLost, "it was cut short while it stopped".to_owned()),
        None if stopped => (Ending::Clean, "a stop of the machine".to_owned()),
        None if before.boot_id == boot_id => (Ending::AgentKilled, String::new()),
        None => (Ending::NodeLost, String::new()),
    };
    LastRun { ending, boot_id: before.boot_id, reason }
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::model::Ending;

    use super::{Began, begin_run, end_run, record_stop};
    use crate::state::StateFolder;

    #[test]
    fn tells_how_the_run_before_ended() {
        let temp = tempfile::tempdir().unwrap();
        let folder = StateFolder::open(temp.path()).unwrap();
        let begin = |boot: &str| begin_run(&folder, boot, false).last_run.map(|last| last.ending);
        assert_eq!(begin("boot-1"), None);
        assert_eq!(begin("boot-1"), Some(Ending::AgentKilled));
        assert_eq!(begin("boot-2"), Some(Ending::NodeLost));
        end_run(&folder, "boot-2", "SIGTERM", false).unwrap();
        assert_eq!(begin("boot-3"), Some(Ending::Clean));
        std::fs::write(temp.path().join("run"), "rackhaven run v1 7 00000000\n{\"boot").unwrap();
        let Began { last_run: last, damaged, written, .. } = begin_run(&folder, "boot-3", false);
        assert_eq!(last, None);
        assert!(damaged.unwrap().contains("run.corrupt-1"));
        assert!(written.is_ok());
    }

    #[test]
    fn where_stops_are_recorded_only_a_recorded_one_is_clean() {
        let temp = tempfile::tempdir().unwrap();
        let folder = StateFolder::open(temp.path()).unwrap();
        let id = temp.path().join("boot_id");
        // Whether the agent was told to end, whether the machine's stop came to its end, and how that is told.
        for (boot, agent_ended, machine_stopped, expected) in [
            (1, true, true, Ending::Clean),
            (2, true, false, Ending::NodeLost),
            (3, false, true, Ending::Clean),
            (4, false, false, Ending::NodeLost),
        ] {
            let (this, next) = (format!("boot-{boot}"), format!("boot-{boot}-next"));
            begin_run(&folder, &this, true).written.unwrap();
            if agent_ended {
                end_run(&folder, &this, "SIGTERM", true).unwrap();
            }
            if machine_stopped {
                std::fs::write(&id, format!("{this}\n")).unwrap();
                record_stop(&folder, &id).unwrap();
            }
            let began = begin_run(&folder, &next, false);
            assert!(began.stop_recorded);
            assert_eq!(began.last_run.unwrap().ending, expected, "boot {boot}");
        }
        // An agent that is restarted within a boot says nothing of the machine.
        begin_run(&folder, "boot-9", true).written.unwrap();
        end_run(&folder, "boot-9", "SIGTERM", true).unwrap();
        assert_eq!(begin_run(&folder, "boot-9", true).last_run.unwrap().ending, Ending::Clean);
    }
}
