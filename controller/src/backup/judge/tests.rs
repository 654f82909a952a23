use rackhaven_proto::v1::{BackupArchive, BackupJob, BackupOutcome, BackupRun};

use super::{ArchiveFacts, Known, Trouble};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const NOW: i64 = 1_795_292_097_250;

fn run(action: &str, outcome: BackupOutcome, ended_ms: i64) -> BackupRun {
    BackupRun {
        run_id: format!("{action}-{ended_ms}"),
        action: action.to_owned(),
        outcome: outcome.into(),
        ended_unix_ms: ended_ms,
        message: "why".to_owned(),
        problem_count: 2,
        ..BackupRun::default()
    }
}

fn archive(kind: &str, age_days: i64, bytes: u64, outcome: BackupOutcome) -> BackupArchive {
    BackupArchive {
        name: format!("{kind}-{age_days}"),
        kind: kind.to_owned(),
        made_unix_ms: NOW - age_days * DAY,
        bytes,
        outcome: outcome.into(),
        ..BackupArchive::default()
    }
}

fn known(next_ms: Option<i64>, runs: &[BackupRun], archives: &[BackupArchive]) -> Known {
    let told = BackupJob { name: "etc".to_owned(), next_unix_ms: next_ms, ..BackupJob::default() };
    let mut known = Known { told: Some(told), ..Known::default() };
    runs.iter().for_each(|run| known.take(run));
    known.archives = (!archives.is_empty()).then(|| ArchiveFacts::new(archives));
    known
}

fn sizes(kind: &str, newest_first: &[u64]) -> Vec<BackupArchive> {
    (0..).zip(newest_first).map(|(age, bytes)| archive(kind, age, *bytes, BackupOutcome::Ok)).collect()
}

/// A full archive of so many bytes after increments that give back 100.
fn mixed(newest: u64) -> Vec<BackupArchive> {
    let full = archive("full", 0, newest, BackupOutcome::Ok);
    std::iter::once(full)
        .chain(sizes("increment", &[100; 4]).into_iter().map(|one| BackupArchive {
            made_unix_ms: one.made_unix_ms - DAY,
            name: format!("{}-inc", one.name),
            ..one
        }))
        .collect()
}

/// What is known, whether a run is under way, and what is wrong then.
#[test]
fn golden() {
    use BackupOutcome::{Failed, Ok, Partial, Refused, Stopped, Warn};
    use Trouble::{Late, Shrunken, Unusable, Unverified};
    let save = |outcome, hours| run("save", outcome, NOW - hours * HOUR);
    let due = |hours| Some(NOW - hours * HOUR);
    let verified = |days| BackupArchive { verified_unix_ms: Some(NOW - days * DAY), ..archive("full", 90, 9, Ok) };
    let broken = |problem: &str| {
        let mut known = known(None, &[], &[]);
        known.told.as_mut().unwrap().problem = problem.to_owned();
        known
    };
    let table: &[(&str, Known, bool, &[Trouble])] = &[
        ("nothing known", Known::default(), false, &[]),
        ("never run, by hand only", known(None, &[], &[]), false, &[]),
        ("due in the future", known(due(-3), &[], &[]), false, &[]),
        ("due just now", known(due(1), &[], &[]), false, &[]),
        ("overdue", known(due(2), &[], &[]), false, &[Late]),
        ("overdue, but under way", known(due(2), &[], &[]), true, &[]),
        ("overdue since its last run", known(due(2), &[save(Ok, 26)], &[]), false, &[Late]),
        ("run, its next time not told yet", known(due(2), &[save(Ok, 1)], &[]), false, &[]),
        ("failed at its time", known(due(2), &[save(Failed, 1)], &[]), false, &[Trouble::Failed]),
        ("stopped at its time", known(due(2), &[save(Stopped, 1)], &[]), false, &[Late]),
        ("all went well", known(None, &[save(Ok, 1)], &[]), false, &[]),
        ("files changed", known(None, &[save(Warn, 1)], &[]), false, &[]),
        ("partial", known(None, &[save(Partial, 1)], &[]), false, &[Trouble::Partial]),
        ("well after a failure", known(None, &[save(Failed, 2), save(Ok, 1)], &[]), false, &[]),
        ("refused after a failure", known(None, &[save(Failed, 2), save(Refused, 1)], &[]), false, &[Trouble::Failed]),
        ("stopped after success", known(None, &[save(Ok, 2), save(Stopped, 1)], &[]), false, &[]),
        ("failed to prune", known(None, &[save(Ok, 2), run("prune", Failed, NOW)], &[]), false, &[Trouble::Failed]),
        ("failed to restore", known(None, &[save(Ok, 2), run("restore", Failed, NOW)], &[]), false, &[]),
        ("did not verify", known(None, &[run("verify", Failed, NOW)], &[]), false, &[Unverified]),
        ("verified in part", known(None, &[run("verify", Partial, NOW)], &[]), false, &[Unverified]),
        ("never verified, young", known(None, &[], &[archive("full", 29, 9, Ok)]), false, &[]),
        ("never verified, old", known(None, &[], &[archive("full", 31, 9, Ok)]), false, &[Unverified]),
        ("only bad ones, old", known(None, &[], &[archive("full", 31, 9, Failed)]), false, &[]),
        ("verified of late", known(None, &[], &[verified(29)]), false, &[]),
        ("verified long ago", known(None, &[], &[verified(31)]), false, &[Unverified]),
        ("a run verified it", known(None, &[run("verify", Ok, NOW - DAY)], &[verified(31)]), false, &[]),
        ("too few to tell", known(None, &[], &sizes("full", &[1, 100, 100])), false, &[]),
        ("half of what is usual", known(None, &[], &sizes("full", &[50, 100, 90, 110])), false, &[]),
        ("less than half", known(None, &[], &sizes("full", &[49, 100, 90, 110])), false, &[Shrunken]),
        ("less, as snapshots", known(None, &[], &sizes("snapshot", &[0, 100, 90, 110])), false, &[Shrunken]),
        ("grown", known(None, &[], &sizes("full", &[900, 100, 90, 110])), false, &[]),
        ("increments that give back as much", known(None, &[], &sizes("increment", &[95, 100, 90, 110])), false, &[]),
        (
            "an increment that gives back less",
            known(None, &[], &sizes("increment", &[40, 100, 90, 110])),
            false,
            &[Shrunken],
        ),
        ("a full one after increments", known(None, &[], &mixed(100)), false, &[]),
        ("a full one that holds less than they", known(None, &[], &mixed(45)), false, &[Shrunken]),
        ("no job any more", Known { told: None, ..known(due(9), &[save(Failed, 1)], &[]) }, false, &[]),
        ("refused by its node", broken("no such hook"), false, &[Unusable]),
        (
            "extremes",
            known(Some(i64::MIN), &[], &sizes("full", &[0, u64::MAX, u64::MAX, u64::MAX])),
            false,
            &[Late, Shrunken],
        ),
    ];
    for (what, known, running, expected) in table {
        let found: Vec<_> = known.judge(*running, NOW).into_iter().map(|finding| finding.trouble).collect();
        assert_eq!(found, *expected, "{what}");
    }
}

#[test]
fn a_trouble_is_told_once_until_it_is_resolved() {
    let mut known = known(None, &[run("save", BackupOutcome::Failed, 1)], &[]);
    let mut step = |runs: &[BackupRun]| {
        runs.iter().for_each(|run| known.take(run));
        let found = known.judge(false, NOW);
        let (begun, resolved) = known.settle(found);
        let begun = begun.into_iter().map(|finding| finding.trouble).collect::<Vec<_>>();
        (begun, resolved)
    };
    assert_eq!(step(&[]), (vec![Trouble::Failed], vec![]));
    assert_eq!(step(&[]), (vec![], vec![]));
    assert_eq!(step(&[run("save", BackupOutcome::Failed, 2)]), (vec![], vec![]), "the same trouble goes on");
    assert_eq!(step(&[run("save", BackupOutcome::Partial, 3)]), (vec![Trouble::Partial], vec![Trouble::Failed]));
    assert_eq!(step(&[run("save", BackupOutcome::Ok, 4)]), (vec![], vec![Trouble::Partial]));
    assert_eq!(step(&[run("save", BackupOutcome::Failed, 5)]), (vec![Trouble::Failed], vec![]));
}

#[test]
fn words_and_troubles_are_the_same() {
    for trouble in Trouble::ALL {
        assert_eq!(trouble.as_str().parse(), Ok(trouble));
    }
    assert!("".parse::<Trouble>().is_err());
}
