use rackhaven_pki::durable::StateError;
use rackhaven_proto::model::{Ending, LastRun};
use serde::{Deserialize, Serialize};

use super::StateFolder;

const RUN: &str = "run";

/// The run of the agent that is, or was the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// The boot in which it runs.
    pub boot_id: String,
    /// Why it ended in an orderly way; none while it runs, or if it was cut short.
    pub ended: Option<String>,
}

/// Writes down that a run begins. How the one before ended, and what was wrong with its record.
///
/// # Errors
/// When the disk refuses. The run before is told all the same.
pub fn begin_run(folder: &StateFolder, boot_id: &str) -> (Option<LastRun>, Option<String>, Result<(), StateError>) {
    let (before, damaged) = folder.read::<RunRecord>(RUN, 1);
    let last = before.map(|before| ending(before, boot_id));
    let written = folder.write(RUN, 1, &RunRecord { boot_id: boot_id.to_owned(), ended: None });
    (last, damaged, written)
}

/// Writes down that this run ends in an orderly way.
///
/// # Errors
/// When the disk refuses.
pub fn end_run(folder: &StateFolder, boot_id: &str, reason: &str) -> Result<(), StateError> {
    folder.write(RUN, 1, &RunRecord { boot_id: boot_id.to_owned(), ended: Some(reason.to_owned()) })
}

fn ending(before: RunRecord, boot_id: &str) -> LastRun {
    let (ending, reason) = match before.ended {
        Some(reason) => (Ending::Clean, reason),
        None if before.boot_id == boot_id => (Ending::AgentKilled, String::new()),
        None => (Ending::NodeLost, String::new()),
    };
    LastRun { ending, boot_id: before.boot_id, reason }
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::model::Ending;

    use super::{begin_run, end_run};
    use crate::state::StateFolder;

    #[test]
    fn tells_how_the_run_before_ended() {
        let temp = tempfile::tempdir().unwrap();
        let folder = StateFolder::open(temp.path()).unwrap();
        let begin = |boot: &str| begin_run(&folder, boot).0.map(|last| last.ending);
        assert_eq!(begin("boot-1"), None);
        assert_eq!(begin("boot-1"), Some(Ending::AgentKilled));
        assert_eq!(begin("boot-2"), Some(Ending::NodeLost));
        end_run(&folder, "boot-2", "SIGTERM").unwrap();
        assert_eq!(begin("boot-3"), Some(Ending::Clean));
        std::fs::write(temp.path().join("run"), "rackhaven run v1 7 00000000\n{\"boot").unwrap();
        let (last, damaged, written) = begin_run(&folder, "boot-3");
        assert_eq!(last, None);
        assert!(damaged.unwrap().contains("run.corrupt-1"));
        assert!(written.is_ok());
    }
}
