//! The way back.

use rackhaven_proto::model::ProgressState;

use super::{Rack, name, words};
use crate::power::core::supply::Observation;
use crate::power::core::{Event, Wait, state::Phase};
use crate::power::policy::{Need, Policy, Wake};
use crate::power::testing::{policy, roster};

/// pi-1, pi-2 and nas are off at 3 s, without a cut; the master stays, and mains is back at 5 s.
fn back(mut rack: Rack) -> Rack {
    rack.policy.cut = false;
    rack.until(10).says("OB LB").until(30).goes("pi-1").goes("pi-2").goes("nas");
    rack.at("rack", ProgressState::Running).until(50).says("OL").until(81).at("rack", ProgressState::Aborted);
    rack.log.clear();
    rack
}

#[test]
fn nodes_are_woken_in_the_reverse_order_and_again_until_they_are_there() {
    let mut rack = back(Rack::new(Wake::WakeOnLan));
    rack.repeats = true;
    rack.until(505).did(&["35.0 wake nas", "35.0 node.waking nas", "40.0 wake nas", "45.0 wake nas", "50.0 wake nas"]);
    rack.up("nas", "boot-2").did(&[
        "50.5 node.returning nas",
        "50.5 wake pi-1",
        "50.5 node.waking pi-1",
        "50.5 wake pi-2",
        "50.5 node.waking pi-2",
        "50.5 node.back nas",
    ]);
    rack.until(520).up("pi-1", "boot-2").up("pi-2", "boot-2").did(&[
        "52.0 node.returning pi-1",
        "52.0 node.back pi-1",
        "52.0 node.returning pi-2",
        "52.0 node.back pi-2",
        "52.0 outage.ended",
        "52.0 ended 1",
    ]);
}

#[test]
fn who_does_not_come_back_is_given_up_and_woken_at_a_slow_pace_for_ever() {
    let mut rack = back(Rack::new(Wake::WakeOnLan));
    rack.until(360).up("nas", "boot-2").up("pi-1", "boot-2").log.clear();
    rack.until(2170).did(&["216.0 node.missing pi-2", "216.0 outage.ended", "216.0 ended 1"]);
    rack.repeats = true;
    rack.until(3400).did(&["276.0 wake pi-2", "336.0 wake pi-2"]);
    rack.up("pi-2", "boot-2").until(6000).did(&[]);
}

#[test]
fn who_comes_back_by_hand_is_waited_for_and_told() {
    let mut rack = back(Rack::new(Wake::ByHand));
    rack.until(6000).did(&[
        "215.0 node.missing nas",
        "395.0 node.missing pi-1",
        "395.0 node.missing pi-2",
        "395.0 outage.ended",
        "395.0 ended 1",
    ]);
}

#[test]
fn the_charge_is_waited_for_or_half_an_hour() {
    let charge = |percent| Some(Observation { charge_percent: Some(percent), ..words("OL") });
    let mut rack = back(Rack::new(Wake::WakeOnLan));
    let waits = |rack: &Rack| rack.core.waits_for(&rack.context());
    rack.ups(charge(12.0));
    assert!(matches!(waits(&rack), Some(Wait::Stable { .. })), "{:?}", waits(&rack));
    rack.until(1000);
    let Some(Wait::Charge { floor_percent: 30.0, charge_percent: 12.0, left_ms }) = waits(&rack) else {
        panic!("{:?}", waits(&rack));
    };
    assert_eq!(left_ms, 1_805_000 - 100_000);
    rack.ups(charge(30.0)).did(&["100.0 wake nas", "100.0 node.waking nas"]);
    assert_eq!(waits(&rack), None);
    let mut rack = back(Rack::new(Wake::WakeOnLan));
    rack.ups(charge(12.0)).until(18_051).did(&["1805.0 wake nas", "1805.0 node.waking nas"]);
}

#[test]
fn a_ups_that_cannot_be_read_holds_the_return_up_for_half_an_hour() {
    let mut rack = back(Rack::new(Wake::WakeOnLan));
    rack.ups(None).until(18_051).did(&["8.1 outage.lost-ups", "1805.0 wake nas", "1805.0 node.waking nas"]);
}

#[test]
fn k3s_waits_for_what_it_needs() {
    let mut fleet = roster(Wake::WakeOnLan);
    fleet.stages[0].needs = vec![Need::Node(name("nas")), Need::Mount("/mnt/nas".to_owned())];
    let mut rack = back(Rack::of(policy(), fleet));
    let held = |rack: &Rack| rack.core.state().held.contains(&name("pi-1"));
    rack.up("pi-1", "boot-2").did(&["8.1 node.returning pi-1"]);
    assert!(held(&rack));
    rack.roster.members.get_mut(&name("pi-1")).unwrap().mounts_ready = false;
    rack.until(100).up("nas", "boot-2").did(&["10.0 node.returning nas", "10.0 node.back nas"]);
    assert!(held(&rack));
    rack.roster.members.get_mut(&name("pi-1")).unwrap().mounts_ready = true;
    rack.until(101).did(&["10.1 node.back pi-1"]);
    assert!(!held(&rack));
}

#[test]
fn what_never_comes_does_not_keep_the_outage_open_and_still_holds_k3s() {
    let mut fleet = roster(Wake::WakeOnLan);
    fleet.stages[0].needs = vec![Need::Mount("/mnt/nas".to_owned())];
    let mut rack = back(Rack::of(policy(), fleet));
    rack.roster.members.get_mut(&name("pi-1")).unwrap().mounts_ready = false;
    rack.until(100).up("nas", "boot-2").up("pi-1", "boot-2").up("pi-2", "boot-2").log.clear();
    rack.until(1905).did(&["190.0 outage.ended", "190.0 ended 1"]);
    assert!(rack.core.state().held.contains(&name("pi-1")));
    rack.roster.members.get_mut(&name("pi-1")).unwrap().mounts_ready = true;
    rack.until(1906);
    assert!(rack.core.state().held.is_empty());
}

#[test]
fn a_second_outage_before_anybody_came_back_is_the_same_one() {
    let mut rack = back(Rack::new(Wake::WakeOnLan));
    rack.until(100)
        .says("OB")
        .until(120)
        .says("OL")
        .until(155)
        .did(&["10.0 outage.on-battery", "12.0 outage.mains-back"]);
    assert_eq!((rack.phase("nas"), rack.phase("rack")), (Some(Phase::Off), Some(Phase::Running)));
}

#[test]
fn a_second_outage_while_some_are_back_is_a_new_one_that_brings_all_back() {
    let mut rack = back(Rack::new(Wake::WakeOnLan));
    rack.until(400).up("nas", "boot-2").log.clear();
    rack.says("OB LB").until(425).did(&[
        "40.0 outage.ended",
        "40.0 ended 1",
        "40.0 begun 2 mains",
        "40.0 outage.on-battery",
        "42.0 outage.trigger",
        "42.0 stage.begun",
        "42.0 node.ordered nas",
        "42.0 order nas",
    ]);
    rack.goes("nas").at("rack", ProgressState::Running).says("OL").until(460).did(&[
        "42.5 node.powering-off nas",
        "42.5 node.off nas",
        "42.5 stage.ended",
        "42.5 stage.begun",
        "42.5 master.ordered rack",
        "42.5 order rack",
        "42.5 outage.mains-back",
        "45.5 abort rack",
    ]);
    rack.at("rack", ProgressState::Aborted).log.clear();
    rack.until(800).up("nas", "boot-3").up("pi-1", "boot-2").up("pi-2", "boot-2");
    rack.did(&[
        "72.5 wake nas",
        "72.5 node.waking nas",
        "80.0 node.returning nas",
        "80.0 node.waking pi-1",
        "80.0 node.waking pi-2",
        "80.0 node.back nas",
        "80.0 node.returning pi-1",
        "80.0 node.back pi-1",
        "80.0 node.returning pi-2",
        "80.0 node.back pi-2",
        "80.0 outage.ended",
        "80.0 ended 2",
    ]);
}

#[test]
fn who_is_out_of_reach_on_the_way_up_is_brought_back_after_half_a_minute() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.until(10).says("OB").gone("pi-1").until(50).says("OL").until(300).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "5.0 outage.mains-back",
    ]);
    rack.until(385).did(&["35.0 wake pi-1", "35.0 node.waking pi-1"]);
    rack.up("pi-1", "boot-1").did(&["38.5 outage.ended", "38.5 ended 1"]);
}

#[test]
fn who_went_by_itself_is_brought_back() {
    let mut rack = Rack::of(Policy { cut: false, ..policy() }, roster(Wake::WakeOnLan));
    rack.until(10).says("OB");
    let order_id = "mains-1-1-3e8".parse().unwrap();
    let alone = |state| {
        let progress = super::progress("mains-1-1-3e8", state);
        Event::Progress {
            node: name("nas"),
            progress: rackhaven_proto::model::ShutdownProgress { alone: true, ..progress },
        }
    };
    rack.tell([alone(ProgressState::Running)]);
    assert_eq!(rack.track("nas").unwrap().order, Some(order_id));
    rack.tell([alone(ProgressState::PoweringOff)]);
    rack.gone("nas").silent("nas").until(50).says("OL").until(405).up("nas", "boot-2").did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "1.0 node.ordered nas",
        "1.0 stage.begun",
        "1.0 node.powering-off nas",
        "1.0 node.off nas",
        "1.0 stage.ended",
        "5.0 outage.mains-back",
        "35.0 wake nas",
        "35.0 node.waking nas",
        "40.5 node.returning nas",
        "40.5 node.back nas",
        "40.5 outage.ended",
        "40.5 ended 1",
    ]);
}
