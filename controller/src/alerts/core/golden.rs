//! What becomes of an alert, written out step by step.

use rackhaven_proto::model::Severity::{self, Critical, Warning};

use super::super::rules::{Rule, Rules};
use super::tell::STEADY_MS;
use super::{Alerts, Condition, Key, Matcher, NoticeKind, Now, Phase, Scan, Silence};

/// A fixed start of the wall clock.
const WALL: i64 = 1_700_000_000_000;
const HOUR: u64 = 3_600_000;

pub(super) fn key(rule: Rule) -> Key {
    Key { rule, subject: "pi-1".to_owned(), instance: String::new() }
}

/// A look at which a rule has this value.
pub(super) fn seen(rules: &Rules, rule: Rule, value: f64) -> Scan {
    let mut scan = Scan::default();
    if let Some(reached) = rules.reached(rule, value) {
        let condition = Condition {
            key: key(rule),
            reached,
            value: Some(value),
            text: format!("{value} %"),
            node: Some("pi-1".to_owned()),
            labels: [("role".to_owned(), "worker".to_owned())].into(),
        };
        scan.conditions.insert(key(rule), condition);
    }
    scan
}

pub(super) fn at(ms: u64) -> Now {
    Now { ms, wall_ms: WALL.saturating_add_unsigned(ms) }
}

/// One step: the notices as words, and how the alert is after it.
fn step(alerts: &mut Alerts, rules: &Rules, scan: Scan, ms: u64) -> (Vec<(NoticeKind, Severity)>, Option<Phase>) {
    let outcome = alerts.step(scan, rules, at(ms));
    let told = outcome.notices.iter().map(|notice| (notice.kind, notice.alert.severity)).collect();
    (told, alerts.all().next().map(|alert| alert.phase))
}

/// A moment, a value, what is told, and the phase afterwards.
type Row = (u64, Option<f64>, Option<(NoticeKind, Severity)>, Option<Phase>);

/// A table of moments, values, what is told, and the phase afterwards. Disk: 90/97 %, margin 2, for 60 s, gone for 60 s.
fn run(rows: &[Row]) {
    let (mut alerts, rules) = (Alerts::default(), Rules::default());
    for (ms, value, told, phase) in rows {
        let scan = match value {
            Some(value) => seen(&rules, Rule::DiskFull, *value),
            None => Scan { blind: [(Rule::DiskFull, "pi-1".to_owned())].into(), ..Scan::default() },
        };
        let found = step(&mut alerts, &rules, scan, *ms);
        assert_eq!(found, (told.iter().copied().collect(), *phase), "at {ms} with {value:?}");
    }
}

#[test]
fn from_pending_to_over() {
    use NoticeKind::{Firing, Resolved};
    run(&[
        (0, Some(50.0), None, None),
        // Below the threshold, within the margin: nothing has begun.
        (1_000, Some(89.0), None, None),
        (2_000, Some(90.0), None, Some(Phase::Pending)),
        (61_999, Some(91.0), None, Some(Phase::Pending)),
        (62_000, Some(91.0), Some((Firing, Warning)), Some(Phase::Firing)),
        // Within the margin it goes on; below it must be gone for a minute.
        (70_000, Some(88.5), None, Some(Phase::Firing)),
        (80_000, Some(80.0), None, Some(Phase::Firing)),
        (139_999, Some(80.0), None, Some(Phase::Firing)),
        (140_000, Some(80.0), Some((Resolved, Warning)), Some(Phase::Resolved)),
        (4 * HOUR + 61_999, Some(80.0), None, Some(Phase::Resolved)),
        (4 * HOUR + 62_000, Some(80.0), None, None),
    ]);
}

#[test]
fn what_passes_is_not_told() {
    run(&[
        (0, Some(95.0), None, Some(Phase::Pending)),
        (59_999, Some(95.0), None, Some(Phase::Pending)),
        (60_000, Some(89.9), None, None),
        (60_001, Some(95.0), None, Some(Phase::Pending)),
        (120_000, Some(95.0), None, Some(Phase::Pending)),
    ]);
}

#[test]
fn worse_is_told_at_once_and_better_is_not() {
    use NoticeKind::{Firing, Repeated};
    run(&[
        (0, Some(91.0), None, Some(Phase::Pending)),
        (60_000, Some(91.0), Some((Firing, Warning)), Some(Phase::Firing)),
        (61_000, Some(97.0), Some((Firing, Critical)), Some(Phase::Firing)),
        (62_000, Some(95.5), None, Some(Phase::Firing)),
        (63_000, Some(92.0), None, Some(Phase::Firing)),
        // Worse again: it was said to be critical a moment ago.
        (64_000, Some(98.0), None, Some(Phase::Firing)),
        (61_000 + HOUR, Some(98.0), Some((Repeated, Critical)), Some(Phase::Firing)),
    ]);
}

#[test]
fn blindness_changes_nothing() {
    use NoticeKind::{Firing, Resolved};
    run(&[
        (0, Some(91.0), None, Some(Phase::Pending)),
        (60_000, Some(91.0), Some((Firing, Warning)), Some(Phase::Firing)),
        (70_000, None, None, Some(Phase::Firing)),
        (2 * HOUR, None, None, Some(Phase::Firing)),
        (2 * HOUR + 1, Some(10.0), None, Some(Phase::Firing)),
        (2 * HOUR + 60_001, Some(10.0), Some((Resolved, Warning)), Some(Phase::Resolved)),
    ]);
}

#[test]
fn what_comes_back_soon_must_stand() {
    use NoticeKind::{Firing, Resolved};
    run(&[
        (0, Some(91.0), None, Some(Phase::Pending)),
        (60_000, Some(91.0), Some((Firing, Warning)), Some(Phase::Firing)),
        (61_000, Some(0.0), None, Some(Phase::Firing)),
        (121_000, Some(0.0), Some((Resolved, Warning)), Some(Phase::Resolved)),
        (130_000, Some(91.0), None, Some(Phase::Pending)),
        (190_000, Some(91.0), None, Some(Phase::Firing)),
        (189_999 + STEADY_MS, Some(91.0), None, Some(Phase::Firing)),
        (190_000 + STEADY_MS, Some(91.0), Some((Firing, Warning)), Some(Phase::Firing)),
    ]);
}

#[test]
fn acknowledged_is_not_repeated_until_it_is_worse() {
    let (mut alerts, rules) = (Alerts::default(), Rules::default());
    let name = key(Rule::DiskFull).to_string();
    assert_eq!(name, "disk-full:pi-1");
    let disk = |value| seen(&rules, Rule::DiskFull, value);
    step(&mut alerts, &rules, disk(91.0), 0);
    assert!(alerts.acknowledge(&name, "user/ann", WALL).is_none(), "pending is not firing");
    step(&mut alerts, &rules, disk(91.0), 60_000);
    assert!(alerts.acknowledge("disk-full:pi-2", "user/ann", WALL).is_none());
    assert!(alerts.acknowledge(&name, "user/ann", WALL).is_some());
    assert_eq!(step(&mut alerts, &rules, disk(91.0), 9 * HOUR).0, []);
    assert_eq!(step(&mut alerts, &rules, disk(97.0), 9 * HOUR + 1).0, [(NoticeKind::Firing, Critical)]);
    // It is over for all who were told, and what comes later is new.
    step(&mut alerts, &rules, disk(1.0), 9 * HOUR + 2);
    assert_eq!(step(&mut alerts, &rules, disk(1.0), 9 * HOUR + 60_002).0, [(NoticeKind::Resolved, Critical)]);
}

#[test]
fn silence_is_kept_and_ends() {
    let (mut alerts, rules) = (Alerts::default(), Rules::default());
    let disk = |value| seen(&rules, Rule::DiskFull, value);
    let silence = |id, matchers: &[&str], ms: u64| Silence {
        id,
        matchers: matchers.iter().map(|text| text.parse().unwrap()).collect(),
        until_unix_ms: at(ms).wall_ms,
        by: "user/ann".to_owned(),
        reason: String::new(),
    };
    assert!(alerts.silence(silence(1, &["role=worker", "severity=warning"], 100_000)));
    assert!(alerts.silence(silence(2, &["node=pi-2"], HOUR)));
    assert!(alerts.silence(silence(3, &[], HOUR)));
    step(&mut alerts, &rules, disk(91.0), 0);
    assert_eq!(step(&mut alerts, &rules, disk(91.0), 60_000), (vec![], Some(Phase::Firing)));
    assert_eq!(step(&mut alerts, &rules, disk(91.0), 99_999).0, []);
    let outcome = alerts.step(disk(91.0), &rules, at(100_000));
    assert_eq!((outcome.silences_over.as_slice(), outcome.notices.len()), (&[1][..], 1));
    assert!(alerts.unsilence(2) && !alerts.unsilence(2));
    // What ends in silence is over without a word.
    assert!(alerts.silence(silence(4, &["rule=disk-full", "instance="], HOUR)));
    step(&mut alerts, &rules, disk(1.0), 110_000);
    assert_eq!(step(&mut alerts, &rules, disk(1.0), 170_000), (vec![], Some(Phase::Resolved)));
    assert!("x".parse::<Matcher>().is_err() && "=x".parse::<Matcher>().is_err());
}

#[test]
fn what_was_stored_goes_on() {
    let (mut alerts, rules) = (Alerts::default(), Rules::default());
    let down = || seen(&rules, Rule::Temperature, 95.0);
    step(&mut alerts, &rules, down(), 50_000);
    assert_eq!(step(&mut alerts, &rules, down(), 110_000).0, [(NoticeKind::Firing, Critical)]);
    let text = serde_json::to_string(&alerts.all().collect::<Vec<_>>()).unwrap();
    let mut again = Alerts::load(serde_json::from_str(&text).unwrap(), Vec::new(), 110_001);
    assert_eq!(again, alerts);
    assert_eq!(step(&mut again, &rules, down(), 110_002).0, []);
    // A clock that begins anew does not hold anything back for ever.
    let mut tamed = Alerts::load(serde_json::from_str(&text).unwrap(), Vec::new(), 5);
    assert_eq!(step(&mut tamed, &rules, down(), 5 + HOUR).0, [(NoticeKind::Repeated, Critical)]);
}
