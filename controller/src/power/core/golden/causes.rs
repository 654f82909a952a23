//! What begins a shutdown, and when.

use rackhaven_proto::model::ProgressState;

use super::{Rack, words};
use crate::power::core::Event;
use crate::power::core::supply::Observation;
use crate::power::policy::{Policy, Shed, Wake};
use crate::power::testing::{policy, roster};

/// On battery after 1 s with this reading; what was done in the first minutes.
fn on_battery(seen: Observation) -> Rack {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.until(10).ups(Some(seen));
    rack
}

#[test]
fn a_low_battery_that_blips_is_no_reason() {
    let mut rack = on_battery(words("OB LB"));
    rack.until(29).says("OB").until(40).says("OB LB").until(59).says("OL").until(120);
    rack.did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "5.9 outage.mains-back",
        "8.9 outage.ended",
        "8.9 ended 1",
    ]);
}

#[test]
fn a_low_battery_that_holds_is_one() {
    on_battery(words("OB LB")).until(40).did(&[
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
fn a_low_battery_that_the_charge_agrees_with_is_one_at_once() {
    on_battery(Observation { charge_percent: Some(9.0), charge_low_percent: Some(10.0), ..words("OB LB") }).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "1.0 outage.trigger",
        "1.0 stage.begun",
        "1.0 node.ordered pi-1",
        "1.0 order pi-1",
        "1.0 node.ordered pi-2",
        "1.0 order pi-2",
    ]);
}

#[test]
fn a_low_charge_that_holds_is_one() {
    on_battery(Observation { charge_percent: Some(20.0), ..words("OB") }).until(35).did(&[
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
fn what_the_shutdown_takes_is_one() {
    // Three stages of 20 s and a minute in reserve: at 120 s left, and 2 s to hold.
    on_battery(Observation { runtime_ms: Some(125_000), ..words("OB") })
        .until(20)
        .did(&["1.0 begun 1 mains", "1.0 outage.on-battery"]);
    let mut rack = on_battery(Observation { runtime_ms: Some(500_000), ..words("OB") });
    rack.until(100).ups(Some(Observation { runtime_ms: Some(119_000), ..words("OB") })).until(150).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "12.0 outage.trigger",
        "12.0 stage.begun",
        "12.0 node.ordered pi-1",
        "12.0 order pi-1",
        "12.0 node.ordered pi-2",
        "12.0 order pi-2",
    ]);
}

#[test]
fn without_a_runtime_the_assumed_one_counts_even_while_upsd_is_gone() {
    // 300 s are assumed, 120 s needed: after 180 s and 2 s to hold.
    on_battery(words("OB")).until(20).ups(None).until(1850).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "183.0 outage.trigger",
        "183.0 stage.begun",
        "183.0 node.ordered pi-1",
        "183.0 order pi-1",
        "183.0 node.ordered pi-2",
        "183.0 order pi-2",
    ]);
}

#[test]
fn the_time_is_one() {
    let mut rack = Rack::of(Policy { time_ms: Some(60_000), ..policy() }, roster(Wake::WakeOnLan));
    rack.until(10).says("OB").until(615).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "61.0 outage.trigger",
        "61.0 stage.begun",
        "61.0 node.ordered pi-1",
        "61.0 order pi-1",
        "61.0 node.ordered pi-2",
        "61.0 order pi-2",
    ]);
}

#[test]
fn a_force_is_one_at_once_on_mains_too_and_counts_once() {
    let mut rack = Rack::of(Policy { cut: false, ..policy() }, roster(Wake::WakeOnLan));
    rack.until(10).says("OL FSD").did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "1.0 outage.trigger",
        "1.0 stage.begun",
        "1.0 node.ordered pi-1",
        "1.0 order pi-1",
        "1.0 node.ordered pi-2",
        "1.0 order pi-2",
    ]);
    // It is latched. After ten minutes it counts no more, and does not begin anew.
    rack.goes("pi-1").goes("pi-2").goes("nas").log.clear();
    rack.until(6050).did(&["216.0 node.missing rack", "216.0 stage.ended", "604.0 abort rack"]);
    rack.at("rack", ProgressState::Aborted).until(6350).up("pi-1", "boot-2").up("pi-2", "boot-2").up("nas", "boot-2");
    rack.until(6400).did(&[
        "605.0 node.aborted rack",
        "635.0 node.returning pi-1",
        "635.0 node.back pi-1",
        "635.0 node.returning pi-2",
        "635.0 node.back pi-2",
        "635.0 node.returning nas",
        "635.0 node.back nas",
        "635.0 outage.ended",
        "635.0 ended 1",
    ]);
}

#[test]
fn a_force_that_is_taken_back_turns_back() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.until(10).says("OL FSD").until(20).says("OL").until(55).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "1.0 outage.trigger",
        "1.0 stage.begun",
        "1.0 node.ordered pi-1",
        "1.0 order pi-1",
        "1.0 node.ordered pi-2",
        "1.0 order pi-2",
        "5.0 abort pi-1",
        "5.0 abort pi-2",
    ]);
}

#[test]
fn silent_witnesses_of_mains_stand_in_for_a_ups_that_cannot_be_read() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.until(10).ups(None).until(20);
    rack.tell([Event::Witnesses { silent: true }]);
    // Believed after 10 s; 300 s are assumed, 120 s needed.
    rack.until(1925).did(&[
        "1.0 outage.lost-ups",
        "12.0 begun 1 mains",
        "12.0 outage.on-battery",
        "192.0 outage.trigger",
        "192.0 stage.begun",
        "192.0 node.ordered pi-1",
        "192.0 order pi-1",
        "192.0 node.ordered pi-2",
        "192.0 order pi-2",
    ]);
    rack.tell([Event::Witnesses { silent: false }]);
    rack.until(2000).did(&["192.5 outage.mains-back", "195.5 abort pi-1", "195.5 abort pi-2"]);
}

#[test]
fn a_ups_that_is_lost_on_mains_is_no_reason() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.until(10).ups(None).until(20_000).ups(Some(words("OL"))).did(&["1.0 outage.lost-ups", "2000.0 power.mains"]);
}

#[test]
fn a_ups_that_says_neither_is_as_good_as_not_read() {
    on_battery(words("OB LB")).until(20).says("ALARM").until(40).did(&[
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

fn with_shed(shed: Shed) -> Rack {
    let mut roster = roster(Wake::WakeOnLan);
    roster.stages[0].shed = Some(shed);
    Rack::of(policy(), roster)
}

#[test]
fn a_stage_is_shed_by_its_own_trigger_and_the_rest_stays() {
    let none = Shed { charge_percent: None, time_ms: None, runtime_ms: None };
    let mut rack = with_shed(Shed { time_ms: Some(30_000), ..none });
    rack.until(10).says("OB").until(340).goes("pi-1").goes("pi-2").until(500).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "33.0 stage.begun",
        "33.0 node.ordered pi-1",
        "33.0 order pi-1",
        "33.0 node.ordered pi-2",
        "33.0 order pi-2",
        "34.0 node.powering-off pi-1",
        "34.0 node.off pi-1",
        "34.0 node.powering-off pi-2",
        "34.0 node.off pi-2",
        "34.0 stage.ended",
    ]);
    // Mains is back: they come back, and nobody else went.
    rack.says("OL").until(840).up("pi-1", "boot-2").up("pi-2", "boot-2").until(850).did(&[
        "50.0 outage.mains-back",
        "80.0 wake pi-1",
        "80.0 node.waking pi-1",
        "80.0 wake pi-2",
        "80.0 node.waking pi-2",
        "84.0 node.returning pi-1",
        "84.0 node.back pi-1",
        "84.0 node.returning pi-2",
        "84.0 node.back pi-2",
        "84.0 outage.ended",
        "84.0 ended 1",
    ]);

    let mut rack = with_shed(Shed { charge_percent: Some(70.0), ..none });
    let charge = |percent| Some(Observation { charge_percent: Some(percent), ..words("OB") });
    rack.until(10)
        .ups(charge(90.0))
        .until(50)
        .ups(charge(3.0))
        .until(60)
        .ups(charge(80.0))
        .until(100)
        .did(&["1.0 begun 1 mains", "1.0 outage.on-battery"]);
    rack.ups(charge(70.0)).until(125).did(&[
        "12.0 stage.begun",
        "12.0 node.ordered pi-1",
        "12.0 order pi-1",
        "12.0 node.ordered pi-2",
        "12.0 order pi-2",
    ]);

    let mut rack = with_shed(Shed { runtime_ms: Some(400_000), ..none });
    rack.until(10).ups(Some(Observation { runtime_ms: Some(400_000), ..words("OB") })).until(35).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "3.0 stage.begun",
        "3.0 node.ordered pi-1",
        "3.0 order pi-1",
        "3.0 node.ordered pi-2",
        "3.0 order pi-2",
    ]);
}
