//! What is wrong with a job's backups. Pure: time comes in as an argument.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use rackhaven_proto::Invalid;
use rackhaven_proto::model::Severity;
use rackhaven_proto::v1::{BackupArchive, BackupJob, BackupOutcome, BackupRun};

/// A run is late when so much has passed since it was due, milliseconds: random delays and queues take their time.
const LATE_MS: i64 = 3_600_000;
/// A job is unverified when nothing of it was read back for so long, milliseconds: 30 days.
const UNVERIFIED_MS: i64 = 30 * 24 * 3_600_000;
/// An archive is shrunken below so many percent of what is usual.
const SHRUNKEN_PERCENT: u64 = 50;
/// What is usual is told by at least so many archives before, and at most so many.
const USUAL: std::ops::RangeInclusive<usize> = 3..=10;
/// So many lines of problems are kept of a run in memory.
const KEPT_PROBLEMS: usize = 3;

/// Something that is wrong with the backups of a job. It stands until it is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// The newest run that saves or prunes failed.
    Failed,
    /// The newest archive lacks what could not be read.
    Partial,
    /// A run is overdue.
    Late,
    /// The newest archive is far smaller than those before.
    Shrunken,
    /// The newest verification failed, or there was none for long.
    Unverified,
    /// The node cannot use the job as it is.
    Unusable,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Failed, Self::Partial, Self::Late, Self::Shrunken, Self::Unverified, Self::Unusable];

    /// The trouble's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Partial => "partial",
            Self::Late => "late",
            Self::Shrunken => "shrunken",
            Self::Unverified => "unverified",
            Self::Unusable => "unusable",
        }
    }

    /// How much it matters.
    pub fn severity(self) -> Severity {
        if self == Self::Failed { Severity::Critical } else { Severity::Warning }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Trouble {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|trouble| trouble.as_str() == text);
        found.ok_or_else(|| Invalid::new("trouble", format!("{text:?} is not known")))
    }
}

/// A trouble that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub trouble: Trouble,
    /// What shows it: a run, an archive, a moment. The same trouble by the same evidence is the same event.
    pub evidence: String,
    /// What it is, for a person; continues "the backup JOB of NODE".
    pub message: String,
}

/// What a list of archives says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveFacts {
    /// The newest good one that holds everything, and what was saved into it, bytes.
    newest: Option<(String, u64)>,
    /// The median of those before it, bytes; none if they are too few.
    usual_bytes: Option<u64>,
    /// When the oldest good one was made, milliseconds since 1970-01-01 UTC.
    oldest_ms: Option<i64>,
    /// When one was last read back without a fault.
    verified_ms: Option<i64>,
}

impl ArchiveFacts {
    /// What `archives` say.
    pub fn new(archives: &[BackupArchive]) -> Self {
        let mut good: Vec<_> = archives.iter().filter(|archive| is_good(archive.outcome())).collect();
        good.sort_by_key(|archive| std::cmp::Reverse(archive.made_unix_ms));
        // What counts is how much each gives back: an increment as much as a full archive.
        let mut whole = good.iter();
        let newest = whole.next().map(|archive| (archive.name.clone(), archive.bytes));
        let mut before: Vec<u64> = whole.take(*USUAL.end()).map(|archive| archive.bytes).collect();
        before.sort_unstable();
        Self {
            newest,
            usual_bytes: before.get(before.len() / 2).copied().filter(|_| before.len() >= *USUAL.start()),
            oldest_ms: good.last().map(|archive| archive.made_unix_ms),
            verified_ms: archives.iter().filter_map(|archive| archive.verified_unix_ms).max(),
        }
    }
}

/// What is known of a job.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// As its node last told it; none if it does not (any more).
    pub told: Option<BackupJob>,
    /// The newest save that has ended, but for those that were stopped or not begun.
    pub save: Option<BackupRun>,
    /// The newest save that went well.
    pub good: Option<BackupRun>,
    /// The newest verification, likewise.
    pub verify: Option<BackupRun>,
    /// The newest run that removed what is not kept, likewise.
    pub prune: Option<BackupRun>,
    /// What its archives say; none if they were never listed.
    pub archives: Option<ArchiveFacts>,
    /// What was found to be wrong, and told.
    pub standing: BTreeSet<Trouble>,
}

impl Known {
    /// Takes in a run that has ended.
    pub fn take(&mut self, run: &BackupRun) {
        let outcome = run.outcome();
        if matches!(outcome, BackupOutcome::Stopped | BackupOutcome::Refused) {
            return;
        }
        let kept = lean(run);
        match run.action.as_str() {
            "save" => {
                if is_good(outcome) {
                    self.good = Some(kept.clone());
                }
                self.save = Some(kept);
            }
            "verify" => self.verify = Some(kept),
            "prune" => self.prune = Some(kept),
            _ => {}
        }
    }

    /// What is wrong now. `running`: a run of the job is under way.
    pub fn judge(&self, running: bool, now_ms: i64) -> Vec<Finding> {
        let Some(told) = &self.told else { return Vec::new() };
        let mut found = Vec::new();
        let mut find = |trouble, evidence: String, message: String| found.push(Finding { trouble, evidence, message });
        for (run, what) in [(&self.save, "failed"), (&self.prune, "failed to prune")] {
            if let Some(run) = run.as_ref().filter(|run| run.outcome() == BackupOutcome::Failed) {
                find(Trouble::Failed, run.run_id.clone(), format!("{what}{}", because(&run.message)));
            }
        }
        if let Some(run) = self.save.as_ref().filter(|run| run.outcome() == BackupOutcome::Partial) {
            let message = format!("is partial: {} could not be saved{}", files(run), because(&run.message));
            find(Trouble::Partial, run.run_id.clone(), message);
        }
        if let Some(due_ms) = told.next_unix_ms
            && !running
            && now_ms.saturating_sub(due_ms) > LATE_MS
            && self.save.as_ref().is_none_or(|run| run.ended_unix_ms < due_ms)
        {
            let hours = now_ms.saturating_sub(due_ms) / 3_600_000;
            find(Trouble::Late, due_ms.to_string(), format!("is late: it was due {hours} h ago"));
        }
        if let Some(ArchiveFacts { newest: Some((name, bytes)), usual_bytes: Some(usual), .. }) = &self.archives
            && u128::from(*bytes) * 100 < u128::from(*usual) * u128::from(SHRUNKEN_PERCENT)
        {
            let message = format!("has shrunk: {name} holds {bytes} bytes, usual are {usual}");
            find(Trouble::Shrunken, name.clone(), message);
        }
        if let Some((evidence, message)) = self.unverified(now_ms) {
            find(Trouble::Unverified, evidence, message);
        }
        if !told.problem.is_empty() {
            find(Trouble::Unusable, told.problem.clone(), format!("cannot run: {}", told.problem));
        }
        found
    }

    fn unverified(&self, now_ms: i64) -> Option<(String, String)> {
        if let Some(run) = self.verify.as_ref().filter(|run| !is_good(run.outcome())) {
            return Some((run.run_id.clone(), format!("did not verify{}", because(&run.message))));
        }
        let archives = self.archives.as_ref()?;
        let oldest_ms = archives.oldest_ms?;
        let run_ms = self.verify.as_ref().map(|run| run.ended_unix_ms);
        let verified_ms = archives.verified_ms.max(run_ms);
        let since_ms = verified_ms.unwrap_or(oldest_ms);
        let age_ms = now_ms.saturating_sub(since_ms);
        let days = age_ms / (24 * 3_600_000);
        let message = match verified_ms {
            Some(_) => format!("was not verified for {days} days"),
            None => format!("was never verified, and its oldest archive is {days} days old"),
        };
        (age_ms > UNVERIFIED_MS).then(|| (since_ms.to_string(), message))
    }

    /// Compares what was found with what stands: what has begun, and what is resolved. From now on that stands.
    pub fn settle(&mut self, found: Vec<Finding>) -> (Vec<Finding>, Vec<Trouble>) {
        let now: BTreeSet<_> = found.iter().map(|finding| finding.trouble).collect();
        let resolved = self.standing.difference(&now).copied().collect();
        let mut begun: Vec<Finding> = Vec::new();
        for finding in found {
            if self.standing.insert(finding.trouble) {
                begun.push(finding);
            }
        }
        self.standing = now;
        (begun, resolved)
    }
}

/// Whether it left an archive that can be relied on.
pub fn is_good(outcome: BackupOutcome) -> bool {
    matches!(outcome, BackupOutcome::Ok | BackupOutcome::Warn)
}

/// A run without most of its lines, for memory and lists.
pub fn lean(run: &BackupRun) -> BackupRun {
    let problems = run.problems.iter().take(KEPT_PROBLEMS).cloned().collect();
    BackupRun { problems, would: Vec::new(), ..run.clone() }
}

fn because(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn files(run: &BackupRun) -> String {
    if run.problem_count == 1 { "1 file".to_owned() } else { format!("{} files", run.problem_count) }
}

#[cfg(test)]
mod tests;
