//! The way down, and where it turns back.

use rackhaven_proto::model::{NodeName, ProgressState};

use super::{Context, Rack, name, words};
use crate::power::core::Event;
use crate::power::core::supply::{CutDelay, Observation};
use crate::power::policy::{Policy, Roster, Wake};
use crate::power::testing::{policy, roster};

/// A low battery after 1 s: the first stage is ordered at 3 s.
fn going(wake: Wake) -> Rack {
    let mut rack = Rack::new(wake);
    rack.until(10).says("OB LB").until(30);
    rack
}

#[test]
fn stage_after_stage_then_the_cut_then_the_master() {
    let mut rack = going(Wake::WakeOnLan);
    rack.until(50).goes("pi-1").until(60).goes("pi-2").until(70).goes("nas").did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "3.0 outage.trigger",
        "3.0 stage.begun",
        "3.0 node.ordered pi-1",
        "3.0 order pi-1",
        "3.0 node.ordered pi-2",
        "3.0 order pi-2",
        "5.0 node.powering-off pi-1",
        "5.0 node.off pi-1",
        "6.0 node.powering-off pi-2",
        "6.0 node.off pi-2",
        "6.0 stage.ended",
        "6.0 stage.begun",
        "6.0 node.ordered nas",
        "6.0 order nas",
        "7.0 node.powering-off nas",
        "7.0 node.off nas",
        "7.0 stage.ended",
        "7.0 cut in 40 s",
    ]);
    rack.tell([Event::CutEnded { told: true, message: "told".to_owned() }]);
    rack.at("rack", ProgressState::Running).at("rack", ProgressState::PoweringOff).did(&[
        "7.0 ups.cut",
        "7.0 stage.begun",
        "7.0 master.ordered rack",
        "7.0 order rack",
        "7.0 node.powering-off rack",
    ]);
}

#[test]
fn a_node_that_is_not_confirmed_costs_its_cap() {
    // All deadlines are 155 s, and a minute for the power-off.
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.until(10).ups(Some(Observation { runtime_ms: Some(3_600_000), ..words("OB LB") })).until(30);
    rack.goes("pi-2").at("pi-1", ProgressState::Running).until(2185).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "3.0 outage.trigger",
        "3.0 stage.begun",
        "3.0 node.ordered pi-1",
        "3.0 order pi-1",
        "3.0 node.ordered pi-2",
        "3.0 order pi-2",
        "3.0 node.powering-off pi-2",
        "3.0 node.off pi-2",
        "218.0 node.missing pi-1",
        "218.0 stage.ended",
        "218.0 stage.begun",
        "218.0 node.ordered nas",
        "218.0 order nas",
    ]);
}

#[test]
fn a_node_that_cannot_be_switched_off_costs_nothing_more() {
    let mut rack = going(Wake::WakeOnLan);
    rack.goes("pi-2").at("pi-1", ProgressState::PoweringOff).until(50).at("pi-1", ProgressState::Failed).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "3.0 outage.trigger",
        "3.0 stage.begun",
        "3.0 node.ordered pi-1",
        "3.0 order pi-1",
        "3.0 node.ordered pi-2",
        "3.0 order pi-2",
        "3.0 node.powering-off pi-2",
        "3.0 node.off pi-2",
        "3.0 node.powering-off pi-1",
        "5.0 node.failed pi-1",
        "5.0 stage.ended",
        "5.0 stage.begun",
        "5.0 node.ordered nas",
        "5.0 order nas",
    ]);
}

#[test]
fn a_node_that_does_not_answer_is_told_again() {
    let mut rack = going(Wake::WakeOnLan);
    rack.repeats = true;
    rack.at("pi-2", ProgressState::Running).gone("pi-1").until(60).up("pi-1", "boot-1").until(85).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "3.0 outage.trigger",
        "3.0 stage.begun",
        "3.0 node.ordered pi-1",
        "3.0 order pi-1",
        "3.0 node.ordered pi-2",
        "3.0 order pi-2",
        "6.0 order pi-1",
        "8.0 order pi-1",
    ]);
}

#[test]
fn the_rest_hurries_when_the_battery_will_not_last() {
    let mut rack = going(Wake::WakeOnLan);
    rack.at("pi-1", ProgressState::Running).at("pi-2", ProgressState::Running);
    let left = |ms| Some(Observation { runtime_ms: Some(ms), ..words("OB LB") });
    // 40 s for the stages after, and half of the reserve.
    rack.ups(left(71_000)).until(35).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "3.0 outage.trigger",
        "3.0 stage.begun",
        "3.0 node.ordered pi-1",
        "3.0 order pi-1",
        "3.0 node.ordered pi-2",
        "3.0 order pi-2",
    ]);
    rack.ups(left(69_000)).did(&["3.5 stage.begun", "3.5 node.ordered nas", "3.5 order nas"]);
    // 20 s for the master, and half of the reserve; the cut waits for those that are on their way.
    rack.ups(left(49_000)).did(&["3.5 cut in 230 s"]);
}

#[test]
fn mains_that_blips_back_begins_no_stage_and_mains_that_holds_turns_back() {
    let mut rack = going(Wake::WakeOnLan);
    rack.goes("pi-1").until(50).says("OL").goes("pi-2").until(70).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "3.0 outage.trigger",
        "3.0 stage.begun",
        "3.0 node.ordered pi-1",
        "3.0 order pi-1",
        "3.0 node.ordered pi-2",
        "3.0 order pi-2",
        "3.0 node.powering-off pi-1",
        "3.0 node.off pi-1",
        "5.0 outage.mains-back",
        "5.0 node.powering-off pi-2",
        "5.0 node.off pi-2",
        "5.0 stage.ended",
    ]);
    rack.says("OB LB").until(71).did(&["7.0 stage.begun", "7.0 node.ordered nas", "7.0 order nas"]);
    rack.at("nas", ProgressState::Running)
        .until(80)
        .says("OL")
        .until(115)
        .did(&["8.0 outage.mains-back", "11.0 abort nas"]);
    rack.at("nas", ProgressState::Aborted).did(&["11.5 node.aborted nas"]);
}

#[test]
fn mains_back_before_anybody_goes_ends_it() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.until(10).says("OB").until(100).says("OL").until(135).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "10.0 outage.mains-back",
        "13.0 outage.ended",
        "13.0 ended 1",
    ]);
}

#[test]
fn mains_back_after_the_cut_was_told_is_seen_through() {
    let mut rack = going(Wake::WakeOnLan);
    rack.goes("pi-1").goes("pi-2").goes("nas");
    rack.says("OL");
    rack.tell([Event::CutEnded { told: true, message: "told".to_owned() }]);
    rack.until(100).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "3.0 outage.trigger",
        "3.0 stage.begun",
        "3.0 node.ordered pi-1",
        "3.0 order pi-1",
        "3.0 node.ordered pi-2",
        "3.0 order pi-2",
        "3.0 node.powering-off pi-1",
        "3.0 node.off pi-1",
        "3.0 node.powering-off pi-2",
        "3.0 node.off pi-2",
        "3.0 stage.ended",
        "3.0 stage.begun",
        "3.0 node.ordered nas",
        "3.0 order nas",
        "3.0 node.powering-off nas",
        "3.0 node.off nas",
        "3.0 stage.ended",
        "3.0 cut in 40 s",
        "3.0 outage.mains-back",
        "3.0 ups.cut",
        "3.0 stage.begun",
        "3.0 master.ordered rack",
        "3.0 order rack",
    ]);
    // It does not cut, and the master runs all the same: after 40 s and a minute it counts as over.
    rack.until(1035).did(&["103.0 abort rack"]);
}

#[test]
fn who_comes_back_by_a_power_cycle_only_makes_it_go_on_to_its_end() {
    let mut rack = going(Wake::PowerCycle);
    rack.goes("pi-1").says("OL").until(65).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "3.0 outage.trigger",
        "3.0 stage.begun",
        "3.0 node.ordered pi-1",
        "3.0 order pi-1",
        "3.0 node.ordered pi-2",
        "3.0 order pi-2",
        "3.0 node.powering-off pi-1",
        "3.0 node.off pi-1",
        "3.0 outage.mains-back",
        "6.0 outage.trigger",
    ]);
    rack.goes("pi-2").goes("nas").until(70);
    rack.tell([Event::CutEnded { told: true, message: "told".to_owned() }]);
    rack.did(&[
        "6.5 node.powering-off pi-2",
        "6.5 node.off pi-2",
        "6.5 stage.ended",
        "6.5 stage.begun",
        "6.5 node.ordered nas",
        "6.5 order nas",
        "6.5 node.powering-off nas",
        "6.5 node.off nas",
        "6.5 stage.ended",
        "6.5 cut in 40 s",
        "7.0 ups.cut",
        "7.0 stage.begun",
        "7.0 master.ordered rack",
        "7.0 order rack",
    ]);
}

#[test]
fn a_cut_that_fails_lets_the_master_stay_on_mains() {
    let mut rack = going(Wake::PowerCycle);
    rack.goes("pi-1").says("OL").until(65).goes("pi-2").goes("nas").until(70).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "3.0 outage.trigger",
        "3.0 stage.begun",
        "3.0 node.ordered pi-1",
        "3.0 order pi-1",
        "3.0 node.ordered pi-2",
        "3.0 order pi-2",
        "3.0 node.powering-off pi-1",
        "3.0 node.off pi-1",
        "3.0 outage.mains-back",
        "6.0 outage.trigger",
        "6.5 node.powering-off pi-2",
        "6.5 node.off pi-2",
        "6.5 stage.ended",
        "6.5 stage.begun",
        "6.5 node.ordered nas",
        "6.5 order nas",
        "6.5 node.powering-off nas",
        "6.5 node.off nas",
        "6.5 stage.ended",
        "6.5 cut in 40 s",
    ]);
    rack.tell([Event::CutEnded { told: false, message: "refused".to_owned() }]);
    rack.until(80).did(&["7.0 ups.cut"]);
}

#[test]
fn without_a_cut_a_power_cycle_is_not_waited_for() {
    let mut rack = Rack::of(Policy { cut: false, ..policy() }, roster(Wake::PowerCycle));
    rack.until(10).says("OB LB").until(30).goes("pi-1").says("OL").until(65).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "3.0 outage.trigger",
        "3.0 stage.begun",
        "3.0 node.ordered pi-1",
        "3.0 order pi-1",
        "3.0 node.ordered pi-2",
        "3.0 order pi-2",
        "3.0 node.powering-off pi-1",
        "3.0 node.off pi-1",
        "3.0 outage.mains-back",
        "6.0 abort pi-2",
    ]);
}

/// How the cut is told for a UPS of which this is known.
fn cut_of(cut: Option<CutDelay>) -> Vec<String> {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.until(10).ups(Some(Observation { cut, ..words("OB LB") })).until(30);
    rack.goes("pi-1").goes("pi-2").log.clear();
    rack.goes("nas").until(32);
    rack.log.iter().filter(|line| line.contains("cut") || line.contains("order rack")).cloned().collect()
}

#[test]
fn the_cut_waits_for_the_master() {
    let delay = |delay_s, settable| Some(CutDelay { delay_s, settable });
    // The master's 20 s and a quarter, and 15 s.
    assert_eq!(cut_of(delay(None, true)), ["3.0 cut in 40 s"]);
    assert_eq!(cut_of(delay(Some(20), true)), ["3.0 cut in 40 s"]);
    assert_eq!(cut_of(delay(Some(90), true)), ["3.0 cut in 90 s"]);
    assert_eq!(cut_of(delay(Some(40), false)), ["3.0 cut in 40 s"]);
    assert_eq!(cut_of(delay(Some(39), false)), ["3.0 order rack"]);
    assert_eq!(cut_of(delay(None, false)), ["3.0 order rack"]);
    assert_eq!(cut_of(None), ["3.0 order rack"]);
}

#[test]
fn a_cut_that_is_not_answered_for_ten_seconds_is_given_up() {
    let mut rack = going(Wake::WakeOnLan);
    rack.goes("pi-1").goes("pi-2").goes("nas").log.clear();
    rack.until(135).did(&["13.0 ups.cut", "13.0 stage.begun", "13.0 master.ordered rack", "13.0 order rack"]);
}

#[test]
fn a_master_out_of_reach_is_waited_for_before_the_cut() {
    let mut rack = going(Wake::WakeOnLan);
    rack.gone("rack").goes("pi-1").goes("pi-2").goes("nas").log.clear();
    rack.until(200).up("rack", "boot-1").until(201).did(&["20.0 cut in 40 s"]);
    let mut rack = going(Wake::WakeOnLan);
    rack.gone("rack").goes("pi-1").goes("pi-2").goes("nas").log.clear();
    rack.until(335).did(&["33.0 stage.begun", "33.0 master.ordered rack"]);
}

#[test]
fn without_a_master_in_the_rack_the_cut_is_the_end() {
    let mut fleet: Roster = roster(Wake::PowerCycle);
    let gone: NodeName = name("rack");
    fleet.members.remove(&gone);
    let mut rack = Rack::of(policy(), fleet);
    rack.until(10).says("OB LB").until(30).goes("pi-1").goes("pi-2").log.clear();
    rack.goes("nas");
    rack.tell([Event::CutEnded { told: true, message: "told".to_owned() }]);
    // Cut at 18 s; mains is back, and whoever boots stays.
    rack.until(400).says("OL").until(450).up("pi-1", "boot-2").until(490).did(&[
        "3.0 node.powering-off nas",
        "3.0 node.off nas",
        "3.0 stage.ended",
        "3.0 cut in 15 s",
        "3.0 ups.cut",
        "40.0 outage.mains-back",
        "45.0 node.returning pi-1",
    ]);
}

#[test]
fn nut_clients_of_a_stage_are_waited_for() {
    let mut fleet = roster(Wake::WakeOnLan);
    fleet.stages[1].clients_ms = Some(30_000);
    let mut rack = Rack::of(policy(), fleet);
    rack.tell([Event::Clients { stage: "storage".to_owned(), present: true }]);
    rack.until(10).says("OB LB").until(30).goes("pi-1").goes("pi-2").goes("nas").log.clear();
    assert!(rack.core.stages_down().contains("storage"));
    rack.until(100);
    rack.tell([Event::Clients { stage: "storage".to_owned(), present: false }]);
    rack.did(&["10.0 stage.ended", "10.0 cut in 40 s"]);
    let mut rack = going(Wake::WakeOnLan);
    rack.roster.stages[1].clients_ms = Some(30_000);
    rack.tell([Event::Clients { stage: "storage".to_owned(), present: true }]);
    rack.goes("pi-1").goes("pi-2").goes("nas").log.clear();
    rack.until(335).did(&["33.0 stage.ended", "33.0 cut in 40 s"]);
}

/// The order to stay crosses the word that a node switches itself off, and only a power cycle brings that one back.
#[test]
fn a_node_that_goes_while_it_is_told_to_stay_is_not_left_behind() {
    let mut rack = going(Wake::PowerCycle);
    rack.at("pi-1", ProgressState::Running).at("pi-2", ProgressState::Running);
    rack.says("OL").until(60).at("pi-1", ProgressState::Aborted).log.clear();
    rack.at("pi-2", ProgressState::PoweringOff).did(&[
        "6.0 node.powering-off pi-2",
        "6.0 outage.trigger",
        "6.0 stage.begun",
        "6.0 node.ordered pi-1",
        "6.0 order pi-1",
    ]);
}

/// Somebody who ends a shutdown wants nobody to go, whoever is lost by that.
#[test]
fn an_abort_is_not_undone_for_a_node_that_crosses_it() {
    let mut rack = going(Wake::PowerCycle);
    rack.at("pi-1", ProgressState::Running).at("pi-2", ProgressState::Running).says("OL").until(40);
    assert!(
        rack.core
            .abort(&Context { policy: &policy(), roster: &roster(Wake::PowerCycle), now_ms: 4000, wall_ms: 1000 })
            .is_ok()
    );
    rack.log.clear();
    rack.at("pi-1", ProgressState::Aborted)
        .at("pi-2", ProgressState::PoweringOff)
        .until(95)
        .did(&["4.0 node.aborted pi-1", "4.0 node.powering-off pi-2"]);
}

/// The roster is looked at each second: a node may have a session before it is in it.
#[test]
fn a_node_that_enrols_as_mains_fails_goes_with_the_others() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    let later = rack.roster.members.remove(&name("pi-2")).unwrap();
    rack.until(10).says("OB LB").until(20);
    rack.roster.members.insert(name("pi-2"), later);
    rack.until(30).did(&[
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
