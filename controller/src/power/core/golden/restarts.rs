//! The controller is killed, and goes on: in the same boot of its host, and in another.

use rackhaven_proto::model::ProgressState;

use super::{Rack, words};
use crate::power::core::Event;
use crate::power::core::state::{Direction, Phase};
use crate::power::core::supply::Observation;
use crate::power::policy::Wake;

#[test]
fn on_battery_the_clock_goes_on() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.until(10).says("OB").until(600).log.clear();
    rack.upses[0] = None;
    rack.restart(true);
    for node in rack.names() {
        rack.up(&node, "boot-1");
    }
    rack.until(1835).did(&[
        "60.0 begun 1 mains",
        "60.0 controller.restarted",
        "183.0 outage.trigger",
        "183.0 stage.begun",
        "183.0 node.ordered pi-1",
        "183.0 order pi-1",
        "183.0 node.ordered pi-2",
        "183.0 order pi-2",
    ]);
}

#[test]
fn on_the_way_down_orders_are_said_again_to_whom_has_not_answered() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.until(10).says("OB LB").until(30).at("pi-1", ProgressState::Running).log.clear();
    rack.restart(true)
        .up("pi-1", "boot-1")
        .up("pi-2", "boot-1")
        .did(&["3.0 begun 1 mains", "3.0 controller.restarted"]);
    rack.at("pi-1", ProgressState::PoweringOff).gone("pi-1").log.clear();
    rack.restart(true);
    assert_eq!(rack.core.to_probe(), [super::name("pi-1")]);
    rack.silent("pi-1").goes("pi-2").did(&[
        "3.0 begun 1 mains",
        "3.0 controller.restarted",
        "3.0 node.off pi-1",
        "3.0 node.powering-off pi-2",
        "3.0 node.off pi-2",
        "3.0 stage.ended",
        "3.0 stage.begun",
        "3.0 node.ordered nas",
    ]);
}

#[test]
fn a_cut_that_may_not_have_been_told_is_told_again() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.until(10).says("OB LB").until(30).goes("pi-1").goes("pi-2").goes("nas").log.clear();
    rack.until(60).restart(true).up("rack", "boot-1").until(70);
    rack.tell([Event::CutEnded { told: true, message: "told".to_owned() }]);
    rack.did(&[
        "6.0 begun 1 mains",
        "6.0 cut in 40 s",
        "6.0 controller.restarted",
        "7.0 ups.cut",
        "7.0 stage.begun",
        "7.0 master.ordered rack",
        "7.0 order rack",
    ]);
}

#[test]
fn on_the_way_up_nobody_is_taken_for_lost() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.policy.cut = false;
    rack.until(10).says("OB LB").until(30).goes("pi-1").at("pi-2", ProgressState::Running).log.clear();
    rack.says("OL").until(65).restart(true).did(&[
        "3.0 outage.mains-back",
        "6.0 abort pi-2",
        "6.5 begun 1 mains",
        "6.5 controller.restarted",
    ]);
    rack.up("pi-2", "boot-1").at("pi-2", ProgressState::Aborted).until(70).up("nas", "boot-1").up("rack", "boot-1");
    rack.until(345).up("pi-1", "boot-2").did(&[
        "6.5 node.aborted pi-2",
        "33.0 wake pi-1",
        "33.0 node.waking pi-1",
        "34.5 node.returning pi-1",
        "34.5 node.back pi-1",
        "34.5 outage.ended",
        "34.5 ended 1",
    ]);
}

#[test]
fn after_a_boot_all_that_was_not_off_is_brought_back() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.until(10).says("OB LB").until(30).goes("pi-1").goes("pi-2").goes("nas");
    rack.tell([Event::CutEnded { told: true, message: "told".to_owned() }]);
    rack.at("rack", ProgressState::Running).at("rack", ProgressState::PoweringOff).log.clear();
    // The UPS cuts at 43 s; mains comes back later.
    rack.until(6000).log.clear();
    rack.upses[0] = Some(words("OL"));
    rack.restart(false).up("rack", "boot-2").up("nas", "boot-2").until(6010).did(&[
        "600.0 begun 1 mains",
        "600.0 controller.restarted",
        "600.0 node.returning rack",
        "600.0 node.back rack",
        "600.0 node.returning nas",
        "600.0 node.back nas",
        "600.5 outage.mains-back",
    ]);
    rack.until(6350).up("pi-1", "boot-2").up("pi-2", "boot-2").did(&[
        "630.5 wake pi-1",
        "630.5 node.waking pi-1",
        "630.5 wake pi-2",
        "630.5 node.waking pi-2",
        "635.0 node.returning pi-1",
        "635.0 node.back pi-1",
        "635.0 node.returning pi-2",
        "635.0 node.back pi-2",
        "635.0 outage.ended",
        "635.0 ended 1",
    ]);
}

#[test]
fn a_boot_before_the_ups_has_cut_waits_for_that() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.until(10).says("OB LB").until(30).goes("pi-1").goes("pi-2").goes("nas");
    rack.tell([Event::CutEnded { told: true, message: "told".to_owned() }]);
    rack.at("rack", ProgressState::Running).at("rack", ProgressState::PoweringOff).log.clear();
    rack.until(100).restart(false).log.clear();
    rack.up("rack", "boot-2").says("OL").until(1029).did(&[
        "10.0 node.returning rack",
        "10.0 node.back rack",
        "10.0 outage.mains-back",
    ]);
    rack.until(1035).did(&["103.0 wake nas", "103.0 node.waking nas"]);
}

#[test]
fn a_boot_on_battery_watches_on() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.until(10).says("OB LB").until(30).at("pi-1", ProgressState::Running).log.clear();
    rack.until(100).restart(false).log.clear();
    rack.ups(Some(Observation { runtime_ms: Some(900_000), ..words("OB") }));
    assert_eq!(rack.core.direction(), Some(Direction::Watching));
    // Whoever was not off after all is told to stay.
    rack.up("pi-1", "boot-1").at("pi-1", ProgressState::Aborted).did(&["10.0 outage.on-battery", "10.0 abort pi-1"]);
    assert_eq!(rack.phase("pi-1"), Some(Phase::Running));
}

#[test]
fn a_force_that_still_stands_after_a_boot_does_not_begin_anew() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.until(10).says("OL FSD").goes("pi-1").goes("pi-2").goes("nas");
    rack.tell([Event::CutEnded { told: true, message: "told".to_owned() }]);
    rack.until(6000).restart(false).log.clear();
    rack.read();
    rack.up("rack", "boot-2").up("nas", "boot-2").up("pi-1", "boot-2").up("pi-2", "boot-2").until(6050).did(&[
        "600.0 outage.mains-back",
        "600.0 node.returning rack",
        "600.0 node.back rack",
        "600.0 node.returning nas",
        "600.0 node.back nas",
        "600.0 node.returning pi-1",
        "600.0 node.back pi-1",
        "600.0 node.returning pi-2",
        "600.0 node.back pi-2",
        "600.0 outage.ended",
        "600.0 ended 1",
    ]);
}

#[test]
fn what_was_asked_for_once_is_asked_for_again_if_it_may_not_have_been_done() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.until(10).says("OB LB").until(30);
    let order_id = rack.track("pi-1").unwrap().order.clone().unwrap();
    let mut progress = super::progress(order_id.as_str(), ProgressState::Running);
    progress.current = Some(rackhaven_proto::model::StepKind::Drain);
    rack.tell([Event::Progress { node: super::name("pi-1"), progress }]);
    rack.says("OL").until(65).at("pi-2", ProgressState::Aborted).log.clear();
    rack.at("pi-1", ProgressState::Aborted).did(&[
        "6.5 node.aborted pi-1",
        "6.5 uncordon pi-1",
        "6.5 outage.ended",
        "6.5 ended 1",
    ]);
    rack.restart(true).did(&["6.5 uncordon pi-1", "6.5 ended 1"]);
    rack.up("pi-1", "boot-1").restart(true).did(&[]);
}
