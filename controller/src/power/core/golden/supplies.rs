//! Several UPSes, and what a UPS does to itself.

use super::{Rack, words};
use crate::power::core::supply::Observation;
use crate::power::policy::{Policy, Wake};
use crate::power::testing::{policy, roster};

fn two(minimum_supplies: usize) -> Rack {
    Rack::of(Policy { ups_count: 2, minimum_supplies, ..policy() }, roster(Wake::WakeOnLan))
}

#[test]
fn one_of_two_is_enough_if_one_is() {
    let mut rack = two(1);
    rack.until(10).says("OB LB").until(100).did(&[]);
    rack.upses[1] = Some(words("OB"));
    rack.until(130).did(&["10.5 begun 1 mains", "10.5 outage.on-battery"]);
    rack.upses[1] = Some(words("OB LB"));
    rack.until(160).did(&[
        "15.5 outage.trigger",
        "15.5 stage.begun",
        "15.5 node.ordered pi-1",
        "15.5 order pi-1",
        "15.5 node.ordered pi-2",
        "15.5 order pi-2",
    ]);
}

#[test]
fn one_of_two_is_too_few_if_both_are_needed() {
    two(2).until(10).says("OB LB").until(35).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "3.0 outage.trigger",
        "3.0 stage.begun",
        "3.0 node.ordered pi-1",
        "3.0 order pi-1",
        "3.0 node.ordered pi-2",
        "3.0 order pi-2",
    ]);
}

#[test]
fn one_that_cannot_be_read_does_not_decide() {
    let mut rack = two(1);
    rack.upses[1] = None;
    rack.until(10).says("OB LB").until(100).did(&["1.0 outage.lost-ups"]);
}

#[test]
fn the_one_that_lasts_longer_counts() {
    let left = |ms| Some(Observation { runtime_ms: Some(ms), ..words("OB") });
    let mut rack = two(1);
    rack.upses[1] = left(500_000);
    rack.until(10).ups(left(50_000)).until(100);
    assert_eq!(rack.core.runtime_left_ms(&rack.context()), Some(500_000));
    rack.upses[1] = left(100_000);
    rack.until(130).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "12.5 outage.trigger",
        "12.5 stage.begun",
        "12.5 node.ordered pi-1",
        "12.5 order pi-1",
        "12.5 node.ordered pi-2",
        "12.5 order pi-2",
    ]);
}

#[test]
fn a_calibration_is_no_outage_and_a_self_test_no_reason_to_go() {
    Rack::new(Wake::WakeOnLan).until(10).says("OB CAL LB").until(1000).says("OL").did(&[]);
    Rack::new(Wake::WakeOnLan).until(10).says("OB TEST LB").until(110).says("OL").until(145).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "11.0 outage.mains-back",
        "14.0 outage.ended",
        "14.0 ended 1",
    ]);
    // After a minute it is no self-test any more.
    Rack::new(Wake::WakeOnLan).until(10).says("OB TEST LB").until(635).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "63.0 outage.trigger",
        "63.0 stage.begun",
        "63.0 node.ordered pi-1",
        "63.0 order pi-1",
        "63.0 node.ordered pi-2",
        "63.0 order pi-2",
    ]);
}
