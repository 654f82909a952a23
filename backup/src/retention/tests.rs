use std::collections::BTreeSet;

use jiff::civil;
use proptest::prelude::*;
use rackhaven_proto::model::backup::Keep;

use super::{Candidate, Decision, Reason, decide};

fn at(text: &str) -> i64 {
    let time: civil::DateTime = text.parse().unwrap();
    time.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_millisecond()
}

/// Each is `NAME TIME [<BASE] [!]`, in the order in which they came; `!` for one that is damaged.
fn listed(lines: &[&str]) -> Vec<Candidate> {
    let parse = |(sequence, line): (usize, &&str)| {
        let mut words = line.split(' ');
        let (name, time) = (words.next().unwrap(), words.next().unwrap());
        let rest: Vec<&str> = words.collect();
        Candidate {
            name: name.to_owned(),
            sequence: sequence as u64,
            received_unix_ms: at(time),
            base: rest.iter().find_map(|word| word.strip_prefix('<')).map(str::to_owned),
            good: !rest.contains(&"!"),
        }
    };
    lines.iter().enumerate().map(parse).collect()
}

fn told(decision: &Decision) -> String {
    let keep = decision.keep.iter().map(|(name, reasons)| {
        let reasons: Vec<String> = reasons.iter().map(Reason::to_string).collect();
        format!("{name}: {}", reasons.join(", "))
    });
    let remove = decision.remove.iter().map(|name| format!("{name} goes"));
    keep.chain(remove).collect::<Vec<_>>().join("\n")
}

const NOTHING: Keep = Keep { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };

#[test]
fn the_table() {
    let table: &[(&str, Keep, &[&str], &str)] = &[
        ("no archives", Keep { last: 1, ..NOTHING }, &[], ""),
        (
            "no policy keeps all",
            NOTHING,
            &["a 2026-01-01T00:00", "b 2026-01-02T00:00"],
            "b: no policy, the newest good one\na: no policy",
        ),
        (
            "the last two",
            Keep { last: 2, ..NOTHING },
            &["a 2026-01-01T00:00", "b 2026-01-02T00:00", "c 2026-01-03T00:00"],
            "c: the newest good one, last\nb: last\na goes",
        ),
        (
            "the newest of each hour",
            Keep { hourly: 2, ..NOTHING },
            &["a 2026-01-01T00:10", "b 2026-01-01T01:10", "c 2026-01-01T02:10", "d 2026-01-01T02:59"],
            "d: the newest good one, hourly\nb: hourly\nc goes\na goes",
        ),
        (
            "a day without an archive takes no place",
            Keep { daily: 2, ..NOTHING },
            &["a 2026-01-01T23:59", "b 2026-01-05T00:00", "c 2026-01-05T10:00"],
            "c: the newest good one, daily\na: daily\nb goes",
        ),
        (
            "a week begins on Monday",
            Keep { weekly: 2, ..NOTHING },
            &["a 2026-11-14T12:00", "b 2026-11-15T12:00", "c 2026-11-16T12:00", "d 2026-11-22T12:00"],
            "d: the newest good one, weekly\nb: weekly\nc goes\na goes",
        ),
        (
            "months and years",
            Keep { monthly: 2, yearly: 3, ..NOTHING },
            &["a 2024-12-31T23:59", "b 2025-01-01T00:00", "c 2025-12-31T23:59", "d 2026-01-31T00:00"],
            "d: the newest good one, monthly, yearly\nc: monthly, yearly\na: yearly\nb goes",
        ),
        (
            "bases of what stays, however old",
            Keep { last: 1, ..NOTHING },
            &[
                "f1 2026-01-01T00:00",
                "i1 2026-01-02T00:00 <f1",
                "f2 2026-01-03T00:00",
                "i2 2026-01-04T00:00 <f2",
                "i3 2026-01-05T00:00 <i2",
            ],
            "i3: the newest good one, last\ni2: others rest on it\nf2: others rest on it\ni1 goes\nf1 goes",
        ),
        (
            "the newest good one outlives newer ones that are damaged, and those stay too",
            Keep { last: 1, ..NOTHING },
            &["a 2026-01-01T00:00", "b 2026-01-02T00:00", "c 2026-01-03T00:00 !", "d 2026-01-04T00:00 !"],
            "d: newer than the newest good one, last\nc: newer than the newest good one\nb: the newest good one, last\na goes",
        ),
        (
            "an increment on a damaged base is not good",
            Keep { last: 1, ..NOTHING },
            &["f1 2026-01-01T00:00", "f2 2026-01-02T00:00 !", "i2 2026-01-03T00:00 <f2"],
            "i2: newer than the newest good one, last\n\
             f2: newer than the newest good one, others rest on it\nf1: the newest good one, last",
        ),
        (
            "nor is one whose base is gone",
            Keep { last: 1, ..NOTHING },
            &["f1 2026-01-01T00:00", "i2 2026-01-03T00:00 <f2"],
            "i2: newer than the newest good one, last\nf1: the newest good one, last",
        ),
        (
            "a clock that was years ahead, and one that began in 1970 again",
            Keep { last: 1, daily: 3, ..NOTHING },
            &["a 2026-01-01T00:00", "b 2031-05-05T00:00", "c 1970-01-01T00:00", "d 2026-01-02T00:00"],
            "d: the newest good one, last, daily\nc: daily\nb: daily\na goes",
        ),
        (
            "bases in a circle come to an end",
            Keep { last: 1, ..NOTHING },
            &["a 2026-01-01T00:00 <b", "b 2026-01-02T00:00 <a", "c 2026-01-03T00:00"],
            "c: the newest good one, last\nb goes\na goes",
        ),
    ];
    for (title, keep, archives, expected) in table {
        assert_eq!(told(&decide(&listed(archives), keep)), *expected, "{title}");
    }
}

fn any_keep() -> impl Strategy<Value = Keep> {
    let count = || prop_oneof![3 => Just(0_u32), 2 => 1_u32..5, 1 => Just(u32::MAX)];
    (count(), count(), count(), count(), count(), count()).prop_map(|(last, hourly, daily, weekly, monthly, yearly)| {
        Keep { last, hourly, daily, weekly, monthly, yearly }
    })
}

/// Chains of archives by clocks that jump.
fn any_archives() -> impl Strategy<Value = Vec<Candidate>> {
    let step = prop_oneof![
        8 => 0_i64..100_000_000,
        1 => -2_000_000_000_000_i64..2_000_000_000_000,
        1 => Just(i64::MAX / 2),
        1 => Just(i64::MIN / 2),
    ];
    prop::collection::vec((step, prop::bool::weighted(0.7), prop::bool::weighted(0.85)), 0..40).prop_map(|made| {
        let mut time = 1_795_000_000_000_i64;
        let mut archives: Vec<Candidate> = Vec::new();
        for (index, (step, increment, good)) in made.into_iter().enumerate() {
            time = time.saturating_add(step);
            let base = archives.last().filter(|_| increment).map(|last| last.name.clone());
            archives.push(Candidate {
                name: format!("n{index}"),
                sequence: index as u64 * 3,
                received_unix_ms: time,
                base,
                good,
            });
        }
        archives
    })
}

fn names(decision: &Decision) -> BTreeSet<String> {
    decision.keep.iter().map(|(name, _)| name.clone()).collect()
}

proptest! {
    #[test]
    fn each_archive_is_decided_once(archives in any_archives(), keep in any_keep()) {
        let decision = decide(&archives, &keep);
        let mut all: Vec<String> = names(&decision).into_iter().chain(decision.remove.iter().cloned()).collect();
        all.sort();
        let mut given: Vec<String> = archives.iter().map(|archive| archive.name.clone()).collect();
        given.sort();
        prop_assert_eq!(all, given);
        prop_assert!(decision.keep.iter().all(|(_, reasons)| !reasons.is_empty()));
    }

    #[test]
    fn to_stop_anywhere_leaves_all_that_stays_whole(archives in any_archives(), keep in any_keep()) {
        let decision = decide(&archives, &keep);
        for removed in 0..=decision.remove.len() {
            let gone = &decision.remove[..removed];
            for archive in archives.iter().filter(|archive| !gone.contains(&archive.name)) {
                if let Some(base) = &archive.base {
                    prop_assert!(!gone.contains(base), "{} lost {base} after {removed}", archive.name);
                }
            }
        }
    }

    #[test]
    fn the_newest_good_one_stays(archives in any_archives(), keep in any_keep()) {
        let kept = names(&decide(&archives, &keep));
        let whole = |archive: &&Candidate| {
            let mut at = *archive;
            loop {
                match &at.base {
                    _ if !at.good => break false,
                    None => break true,
                    Some(base) => at = archives.iter().find(|other| other.name == *base).unwrap(),
                }
            }
        };
        if let Some(newest) = archives.iter().rfind(whole) {
            prop_assert!(kept.contains(&newest.name));
        }
    }

    #[test]
    fn no_policy_removes_nothing(archives in any_archives()) {
        prop_assert!(decide(&archives, &Keep::default()).remove.is_empty());
    }

    #[test]
    fn to_decide_again_removes_nothing_more(mut archives in any_archives(), keep in any_keep()) {
        archives.iter_mut().for_each(|archive| archive.base = None);
        let kept = names(&decide(&archives, &keep));
        archives.retain(|archive| kept.contains(&archive.name));
        prop_assert_eq!(decide(&archives, &keep).remove, Vec::<String>::new());
    }

    #[test]
    fn so_many_of_the_last_stay(archives in any_archives(), keep in any_keep()) {
        let kept = names(&decide(&archives, &keep));
        for archive in archives.iter().rev().take(keep.last as usize) {
            prop_assert!(kept.contains(&archive.name));
        }
    }

    #[test]
    fn the_whole_list_moved_in_time_by_weeks_is_judged_alike(
        mut archives in any_archives(), last in 0_u32..3, weekly in 0_u32..5, daily in 0_u32..5, weeks in -500_i64..500,
    ) {
        let keep = Keep { last, weekly, daily, ..NOTHING };
        archives.iter_mut().for_each(|archive| archive.received_unix_ms %= 1 << 50);
        let mut moved = archives.clone();
        moved.iter_mut().for_each(|archive| archive.received_unix_ms += weeks * 7 * 86_400_000);
        prop_assert_eq!(decide(&archives, &keep), decide(&moved, &keep));
    }
}
