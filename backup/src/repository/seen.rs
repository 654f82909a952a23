//! What is in a job's folder on another machine, remembered: each question there takes a connection, and whoever holds the
//! job is the only one who changes its folder.

use std::sync::{Mutex, PoisonError};

use super::archive::{Found, form, in_order, stamp_unix_ms};
use super::{Archive, MANIFEST, RECORD, Record};

/// The names in the folder, and the records.
#[derive(Debug, Default, Clone)]
pub(super) struct Folder {
    pub(super) names: Vec<String>,
    pub(super) records: Vec<Record>,
}

impl Folder {
    /// From what the other side said. Records that cannot be read are none.
    pub(super) fn new(names: Vec<String>, records: impl Iterator<Item = Record>) -> Self {
        let records = records.filter(|record| record.format == 1).collect();
        Self { names, records }
    }

    /// The archives. `recorded` leaves out what has no record.
    pub(super) fn archives(&self, recorded: bool) -> Vec<Archive> {
        let record = |name: &str| self.records.iter().find(|record| record.name == name).cloned();
        let found = self.names.iter().filter(|name| form(name).is_some()).filter_map(|name| {
            let record = record(name).filter(|_| !recorded || self.has(&format!("{name}{RECORD}")));
            // Only those without a record are judged by what their name says.
            let written_unix_ms = stamp_unix_ms(name).unwrap_or_default();
            let found = Found { name: name.clone(), record, stored_bytes: 0, written_unix_ms };
            (!recorded || found.record.is_some()).then_some(found)
        });
        in_order(found.collect())
    }

    /// Whether something of this name is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|other| other == name)
    }

    fn add(&mut self, name: &str) {
        if !self.has(name) {
            self.names.push(name.to_owned());
        }
    }
}

/// The folder as it was when it was last looked at, with what was done since.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Option<Folder>>);

impl Seen {
    /// What is there, if that is known.
    pub(super) fn known(&self) -> Option<Folder> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether that is known.
    pub(super) fn is_known(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Notes what was seen.
    pub(super) fn set(&self, folder: Folder) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder);
    }

    /// Notes what is being done.
    pub(super) fn note(&self, changed: impl FnOnce(&mut Folder)) {
        if let Some(folder) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            changed(folder);
        }
    }

    /// Something is done of which nobody knows how far it came until it has ended well.
    pub(super) fn change<T, E>(
        &self,
        done: impl FnOnce() -> Result<T, E>,
        changed: impl FnOnce(&mut Folder),
    ) -> Result<T, E> {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let done = done()?;
        if let Some(mut folder) = before {
            changed(&mut folder);
            self.set(folder);
        }
        Ok(done)
    }
}

/// A file or folder is there now.
pub(super) fn added(name: &str) -> impl FnOnce(&mut Folder) {
    move |folder| folder.add(name)
}

/// Something is not there any more.
pub(super) fn gone(name: &str) -> impl FnOnce(&mut Folder) {
    move |folder| {
        folder.names.retain(|other| other != name);
        let archive = name.strip_suffix(RECORD);
        folder.records.retain(|record| Some(record.name.as_str()) != archive);
    }
}

/// An archive is not there any more, nor what stands beside it.
pub(super) fn removed(name: &str) -> impl FnOnce(&mut Folder) {
    move |folder| {
        let beside = |other: &str| other.strip_prefix(name).is_some_and(|rest| matches!(rest, "" | RECORD | MANIFEST));
        folder.names.retain(|other| !beside(other));
        folder.records.retain(|record| record.name != name);
    }
}

/// A record is there now.
pub(super) fn recorded(record: &Record) -> impl FnOnce(&mut Folder) {
    move |folder| {
        folder.add(&format!("{}{RECORD}", record.name));
        folder.records.retain(|other| other.name != record.name);
        folder.records.push(record.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::{Folder, Seen, added, gone, recorded, removed};
    use crate::outcome::{ArchiveKind, Outcome};
    use crate::repository::Record;

    fn record(name: &str) -> Record {
        Record {
            format: 1,
            name: name.to_owned(),
            sequence: 0,
            received_unix_ms: 5,
            started_unix_ms: 5,
            kind: ArchiveKind::Snapshot,
            base: None,
            outcome: Outcome::Ok,
            entries: 1,
            source_bytes: 1,
            stored_bytes: 1,
            verified: None,
        }
    }

    fn now(seen: &Seen) -> Vec<String> {
        let mut names = seen.known().map_or_else(|| vec!["unknown".to_owned()], |folder| folder.names);
        names.sort();
        names
    }

    #[test]
    fn what_is_done_is_seen_without_looking() {
        let (old, new) = ("2026-11-22T021500Z", "2026-11-23T021500Z");
        let seen = Seen::default();
        assert_eq!(now(&seen), ["unknown"]);
        seen.set(Folder::new(vec![old.to_owned()], std::iter::once(record(old))));
        let done = || Ok::<_, ()>(());
        seen.change(done, added(new)).unwrap();
        let folder = seen.known().unwrap();
        assert_eq!((folder.archives(false).len(), folder.archives(true).len()), (2, 0));
        seen.change(done, recorded(&record(new))).unwrap();
        assert_eq!(seen.known().unwrap().archives(true).len(), 1);
        seen.change(done, removed(old)).unwrap();
        assert_eq!(now(&seen), [new.to_owned(), format!("{new}.record.json")]);
        seen.change(done, gone(&format!("{new}.record.json"))).unwrap();
        assert!(seen.known().unwrap().records.is_empty());
    }

    #[test]
    fn what_failed_is_looked_at_again() {
        let seen = Seen::default();
        seen.set(Folder::default());
        assert_eq!(seen.change(|| Err::<(), _>(()), added("x")), Err(()));
        assert_eq!(now(&seen), ["unknown"]);
    }
}
