//! Names of archives, and what is known of each.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::outcome::{ArchiveKind, Outcome};
use crate::retention::Candidate;

/// What an archive is called after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `TIME-full.tar.zst` or `TIME-inc.tar.zst`, with `.age` if it is encrypted.
    Tar {
        /// Whether it rests on another.
        increment: bool,
        /// Whether it is encrypted.
        encrypted: bool,
    },
    /// A folder `TIME`.
    Tree,
}

impl Form {
    /// Everything after the time.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Tar { increment: false, encrypted: false } => "-full.tar.zst",
            Self::Tar { increment: false, encrypted: true } => "-full.tar.zst.age",
            Self::Tar { increment: true, encrypted: false } => "-inc.tar.zst",
            Self::Tar { increment: true, encrypted: true } => "-inc.tar.zst.age",
            Self::Tree => "",
        }
    }

    const ALL: [Self; 5] = [
        Self::Tar { increment: false, encrypted: false },
        Self::Tar { increment: false, encrypted: true },
        Self::Tar { increment: true, encrypted: false },
        Self::Tar { increment: true, encrypted: true },
        Self::Tree,
    ];

    /// What kind of archive it is.
    pub fn kind(self) -> ArchiveKind {
        match self {
            Self::Tar { increment: false, .. } => ArchiveKind::Full,
            Self::Tar { increment: true, .. } => ArchiveKind::Incremental,
            Self::Tree => ArchiveKind::Snapshot,
        }
    }
}

/// What is known of an archive. It stands beside it, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The record's own form; 1.
    pub format: u32,
    /// The archive's name.
    pub name: String,
    /// Its place in the job's order; greater is newer. Given by the repository.
    pub sequence: u64,
    /// When the repository received it, milliseconds since 1970-01-01 UTC, by the repository's clock where it has one.
    pub received_unix_ms: i64,
    /// When the run began, by the node's clock, milliseconds since 1970-01-01 UTC.
    pub started_unix_ms: i64,
    /// Whether it stands alone.
    pub kind: ArchiveKind,
    /// The archive on which it rests.
    pub base: Option<String>,
    /// How its run ended.
    pub outcome: Outcome,
    /// How many files, folders and others it holds.
    pub entries: u64,
    /// How much the sources held, bytes.
    pub source_bytes: u64,
    /// How much the archive takes in the repository, bytes.
    pub stored_bytes: u64,
    /// When it was last read back, and what came of it.
    #[serde(default)]
    pub verified: Option<Verified>,
}

/// What came of reading an archive back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// When, milliseconds since 1970-01-01 UTC.
    pub unix_ms: i64,
    /// How much of the data was read, percent.
    pub percent: u8,
    /// Whether everything was as it should be.
    pub good: bool,
}

/// An archive that is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Its name.
    pub name: String,
    /// What kind it is.
    pub kind: ArchiveKind,
    /// On which archive it rests.
    pub base: Option<String>,
    /// When the repository received it, milliseconds since 1970-01-01 UTC.
    pub received_unix_ms: i64,
    /// How much of the repository it takes, bytes; for a tree, what its run stored.
    pub stored_bytes: u64,
    /// What is known of it. Somebody may have put an archive there by hand, without a record.
    pub record: Option<Record>,
}

/// What a repository found: a name, its record, its length and the time at which it was last written.
#[derive(Debug, Clone)]
pub struct Found {
    /// The name.
    pub name: String,
    /// Its record.
    pub record: Option<Record>,
    /// Its length, bytes.
    pub stored_bytes: u64,
    /// When it was written, milliseconds since 1970-01-01 UTC.
    pub written_unix_ms: i64,
}

/// Puts what was found in the repository's order, oldest first. One without a record stands where its name says, and an
/// increment without a record is taken to rest on the one before it.
pub fn in_order(mut found: Vec<Found>) -> Vec<Archive> {
    found.retain(|one| form(&one.name).is_some());
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let mut reached = 0;
    let mut placed: Vec<(u64, Found)> = Vec::with_capacity(found.len());
    for one in found {
        reached = reached.max(one.record.as_ref().map_or(0, |record| record.sequence));
        placed.push((one.record.as_ref().map_or(reached, |record| record.sequence), one));
    }
    placed.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.name.cmp(&other.name)));
    let mut archives: Vec<Archive> = Vec::with_capacity(placed.len());
    for (_, one) in placed {
        let kind = form(&one.name).map_or(ArchiveKind::Full, Form::kind);
        let base = match &one.record {
            Some(record) => record.base.clone(),
            None if kind == ArchiveKind::Incremental => archives.last().map(|before| before.name.clone()),
            None => None,
        };
        archives.push(Archive {
            received_unix_ms: one.record.as_ref().map_or(one.written_unix_ms, |record| record.received_unix_ms),
            stored_bytes: one.record.as_ref().map_or(one.stored_bytes, |record| record.stored_bytes),
            name: one.name,
            kind,
            base,
            record: one.record,
        });
    }
    archives
}

/// The sequence of the archive that comes next.
pub fn next_sequence(archives: &[Archive]) -> u64 {
    let newest = archives.iter().filter_map(|archive| archive.record.as_ref()).map(|record| record.sequence).max();
    newest.map_or(archives.len() as u64, |newest| newest.saturating_add(1))
}

/// What retention needs to know, in the repository's order.
pub fn candidates(archives: &[Archive]) -> Vec<Candidate> {
    let candidate = |(sequence, archive): (usize, &Archive)| {
        let record = archive.record.as_ref();
        let damaged = record.and_then(|record| record.verified.as_ref()).is_some_and(|verified| !verified.good);
        Candidate {
            name: archive.name.clone(),
            sequence: sequence as u64,
            received_unix_ms: archive.received_unix_ms,
            base: archive.base.clone(),
            // A file may be put there by hand. A tree without a record is one that a daemon did not get to its end.
            good: !damaged && record.map_or(archive.kind != ArchiveKind::Snapshot, |it| it.outcome <= Outcome::Warn),
        }
    };
    archives.iter().enumerate().map(candidate).collect()
}

/// A name for an archive of this form at this time. Its time is that of no other archive's.
pub fn fresh_name(unix_ms: i64, form: Form, taken: &[String]) -> String {
    let time = Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let stamp = TimeZone::UTC.to_datetime(time).strftime("%Y-%m-%dT%H%M%SZ").to_string();
    let mut count = 1_u32;
    loop {
        let time = if count == 1 { stamp.clone() } else { format!("{stamp}-{count}") };
        let clashes = |name: &String| Form::ALL.iter().any(|form| *name == format!("{time}{}", form.suffix()));
        if !taken.iter().any(clashes) {
            return format!("{time}{}", form.suffix());
        }
        count += 1;
    }
}

/// The time that an archive's name says, milliseconds since 1970-01-01 UTC.
pub fn stamp_unix_ms(name: &str) -> Option<i64> {
    let stamp = name.get(.."2026-11-22T021500Z".len())?;
    let time = jiff::civil::DateTime::strptime("%Y-%m-%dT%H%M%SZ", stamp).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// What form an archive's name says it has; `None` if it is no archive's name.
pub fn form(name: &str) -> Option<Form> {
    let stamp_bytes = "2026-11-22T021500Z".len();
    let (stamp, rest) = name.split_at_checked(stamp_bytes)?;
    let pattern = stamp.chars().zip("0000-00-00T000000Z".chars());
    let is_stamp = pattern.into_iter().all(|(c, p)| if p == '0' { c.is_ascii_digit() } else { c == p });
    if !is_stamp {
        return None;
    }
    let digits = |text: &str| !text.is_empty() && text.len() <= 9 && text.chars().all(|c| c.is_ascii_digit());
    Form::ALL.into_iter().find(|form| {
        rest.strip_suffix(form.suffix())
            .is_some_and(|count| count.is_empty() || count.strip_prefix('-').is_some_and(digits))
    })
}

#[cfg(test)]
mod tests {
    use super::{Form, Found, Record, form, fresh_name, in_order, next_sequence, stamp_unix_ms};
    use crate::outcome::{ArchiveKind, Outcome};

    const FULL: Form = Form::Tar { increment: false, encrypted: false };
    const INC: Form = Form::Tar { increment: true, encrypted: true };

    #[test]
    fn names_say_what_they_are() {
        let table = [
            ("2026-11-22T021500Z-full.tar.zst", Some(FULL)),
            ("2026-11-22T021500Z-2-inc.tar.zst.age", Some(INC)),
            ("2026-11-22T021500Z", Some(Form::Tree)),
            ("2026-11-22T021500Z-17", Some(Form::Tree)),
            ("2026-11-22T021500Z.partial", None),
            ("2026-11-22T021500Z-full.tar.zst.record.json", None),
            ("2026-11-22T021500Z-", None),
            ("2026-11-22T0215é0Z", None),
            ("latest", None),
            ("../../etc/passwd", None),
        ];
        for (name, expected) in table {
            assert_eq!(form(name), expected, "{name}");
        }
    }

    #[test]
    fn no_two_archives_have_one_time() {
        let ms = 1_795_313_700_000;
        let first = fresh_name(ms, FULL, &[]);
        assert_eq!(first, "2026-11-22T021500Z-full.tar.zst");
        let second = fresh_name(ms, INC, std::slice::from_ref(&first));
        assert_eq!(second, "2026-11-22T021500Z-2-inc.tar.zst.age");
        assert_eq!(fresh_name(ms, Form::Tree, &[first, second]), "2026-11-22T021500Z-3");
        assert_eq!(stamp_unix_ms("2026-11-22T021500Z-3"), Some(ms));
        assert_eq!(fresh_name(i64::MAX, Form::Tree, &[]), "1970-01-01T000000Z");
    }

    fn found(name: &str, sequence: Option<u64>) -> Found {
        let record = sequence.map(|sequence| Record {
            format: 1,
            name: name.to_owned(),
            sequence,
            received_unix_ms: 5,
            started_unix_ms: 5,
            kind: ArchiveKind::Full,
            base: None,
            outcome: Outcome::Ok,
            entries: 1,
            source_bytes: 1,
            stored_bytes: 1,
            verified: None,
        });
        Found { name: name.to_owned(), record, stored_bytes: 1, written_unix_ms: 7 }
    }

    #[test]
    fn the_repository_s_order_is_that_of_receipt() {
        let archives = in_order(vec![
            found("1970-01-01T000000Z-full.tar.zst", Some(3)),
            found("2026-01-01T000000Z-full.tar.zst", Some(1)),
            found("2031-01-01T000000Z-full.tar.zst", Some(2)),
            found("2026-01-02T000000Z-inc.tar.zst", None),
            found("lost+found", None),
        ]);
        let order: Vec<&str> = archives.iter().map(|archive| archive.name.split_at(4).0).collect();
        assert_eq!(order, ["2026", "2031", "1970", "2026"]);
        // It stands after the newest with a lesser name, and rests on what is before it.
        assert_eq!(archives[3].base.as_deref(), Some("1970-01-01T000000Z-full.tar.zst"));
        assert_eq!(next_sequence(&archives), 4);
    }
}
