//! What became of a run, and what went wrong on the way.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::repository::Archive;

/// Most problems that a result lists one by one; all are counted.
pub const MAX_LISTED: usize = 1000;
/// How much of them it lists, bytes of paths and reasons.
const MAX_LISTED_BYTES: usize = 256 * 1024;
/// Most archives that a result lists: the newest.
const MAX_ARCHIVES: usize = 2000;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything is saved, and as it was at one moment for each file.
    Ok,
    /// Everything is saved, but files changed or went away while they were read.
    Warn,
    /// Files could not be read: they are missing, the rest is saved.
    Partial,
    /// Nothing is saved.
    Failed,
    /// It was told to stop. Nothing is saved.
    Stopped,
}

impl Outcome {
    /// The exit status of a process whose run ended so.
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed | Self::Stopped => 1,
            Self::Warn | Self::Partial => 3,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        })
    }
}

/// What kind of thing happened to one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// Left out on purpose, such as a socket. Takes nothing from the outcome.
    LeftOut,
    /// It changed while it was read; what is saved is a mixture, or was cut or filled up to the size it had.
    Changed,
    /// It was there when its folder was listed, and gone when it was opened.
    Vanished,
    /// It could not be read, or not written back.
    Unreadable,
}

impl ProblemKind {
    /// What an error means that the system told of something in a source: gone is gone, at whichever look that shows.
    pub fn of(error: Errno) -> Self {
        match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE => Self::Vanished,
            _ => Self::Unreadable,
        }
    }

    /// How a run ends at best in which this happened.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::LeftOut => Outcome::Ok,
            Self::Changed | Self::Vanished => Outcome::Warn,
            Self::Unreadable => Outcome::Partial,
        }
    }
}

/// Something that happened to one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The path; bytes that are no UTF-8, and control characters, are escaped.
    pub path: String,
    /// What kind of problem.
    pub kind: ProblemKind,
    /// Why, in words.
    pub reason: String,
}

/// All that went wrong in a run: the first ones in full, all of them counted. Shared by threads.
#[derive(Debug, Default)]
pub struct Problems(Mutex<Collected>);

#[derive(Debug, Default)]
struct Collected {
    listed: Vec<Problem>,
    listed_bytes: usize,
    counts: BTreeMap<ProblemKind, u64>,
}

impl Problems {
    /// Notes one.
    pub fn add(&self, path: &[u8], kind: ProblemKind, reason: impl fmt::Display) {
        let mut collected = self.lock();
        *collected.counts.entry(kind).or_default() += 1;
        if collected.listed.len() < MAX_LISTED && collected.listed_bytes < MAX_LISTED_BYTES {
            let problem = Problem { path: shown(path), kind, reason: reason.to_string() };
            collected.listed_bytes += problem.path.len() + problem.reason.len();
            collected.listed.push(problem);
        }
    }

    /// How a run ends that came to its end with these.
    pub fn outcome(&self) -> Outcome {
        self.lock().counts.keys().map(|kind| kind.outcome()).max().unwrap_or(Outcome::Ok)
    }

    /// How many there were of each kind.
    pub fn counts(&self) -> BTreeMap<ProblemKind, u64> {
        self.lock().counts.clone()
    }

    /// The first ones, ordered by path.
    pub fn listed(&self) -> Vec<Problem> {
        let mut listed = self.lock().listed.clone();
        listed.sort_by(|a, b| (&a.path, a.kind).cmp(&(&b.path, b.kind)));
        listed
    }

    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A path as people can read it: what is no UTF-8 or controls a terminal is escaped.
pub fn shown(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
        }
        text.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    text
}

/// Whether an archive stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArchiveKind {
    /// It holds everything.
    Full,
    /// It holds what changed since the archive before it.
    Incremental,
    /// A tree that can be browsed.
    Snapshot,
}

/// What a run says of itself, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResult {
    /// The job's name.
    pub job: String,
    /// The node's name.
    pub node: String,
    /// How it ended.
    pub outcome: Outcome,
    /// One line for people: what happened, or why it failed.
    pub message: String,
    /// The archive's name in the repository; none when nothing was saved.
    pub archive: Option<String>,
    /// Whether it stands alone.
    pub kind: Option<ArchiveKind>,
    /// The archive that it builds on.
    pub base: Option<String>,
    /// When it began, milliseconds since 1970-01-01 UTC.
    pub started_unix_ms: i64,
    /// When it ended, milliseconds since 1970-01-01 UTC.
    pub ended_unix_ms: i64,
    /// How many files, folders and others there are now.
    pub entries: u64,
    /// How many of them were read because they are new or changed.
    pub entries_changed: u64,
    /// How many went away since the archive before.
    pub entries_removed: u64,
    /// Read from the sources, bytes.
    pub bytes_read: u64,
    /// Written to the repository, bytes.
    pub bytes_stored: u64,
    /// How many problems of each kind.
    pub problem_counts: BTreeMap<ProblemKind, u64>,
    /// The first problems.
    pub problems: Vec<Problem>,
    /// The archives of the job, oldest first, where the run came by them; of very many the newest.
    #[serde(default)]
    pub archives: Option<Vec<ListedArchive>>,
    /// What a dry run would have done: the beginning of it.
    #[serde(default)]
    pub would: Vec<String>,
}

/// What is said of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedArchive {
    /// Its name in the repository.
    pub name: String,
    /// Whether it stands alone.
    pub kind: ArchiveKind,
    /// The archive that it builds on.
    pub base: Option<String>,
    /// When the repository received it, milliseconds since 1970-01-01 UTC.
    pub received_unix_ms: i64,
    /// How much of the repository it takes, bytes; for a tree, what its run stored.
    pub stored_bytes: u64,
    /// How many files, folders and others it gives back, with those on which it rests; none when nobody knows.
    pub entries: Option<u64>,
    /// How much they hold, bytes: of an increment as of a full archive; none when nobody knows.
    #[serde(default)]
    pub source_bytes: Option<u64>,
    /// How its run ended; none when nobody knows.
    pub outcome: Option<Outcome>,
    /// When it was last read back, milliseconds since 1970-01-01 UTC.
    pub verified_unix_ms: Option<i64>,
    /// Whether it was as it should be then.
    pub verified_good: Option<bool>,
}

impl fmt::Display for ListedArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {} bytes", self.name, self.stored_bytes)?;
        if let Some(entries) = self.entries {
            write!(f, "  {entries} entries")?;
        }
        if let Some(outcome) = self.outcome {
            write!(f, "  {outcome}")?;
        }
        match self.verified_good {
            None => Ok(()),
            Some(true) => f.write_str("  verified"),
            Some(false) => f.write_str("  damaged"),
        }
    }
}

/// What is said of archives; of very many, of the newest.
pub fn listed(archives: &[Archive]) -> Vec<ListedArchive> {
    let one = |archive: &Archive| {
        let record = archive.record.as_ref();
        let verified = record.and_then(|record| record.verified.as_ref());
        ListedArchive {
            name: archive.name.clone(),
            kind: archive.kind,
            base: archive.base.clone(),
            received_unix_ms: archive.received_unix_ms,
            stored_bytes: archive.stored_bytes,
            entries: record.map(|record| record.entries),
            source_bytes: record.map(|record| record.source_bytes),
            outcome: record.map(|record| record.outcome),
            verified_unix_ms: verified.map(|verified| verified.unix_ms),
            verified_good: verified.map(|verified| verified.good),
        }
    };
    archives.iter().skip(archives.len().saturating_sub(MAX_ARCHIVES)).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::{MAX_LISTED, Outcome, ProblemKind, Problems, shown};

    #[test]
    fn the_worst_problem_makes_the_outcome_and_all_are_counted() {
        let problems = Problems::default();
        assert_eq!(problems.outcome(), Outcome::Ok);
        let golden = [
            (ProblemKind::LeftOut, Outcome::Ok),
            (ProblemKind::Vanished, Outcome::Warn),
            (ProblemKind::Changed, Outcome::Warn),
            (ProblemKind::Unreadable, Outcome::Partial),
            (ProblemKind::LeftOut, Outcome::Partial),
        ];
        for (kind, outcome) in golden {
            problems.add(b"/x", kind, "because");
            assert_eq!(problems.outcome(), outcome);
        }
        for _ in 0..2 * MAX_LISTED {
            problems.add(b"/y", ProblemKind::Changed, "again");
        }
        assert_eq!(problems.listed().len(), MAX_LISTED);
        assert_eq!(problems.counts()[&ProblemKind::Changed], 2 * MAX_LISTED as u64 + 1);
        let problems = Problems::default();
        for _ in 0..MAX_LISTED {
            problems.add(&[b'\xff'; 4096], ProblemKind::Changed, "a long path");
        }
        assert!(problems.listed().len() < 20, "each is 16 KiB of text");
        assert_eq!(problems.counts()[&ProblemKind::Changed], MAX_LISTED as u64);
    }

    #[test]
    fn no_path_reaches_a_terminal_raw() {
        assert_eq!(shown(b"/a\x1b[2J\xff\xfe b\n"), "/a\\u{1b}[2J\\xff\\xfe b\\n");
        assert_eq!(shown("/späte Grüße".as_bytes()), "/späte Grüße");
    }
}
