use super::{Cause, Feed, Observation, RackSupply, UpsTrack, rack_supply};
use crate::power::policy::Policy;
use crate::power::testing::policy;

fn seen(words: &str) -> Observation {
    let has = |word: &str| words.split(' ').any(|w| w == word);
    Observation {
        on_line: has("OL"),
        on_battery: has("OB"),
        low: has("LB"),
        forced: has("FSD"),
        calibrating: has("CAL"),
        testing: has("TEST"),
        ..Observation::default()
    }
}

/// One UPS, read each 250 ms as told, until `end_ms`; when and why it became critical.
fn run(policy: &Policy, need_ms: u64, end_ms: u64, at: impl Fn(u64) -> Option<Observation>) -> Option<(u64, Cause)> {
    let mut ups = UpsTrack::new(0);
    (0..=end_ms).step_by(250).find_map(|now| {
        match at(now) {
            Some(seen) => ups.read(seen, now),
            None => ups.lost(now),
        }
        ups.critical(policy, need_ms, now).map(|cause| (now, cause))
    })
}

/// What each story of a UPS leads to, written out.
#[test]
fn golden_triggers() {
    let policy = policy();
    let charge = |words: &str, charge| Some(Observation { charge_percent: Some(charge), ..seen(words) });
    let runtime = |words: &str, ms| Some(Observation { runtime_ms: Some(ms), ..seen(words) });
    type Story = Box<dyn Fn(u64) -> Option<Observation>>;
    type Row = (&'static str, Story, Option<(u64, Cause)>);
    let table: Vec<Row> = vec![
        ("mains", Box::new(|_| Some(seen("OL"))), None),
        ("forced at once", Box::new(|_| Some(seen("OL FSD"))), Some((0, Cause::Forced))),
        ("low holds", Box::new(|_| Some(seen("OB LB"))), Some((2000, Cause::LowBattery))),
        ("low blips", Box::new(|now| Some(seen(if now % 2000 < 1000 { "OB LB" } else { "OB" }))), None),
        ("low on mains", Box::new(|_| Some(seen("OL LB"))), None),
        ("low and corroborated", Box::new(move |_| charge("OB LB", 15.0)), Some((0, Cause::LowBattery))),
        ("low, then lost", Box::new(|now| (now < 250).then(|| seen("OB LB"))), Some((2000, Cause::LowBattery))),
        ("a self-test's low", Box::new(|_| Some(seen("OB LB TEST"))), None),
        ("calibration", Box::new(|_| Some(seen("OB LB CAL"))), None),
        (
            "charge falls",
            Box::new(move |now| charge("OB", if now < 5000 { 21.0 } else { 20.0 })),
            Some((7000, Cause::Charge)),
        ),
        ("charge glitches", Box::new(move |now| charge("OB", if now == 1000 { 0.0 } else { 90.0 })), None),
        ("charge low on mains", Box::new(move |_| charge("OL", 3.0)), None),
        ("runtime is short", Box::new(move |_| runtime("OB", 90_000)), Some((2000, Cause::Budget))),
        ("runtime of nothing is none", Box::new(move |_| runtime("OB", 0)), None),
        ("lost on mains", Box::new(|now| (now == 0).then(|| seen("OL"))), None),
        ("never read", Box::new(|_| None), None),
    ];
    for (name, story, expected) in table {
        assert_eq!(run(&policy, 100_000, 30_000, story), expected, "{name}");
    }
    // Without a runtime the assumed 300 s count, also while it cannot be read.
    let clock = |now| (now < 1000).then(|| seen("OB"));
    assert_eq!(run(&policy, 100_000, 600_000, clock), Some((202_000, Cause::Budget)));
    let timed = Policy { time_ms: Some(50_000), ..policy };
    assert_eq!(run(&timed, 100_000, 600_000, |_| Some(seen("OB"))), Some((50_000, Cause::Time)));
}

#[test]
fn what_is_left() {
    let policy = policy();
    let mut ups = UpsTrack::new(0);
    assert_eq!(ups.runtime_left_ms(&policy, 0), None);
    ups.read(Observation { runtime_ms: Some(600_000), ..seen("OB") }, 1000);
    ups.lost(2000);
    assert_eq!((ups.feed, ups.runtime_left_ms(&policy, 61_000)), (Feed::Battery, Some(540_000)));
    ups.read(seen("OB LB"), 62_000);
    // By the clock 239 s, but a low battery has two minutes.
    assert_eq!(ups.runtime_left_ms(&policy, 63_000), Some(119_000));
    ups.read(seen("OL"), 64_000);
    assert_eq!(ups.runtime_left_ms(&policy, 64_000), None);
}

#[test]
fn golden_supply_of_the_rack() {
    use Feed::{Battery, Mains, Unknown};
    let table: &[(&[Feed], usize, bool, RackSupply)] = &[
        (&[Mains], 1, true, RackSupply::Mains),
        (&[Battery], 1, false, RackSupply::Battery),
        (&[Unknown], 1, false, RackSupply::Unknown),
        (&[Unknown], 1, true, RackSupply::Dark),
        (&[Mains, Battery], 2, false, RackSupply::Battery),
        (&[Mains, Battery], 1, false, RackSupply::Mains),
        (&[Unknown, Battery], 1, false, RackSupply::Unknown),
        (&[Unknown, Battery], 2, false, RackSupply::Battery),
        (&[Mains, Unknown], 2, true, RackSupply::Dark),
        (&[Battery, Battery], 1, false, RackSupply::Battery),
    ];
    for (feeds, minimum, silent, expected) in table {
        let upses: Vec<_> = feeds.iter().map(|feed| UpsTrack { feed: *feed, ..UpsTrack::new(0) }).collect();
        assert_eq!(rack_supply(&upses, *minimum, *silent), *expected, "{feeds:?} of {minimum}, {silent}");
    }
}

#[test]
fn a_force_counts_once() {
    let mut ups = UpsTrack::new(0);
    ups.read(seen("OL FSD"), 0);
    ups.forced_seen = true;
    assert_eq!(ups.critical(&policy(), 0, 10_000), None);
    ups.read(seen("OL"), 11_000);
    ups.read(seen("OL FSD"), 12_000);
    assert_eq!(ups.critical(&policy(), 0, 12_000), Some(Cause::Forced));
}
