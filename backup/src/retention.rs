//! Which archives stay and which go. Pure: it sees what the repository lists, and reads no clock.
//!
//! The order is the repository's own (`sequence`), and the periods are counted by the time at which it received an
//! archive: the clock of a board without a battery may jump by years. Since only the distance between archives counts,
//! what time it is now does not: a clock that runs ahead can never make every archive look old.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rackhaven_proto::model::backup::Keep;

/// What the decision needs of one archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name in the repository; unique.
    pub name: String,
    /// Its place in the order in which the repository received them; greater is newer, and unique.
    pub sequence: u64,
    /// When the repository received it, in milliseconds since 1970, by the repository's clock where it has one.
    pub received_unix_ms: i64,
    /// The archive on which it rests directly; `None` for one that is whole by itself.
    pub base: Option<String>,
    /// False for one that was found damaged, or of which whole parts are missing.
    pub good: bool,
}

/// Why an archive stays. The first that applies, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Nothing is configured, so everything stays.
    NoPolicy,
    /// It is the newest that is good.
    NewestGood,
    /// It is newer than the newest that is good.
    Newest,
    /// One of the last so many.
    Last,
    /// The newest of its hour.
    Hourly,
    /// The newest of its day.
    Daily,
    /// The newest of its week, from Monday on.
    Weekly,
    /// The newest of its month.
    Monthly,
    /// The newest of its year.
    Yearly,
    /// One that stays rests on it.
    Base,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPolicy => "no policy",
            Self::NewestGood => "the newest good one",
            Self::Newest => "newer than the newest good one",
            Self::Last => "last",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
            Self::Base => "others rest on it",
        })
    }
}

/// What is to become of each archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Those that stay, newest first, with every reason.
    pub keep: Vec<(String, BTreeSet<Reason>)>,
    /// Those that go, in the order in which they are to go: each before what it rests on. To stop anywhere leaves every
    /// archive that stays whole.
    pub remove: Vec<String>,
}

/// Decides. Periods are those of UTC.
///
/// The policy is applied to the good archives alone, and then to all: what either keeps stays, so that a damaged archive
/// never takes the place of a good one, and damage alone never costs an archive.
#[must_use]
pub fn decide(archives: &[Candidate], keep: &Keep) -> Decision {
    let mut newest_first: Vec<&Candidate> = archives.iter().collect();
    newest_first.sort_by(|a, b| b.sequence.cmp(&a.sequence).then_with(|| b.name.cmp(&a.name)));
    let by_name: BTreeMap<&str, &Candidate> = archives.iter().map(|archive| (archive.name.as_str(), archive)).collect();

    let mut reasons: BTreeMap<&str, BTreeSet<Reason>> = BTreeMap::new();
    if *keep == Keep::default() {
        for archive in &newest_first {
            reasons.entry(&archive.name).or_default().insert(Reason::NoPolicy);
        }
    }
    let whole: Vec<&Candidate> = newest_first.iter().copied().filter(|archive| is_whole(archive, &by_name)).collect();
    apply(&whole, keep, &mut reasons);
    apply(&newest_first, keep, &mut reasons);
    let newest_whole = whole.first().map(|archive| archive.sequence);
    for archive in &newest_first {
        if Some(archive.sequence) == newest_whole {
            reasons.entry(&archive.name).or_default().insert(Reason::NewestGood);
        } else if newest_whole.is_none_or(|newest| archive.sequence > newest) {
            reasons.entry(&archive.name).or_default().insert(Reason::Newest);
        }
    }
    // Bases are older than what rests on them, so that one pass finds the bases of bases too. A list that says
    // otherwise is taken by its names all the same.
    for archive in &newest_first {
        if reasons.contains_key(archive.name.as_str()) {
            for base in chain(archive, &by_name) {
                reasons.entry(&base.name).or_default().insert(Reason::Base);
            }
        }
    }
    let mut decision = Decision::default();
    for archive in newest_first {
        match reasons.remove(archive.name.as_str()) {
            Some(reasons) => decision.keep.push((archive.name.clone(), reasons)),
            None => decision.remove.push(archive.name.clone()),
        }
    }
    in_order_of_removal(&mut decision.remove, &by_name);
    decision
}

/// Whether it and everything that it rests on is there and good.
fn is_whole(archive: &Candidate, by_name: &BTreeMap<&str, &Candidate>) -> bool {
    let bases = chain(archive, by_name);
    let rests_on_nothing = bases.last().map_or(archive, |last| last).base.is_none();
    archive.good && rests_on_nothing && bases.iter().all(|base| base.good)
}

/// What it rests on, nearest first, as far as it is there. A list that leads round in a circle ends.
fn chain<'a>(archive: &Candidate, by_name: &BTreeMap<&str, &'a Candidate>) -> Vec<&'a Candidate> {
    let mut found: Vec<&Candidate> = Vec::new();
    let mut next = archive.base.as_deref();
    while let Some(base) = next.and_then(|name| by_name.get(name)) {
        if base.name == archive.name || found.iter().any(|seen| seen.name == base.name) {
            break;
        }
        found.push(base);
        next = base.base.as_deref();
    }
    found
}

fn apply<'a>(newest_first: &[&'a Candidate], keep: &Keep, reasons: &mut BTreeMap<&'a str, BTreeSet<Reason>>) {
    type Period = fn(i64) -> i64;
    let rules: [(Reason, u32, Period); 5] = [
        (Reason::Hourly, keep.hourly, |ms| ms.div_euclid(3_600_000)),
        (Reason::Daily, keep.daily, days),
        // 1970 began on a Thursday.
        (Reason::Weekly, keep.weekly, |ms| (days(ms) + 3).div_euclid(7)),
        (Reason::Monthly, keep.monthly, |ms| year_and_month(ms).map_or_else(|| days(ms) / 30, |(y, m)| y * 12 + m)),
        (Reason::Yearly, keep.yearly, |ms| year_and_month(ms).map_or_else(|| days(ms) / 365, |(year, _)| year)),
    ];
    for archive in newest_first.iter().take(keep.last as usize) {
        reasons.entry(&archive.name).or_default().insert(Reason::Last);
    }
    for (reason, count, period) in rules {
        let mut left = count;
        let mut last = None;
        for archive in newest_first {
            let this = Some(period(archive.received_unix_ms));
            if left == 0 {
                break;
            }
            if this != last {
                reasons.entry(&archive.name).or_default().insert(reason);
                last = this;
                left -= 1;
            }
        }
    }
}

fn days(unix_ms: i64) -> i64 {
    unix_ms.div_euclid(86_400_000)
}

/// `None` for times beyond what a calendar knows.
fn year_and_month(unix_ms: i64) -> Option<(i64, i64)> {
    let date = TimeZone::UTC.to_datetime(Timestamp::from_millisecond(unix_ms).ok()?);
    Some((i64::from(date.year()), i64::from(date.month())))
}

/// Puts what rests on most others first, and the newest of equals: no order of the list's can make a base go before what
/// rests on it.
fn in_order_of_removal(remove: &mut [String], by_name: &BTreeMap<&str, &Candidate>) {
    remove.sort_by_cached_key(|name| {
        let archive = by_name.get(name.as_str());
        let depth = archive.map_or(0, |archive| chain(archive, by_name).len());
        Reverse((depth, archive.map_or(0, |archive| archive.sequence)))
    });
}

#[cfg(test)]
mod tests;
