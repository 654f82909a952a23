use std::collections::BTreeMap;
use std::path::PathBuf;

use rackhaven_pki::durable::{self, StateError};
use rackhaven_proto::model::{Event, EventId, RunId, Severity};
use serde::{Deserialize, Serialize};

use super::{StateFolder, set_aside};

const FOLDER: &str = "events";
const KIND: &str = "event";
/// Most events that are kept; the oldest go first.
const KEEP: usize = 1000;

/// An event that the controller has not stored yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The event, without its age.
    pub event: Event,
    boot_id: String,
    monotonic_ms: u64,
}

impl Kept {
    /// The event as it is to be sent now: with its age, if it happened in this boot.
    pub fn at(&self, boot_id: &str, monotonic_ms: u64) -> Event {
        let age_ms = (self.boot_id == boot_id).then(|| monotonic_ms.saturating_sub(self.monotonic_ms));
        Event { age_ms, ..self.event.clone() }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: String,
    kind: String,
    severity: String,
    message: String,
    wall_unix_ms: i64,
    boot_id: String,
    monotonic_ms: u64,
}

/// The events that wait to be delivered, one file each, oldest first. What the disk refuses is kept in memory.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    run_id: RunId,
    boot_id: String,
    waiting: BTreeMap<u64, Kept>,
    /// The last number that was given. None is given twice in a run, or a session that has sent the one would pass over
    /// the other.
    last: u64,
    made: u64,
    dropped: u64,
}

impl Spool {
    /// Reads what waits; what was wrong with files that were set aside.
    pub fn open(folder: &StateFolder, run_id: RunId, boot_id: &str) -> (Self, Vec<String>) {
        let folder = folder.file(FOLDER);
        let mut damaged = Vec::new();
        if let Err(error) = std::fs::create_dir_all(&folder) {
            damaged.push(format!("making {}: {error}", folder.display()));
        }
        let mut waiting = BTreeMap::new();
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(number) = name.to_str().and_then(|name| name.parse::<u64>().ok()) else { continue };
            match read(&entry.path()) {
                Ok(kept) => drop(waiting.insert(number, kept)),
                Err(reason) => damaged.push(set_aside(&entry.path(), &reason)),
            }
        }
        let last = waiting.last_key_value().map_or(0, |(last, _)| *last);
        (Self { folder, run_id, boot_id: boot_id.to_owned(), waiting, last, made: 0, dropped: 0 }, damaged)
    }

    /// Keeps a new event until it is stored; its number. What the disk refuses is said in the log.
    pub fn push(
        &mut self,
        kind: &str,
        severity: Severity,
        message: &str,
        wall_unix_ms: i64,
        monotonic_ms: u64,
    ) -> Option<u64> {
        self.made += 1;
        let id: EventId = format!("{}-{}", self.run_id, self.made).parse().ok()?;
        let clean = message.chars().filter(|c| !c.is_control()).take(Event::MAX_MESSAGE_BYTES / 4).collect();
        let event = Event { id, kind: kind.to_owned(), severity, message: clean, wall_unix_ms, age_ms: None };
        let kept = Kept { event, boot_id: self.boot_id.clone(), monotonic_ms };
        while self.waiting.len() >= KEEP {
            self.drop_oldest();
        }
        self.last += 1;
        let number = self.last;
        if let Err(error) = self.write(number, &kept) {
            tracing::error!(%error, kind, "an event is kept in memory only");
        }
        self.waiting.insert(number, kept);
        Some(number)
    }

    /// What waits, oldest first.
    pub fn waiting(&self) -> impl Iterator<Item = (u64, &Kept)> {
        self.waiting.iter().map(|(number, kept)| (*number, kept))
    }

    /// The next of them after the one with this number.
    pub fn after(&self, number: u64) -> Option<(u64, &Kept)> {
        self.waiting.range(number + 1..).next().map(|(number, kept)| (*number, kept))
    }

    /// The controller has stored these.
    pub fn stored(&mut self, ids: &[EventId]) {
        let done: Vec<u64> =
            self.waiting().filter(|(_, kept)| ids.contains(&kept.event.id)).map(|(number, _)| number).collect();
        for number in done {
            self.forget(number);
        }
    }

    /// How many were dropped for want of room since this was last asked.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn drop_oldest(&mut self) {
        if let Some((oldest, _)) = self.waiting.first_key_value() {
            let oldest = *oldest;
            self.forget(oldest);
            self.dropped += 1;
        }
    }

    fn forget(&mut self, number: u64) {
        self.waiting.remove(&number);
        if let Err(error) = durable::remove(&self.path(number)) {
            // It will be sent again after a restart, and known by its id.
            tracing::warn!(%error, "a delivered event stays on the disk");
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(number.to_string())
    }

    fn write(&self, number: u64, kept: &Kept) -> Result<(), StateError> {
        let Kept { event, boot_id, monotonic_ms } = kept;
        let file = File {
            id: event.id.to_string(),
            kind: event.kind.clone(),
            severity: event.severity.as_str().to_owned(),
            message: event.message.clone(),
            wall_unix_ms: event.wall_unix_ms,
            boot_id: boot_id.clone(),
            monotonic_ms: *monotonic_ms,
        };
        let path = self.path(number);
        let bytes = serde_json::to_vec(&file)
            .map_err(|error| StateError::Corrupt { path: path.clone(), reason: error.to_string() })?;
        durable::replace_checked(&path, KIND, 1, &bytes, 0o600)
    }
}

fn read(path: &std::path::Path) -> Result<Kept, String> {
    let bytes = durable::read_checked(path, KIND, 1).map_err(|error| match error {
        StateError::Corrupt { reason, .. } => reason,
        error @ StateError::Io { .. } => error.to_string(),
    })?;
    let file: File = serde_json::from_slice(&bytes.unwrap_or_default()).map_err(|error| error.to_string())?;
    let event = Event {
        id: file.id.parse().map_err(|invalid: rackhaven_proto::Invalid| invalid.to_string())?,
        kind: file.kind,
        severity: file.severity.parse().map_err(|invalid: rackhaven_proto::Invalid| invalid.to_string())?,
        message: file.message,
        wall_unix_ms: file.wall_unix_ms,
        age_ms: None,
    };
    event.check().map_err(|invalid| invalid.to_string())?;
    Ok(Kept { event, boot_id: file.boot_id, monotonic_ms: file.monotonic_ms })
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::model::{RunId, Severity};

    use super::{KEEP, Spool};
    use crate::state::StateFolder;

    fn messages(spool: &Spool) -> Vec<String> {
        spool.waiting().map(|(_, kept)| kept.event.message.clone()).collect()
    }

    #[test]
    fn keeps_order_and_ids_across_restarts() {
        let temp = tempfile::tempdir().unwrap();
        let folder = StateFolder::open(temp.path()).unwrap();
        let (mut spool, _) = Spool::open(&folder, RunId([1; 16]), "boot-1");
        for text in ["a", "b\u{1b}[2J", "c"] {
            spool.push("t", Severity::Info, text, 5, 100);
        }
        let first = spool.waiting().next().map(|(_, kept)| kept.event.id.clone()).unwrap();
        spool.stored(std::slice::from_ref(&first));
        let (mut again, damaged) = Spool::open(&folder, RunId([2; 16]), "boot-1");
        assert_eq!((messages(&again), damaged.len()), (vec!["b[2J".to_owned(), "c".to_owned()], 0));
        again.push("t", Severity::Info, "d", 5, 200);
        assert_eq!(messages(&again), ["b[2J", "c", "d"]);
        let ages: Vec<_> = again.waiting().map(|(_, kept)| kept.at("boot-1", 300).age_ms).collect();
        assert_eq!(ages, [Some(200), Some(200), Some(100)]);
        // Across a reboot the monotonic clock says nothing.
        assert!(again.waiting().all(|(_, kept)| kept.at("boot-2", 300).age_ms.is_none()));
    }

    #[test]
    fn a_session_finds_what_comes_after_what_it_has_sent() {
        let temp = tempfile::tempdir().unwrap();
        let folder = StateFolder::open(temp.path()).unwrap();
        let (mut spool, _) = Spool::open(&folder, RunId([1; 16]), "boot-1");
        let mut sent = 0;
        for text in ["a", "b", "c"] {
            spool.push("t", Severity::Info, text, 5, 100);
            let (number, id) = spool.after(sent).map(|(number, kept)| (number, kept.event.id.clone())).unwrap();
            sent = number;
            // All that was sent is stored before the next happens.
            spool.stored(&[id]);
            assert_eq!((spool.waiting().count(), spool.after(sent).is_none()), (0, true));
        }
    }

    #[test]
    fn the_oldest_go_when_it_is_full_and_a_torn_file_is_set_aside() {
        let temp = tempfile::tempdir().unwrap();
        let folder = StateFolder::open(temp.path()).unwrap();
        let (mut spool, _) = Spool::open(&folder, RunId([1; 16]), "boot-1");
        for number in 0..KEEP + 2 {
            spool.push("t", Severity::Info, &number.to_string(), 0, 0);
        }
        assert_eq!((spool.waiting().count(), spool.take_dropped(), spool.take_dropped()), (KEEP, 2, 0));
        assert_eq!(messages(&spool)[0], "2");
        let torn = temp.path().join("events/5");
        let bytes = std::fs::read(&torn).unwrap();
        std::fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
        let (spool, damaged) = Spool::open(&folder, RunId([1; 16]), "boot-1");
        assert_eq!((spool.waiting().count(), damaged.len()), (KEEP - 1, 1));
        assert!(damaged[0].contains("events/5.corrupt-1"), "{}", damaged[0]);
    }
}
