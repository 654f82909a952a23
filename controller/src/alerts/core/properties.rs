//! Whatever a sensor does, admins are told so often at most, and what was told to fire is told to be over.

use proptest::prelude::*;

use super::super::rules::{Rule, Rules};
use super::golden::{at, seen};
use super::tell::MOST_WITHIN_REPEAT;
use super::{Alerts, NoticeKind, Phase};

const HOUR: u64 = 3_600_000;

/// What is told of a temperature that takes these values, one each `step_ms`.
fn told(values: impl IntoIterator<Item = f64>, step_ms: u64, for_ms: u64, resolve_ms: u64) -> Vec<(u64, NoticeKind)> {
    let (mut alerts, mut rules) = (Alerts::default(), Rules::default());
    let setting = rules.get_mut(Rule::Temperature);
    (setting.for_ms, setting.resolve_ms) = (for_ms, resolve_ms);
    let mut told = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        let ms = index as u64 * step_ms;
        let outcome = alerts.step(seen(&rules, Rule::Temperature, value), &rules, at(ms));
        told.extend(outcome.notices.iter().map(|notice| (ms, notice.kind)));
        let open = alerts.all().any(|alert| alert.open);
        let last = told.last().map(|(_, kind)| *kind);
        assert_eq!(open, last.is_some_and(|kind| kind != NoticeKind::Resolved));
        assert!(!open || alerts.all().all(|alert| alert.phase == Phase::Firing));
    }
    told
}

/// A thousand crossings an hour for ten hours, with neither `for` nor a time to be gone.
#[test]
fn a_sensor_that_flaps_is_told_once_a_repeat() {
    let crossing = |high: f64| (0..20_000).map(move |turn| if turn % 2 == 0 { high } else { 20.0 });
    let firing = |high| {
        let told = told(crossing(high), 1_800, 0, 0);
        told.iter().filter(|(_, kind)| *kind != NoticeKind::Resolved).count()
    };
    // Critical repeats each hour, a warning each four: 0 h, 1 h, …; 0 h, 4 h, 8 h.
    assert_eq!((firing(95.0), firing(85.0)), (10, 3));
}

proptest! {
    #[test]
    fn bounded(
        values in proptest::collection::vec(prop_oneof![Just(20.0), Just(78.0), Just(85.0), Just(95.0)], 1..600),
        step_ms in prop_oneof![Just(1_000_u64), Just(20_000), Just(90_000), Just(700_000)],
        for_ms in prop_oneof![Just(0_u64), Just(60_000)],
        resolve_ms in prop_oneof![Just(0_u64), Just(60_000)],
    ) {
        let told = told(values, step_ms, for_ms, resolve_ms);
        let firing: Vec<u64> = told.iter().filter(|(_, kind)| *kind != NoticeKind::Resolved).map(|(ms, _)| *ms).collect();
        for (index, begin) in firing.iter().enumerate() {
            let within = firing.iter().skip(index).take_while(|ms| *ms - begin < HOUR).count();
            // As often as one that comes back may be told, and once more when it is worse.
            prop_assert!(within <= MOST_WITHIN_REPEAT + 1, "{within} within an hour: {told:?}");
        }
        let over = told.iter().filter(|(_, kind)| *kind == NoticeKind::Resolved).count();
        prop_assert!(over <= firing.len());
    }
}
