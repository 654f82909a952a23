use rackhaven_pki::durable::StateError;
use rackhaven_proto::model::{CommandId, CommandOutcome, Operation};
use serde::{Deserialize, Serialize};

use super::StateFolder;

const JOURNAL: &str = "commands";
/// Most commands that are remembered. One that comes again later than so many others is refused as expired anyway.
const KEEP: usize = 64;

/// A command as the node remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: CommandId,
    /// What it asks.
    pub operation: Operation,
    /// The boot in which it was accepted.
    pub boot_id: String,
    /// How far it is.
    pub outcome: CommandOutcome,
    /// Whether the controller knows the end.
    pub stored: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    operation: String,
    boot_id: String,
    outcome: String,
    message: String,
    stored: bool,
}

/// The commands that came to this node, newest last: on the disk before they are performed, so that none is performed
/// twice.
#[derive(Debug)]
pub struct Journal {
    folder: StateFolder,
    entries: Vec<Entry>,
}

impl Journal {
    /// Reads it; what was wrong with the file, if it was.
    pub fn open(folder: &StateFolder) -> (Self, Option<String>) {
        let (lines, damaged) = folder.read::<Vec<Line>>(JOURNAL, 1);
        let entries = lines.unwrap_or_default().into_iter().filter_map(from_line).collect();
        (Self { folder: folder.clone(), entries }, damaged)
    }

    /// A command that came before.
    pub fn get(&self, id: &CommandId) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == *id)
    }

    /// What the controller has not confirmed yet, oldest first.
    pub fn unconfirmed(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.stored)
    }

    /// Writes a command down, or what became of it.
    ///
    /// # Errors
    /// When the disk refuses; the journal is then as before.
    pub fn put(&mut self, entry: Entry) -> Result<(), StateError> {
        let mut entries = self.entries.clone();
        match entries.iter_mut().find(|old| old.id == entry.id) {
            Some(old) => *old = entry,
            None => entries.push(entry),
        }
        entries.drain(..entries.len().saturating_sub(KEEP));
        self.folder.write(JOURNAL, 1, &entries.iter().map(to_line).collect::<Vec<_>>())?;
        self.entries = entries;
        Ok(())
    }
}

fn to_line(entry: &Entry) -> Line {
    let (outcome, message) = match &entry.outcome {
        CommandOutcome::Accepted => ("accepted", ""),
        CommandOutcome::Succeeded => ("succeeded", ""),
        CommandOutcome::Failed(message) => ("failed", message.as_str()),
        CommandOutcome::Expired => ("expired", ""),
    };
    Line {
        id: entry.id.to_string(),
        operation: entry.operation.to_string(),
        boot_id: entry.boot_id.clone(),
        outcome: outcome.to_owned(),
        message: message.to_owned(),
        stored: entry.stored,
    }
}

fn from_line(line: Line) -> Option<Entry> {
    let outcome = match line.outcome.as_str() {
        "accepted" => CommandOutcome::Accepted,
        "succeeded" => CommandOutcome::Succeeded,
        "failed" => CommandOutcome::Failed(line.message),
        _ => CommandOutcome::Expired,
    };
    Some(Entry {
        id: line.id.parse().ok()?,
        operation: line.operation.parse().ok()?,
        boot_id: line.boot_id,
        outcome,
        stored: line.stored,
    })
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::model::{CommandOutcome, Operation};

    use super::{Entry, Journal, KEEP};
    use crate::state::StateFolder;

    #[test]
    fn remembers_across_restarts_within_its_bound() {
        let temp = tempfile::tempdir().unwrap();
        let folder = StateFolder::open(temp.path()).unwrap();
        let (mut journal, _) = Journal::open(&folder);
        for number in 0..=KEEP {
            let outcome = CommandOutcome::Failed("no".to_owned());
            let id = format!("c{number}").parse().unwrap();
            let boot_id = "b".to_owned();
            journal.put(Entry { id, operation: Operation::Reboot, boot_id, outcome, stored: false }).unwrap();
        }
        let (reread, damaged) = Journal::open(&folder);
        assert_eq!((reread.entries, damaged), (journal.entries.clone(), None));
        assert!(journal.get(&"c0".parse().unwrap()).is_none());
        assert_eq!(journal.unconfirmed().count(), KEEP);
    }
}
