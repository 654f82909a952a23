//! What people ask, and how it meets an outage.

use rackhaven_proto::model::{OrderId, ProgressState};

use super::{Rack, name, progress, words};
use crate::power::core::supply::{Cause, Observation};
use crate::power::core::{Event, Refused, Targets};
use crate::power::policy::{Shed, Wake};

impl Rack {
    fn targets(nodes: &[&str]) -> Targets {
        Targets { all: nodes.is_empty(), nodes: nodes.iter().map(|node| name(node)).collect() }
    }

    fn shutdown(&mut self, nodes: &[&str]) -> Result<u64, Refused> {
        let cause = Cause::Asked { who: "ann".to_owned(), reason: "a test".to_owned() };
        let (policy, roster) = (self.policy.clone(), self.roster.clone());
        let context = super::Context { policy: &policy, roster: &roster, ..self.context() };
        let mut core = self.core.clone();
        let (number, actions) = core.shutdown(&context, &Self::targets(nodes), cause)?;
        self.core = core;
        self.note(&actions);
        Ok(number)
    }

    fn drill(&mut self, nodes: &[&str]) -> Result<u64, Refused> {
        let cause = Cause::Asked { who: "ann".to_owned(), reason: "a test".to_owned() };
        let mut core = self.core.clone();
        let (number, actions) = core.drill(&self.context(), &Self::targets(nodes), cause)?;
        self.core = core;
        self.note(&actions);
        Ok(number)
    }

    fn abort(&mut self) -> Result<(Vec<String>, Vec<String>), Refused> {
        let mut core = self.core.clone();
        let done = core.abort(&self.context())?;
        self.core = core;
        self.note(&done.actions);
        let names = |nodes: &[rackhaven_proto::model::NodeName]| nodes.iter().map(ToString::to_string).collect();
        Ok((names(&done.kept), names(&done.coming_back)))
    }
}

#[test]
fn one_node_is_taken_down_and_stays_so() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    assert_eq!(rack.shutdown(&["nas"]), Ok(1));
    assert_eq!(rack.shutdown(&["pi-1"]), Err(Refused::Busy { number: 1, kind: "manual" }));
    assert_eq!(rack.drill(&["pi-1"]), Err(Refused::Busy { number: 1, kind: "manual" }));
    rack.until(50).goes("nas").until(6000).did(&[
        "0.0 begun 1 manual",
        "0.0 outage.trigger",
        "0.0 stage.begun",
        "0.0 node.ordered nas",
        "0.0 order nas",
        "5.0 node.powering-off nas",
        "5.0 node.off nas",
        "5.0 stage.ended",
        "5.0 outage.ended",
        "5.0 ended 1",
    ]);
    // An outage that finds it off leaves it off; who switches it on has it back.
    rack.says("OB").until(6050).says("OL").until(6100).did(&[
        "600.0 begun 2 mains",
        "600.0 outage.on-battery",
        "605.0 outage.mains-back",
        "608.0 outage.ended",
        "608.0 ended 2",
    ]);
    rack.up("nas", "boot-2").did(&[]);
    assert!(rack.core.state().held.is_empty());
}

#[test]
fn all_are_taken_down_the_master_last_and_nothing_is_cut() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    assert_eq!(rack.shutdown(&[]), Ok(1));
    rack.goes("pi-1").goes("pi-2").until(10).goes("nas").at("rack", ProgressState::Running).did(&[
        "0.0 begun 1 manual",
        "0.0 outage.trigger",
        "0.0 stage.begun",
        "0.0 node.ordered pi-1",
        "0.0 order pi-1",
        "0.0 node.ordered pi-2",
        "0.0 order pi-2",
        "0.0 node.powering-off pi-1",
        "0.0 node.off pi-1",
        "0.0 node.powering-off pi-2",
        "0.0 node.off pi-2",
        "0.0 stage.ended",
        "0.0 stage.begun",
        "0.0 node.ordered nas",
        "0.0 order nas",
        "1.0 node.powering-off nas",
        "1.0 node.off nas",
        "1.0 stage.ended",
        "1.0 stage.begun",
        "1.0 master.ordered rack",
        "1.0 order rack",
    ]);
    rack.at("rack", ProgressState::PoweringOff).log.clear();
    rack.until(3000).restart(false).up("rack", "boot-2").did(&[
        "216.0 node.missing rack",
        "216.0 stage.ended",
        "216.0 outage.ended",
        "216.0 ended 1",
    ]);
}

#[test]
fn an_aborted_shutdown_keeps_who_is_there_and_brings_the_others_back() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    assert_eq!(rack.abort(), Err(Refused::NothingToAbort));
    assert_eq!(rack.shutdown(&["pi-1", "pi-2"]), Ok(1));
    rack.goes("pi-1").at("pi-2", ProgressState::Running).log.clear();
    rack.until(10);
    assert_eq!(rack.abort(), Ok((vec!["pi-2".to_owned()], vec!["pi-1".to_owned()])));
    rack.at("pi-2", ProgressState::Aborted).until(65).up("pi-1", "boot-2").did(&[
        "1.0 outage.trigger",
        "1.0 abort pi-2",
        "1.0 wake pi-1",
        "1.0 node.waking pi-1",
        "1.0 node.aborted pi-2",
        "6.5 node.returning pi-1",
        "6.5 node.back pi-1",
        "6.5 outage.ended",
        "6.5 ended 1",
    ]);
}

#[test]
fn a_shutdown_that_an_outage_overtakes_goes_on_for_those_on_their_way() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    assert_eq!(rack.shutdown(&["pi-1", "pi-2"]), Ok(1));
    rack.at("pi-1", ProgressState::Running).log.clear();
    rack.until(10).says("OB").until(25).did(&[
        "1.0 outage.ended",
        "1.0 ended 1",
        "1.0 begun 2 mains",
        "1.0 outage.on-battery",
        "1.0 stage.begun",
    ]);
    // Mains is back: neither is kept, and neither is woken.
    rack.at("pi-2", ProgressState::Running).says("OL").until(70).did(&["2.5 outage.mains-back"]);
    rack.goes("pi-1").goes("pi-2").until(1000).did(&[
        "7.0 node.powering-off pi-1",
        "7.0 node.off pi-1",
        "7.0 node.powering-off pi-2",
        "7.0 node.off pi-2",
        "7.0 outage.ended",
        "7.0 ended 2",
    ]);
}

#[test]
fn a_drill_goes_stage_by_stage_learns_and_makes_workloads_welcome_again() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    assert_eq!(rack.drill(&["pi-1", "nas"]), Ok(1));
    rack.until(50).at("pi-1", ProgressState::Drilled).until(90).at("nas", ProgressState::Drilled).did(&[
        "0.0 begun 1 drill",
        "0.0 outage.trigger",
        "0.0 stage.begun",
        "0.0 node.ordered pi-1",
        "0.0 order pi-1",
        "5.0 node.back pi-1",
        "5.0 stage.ended",
        "5.0 stage.begun",
        "5.0 node.ordered nas",
        "5.0 order nas",
        "9.0 node.back nas",
        "9.0 stage.ended",
        "9.0 outage.ended",
        "9.0 ended 1",
    ]);
    let expected = |rack: &Rack, node| rack.core.expected_ms(&rack.context(), &name(node));
    assert_eq!((expected(&rack, "pi-1"), expected(&rack, "nas")), ((20_000, true), (19_000, true)));
    assert_eq!(expected(&rack, "pi-2"), (20_000, false));
}

#[test]
fn a_drill_that_an_outage_overtakes_is_ended() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    assert_eq!(rack.drill(&["pi-1", "pi-2"]), Ok(1));
    rack.at("pi-1", ProgressState::Running).log.clear();
    rack.until(10).says("OB").did(&[
        "1.0 outage.ended",
        "1.0 ended 1",
        "1.0 begun 2 mains",
        "1.0 outage.on-battery",
        "1.0 abort pi-1",
        "1.0 abort pi-2",
    ]);
}

#[test]
fn on_battery_an_admin_may_decide_first_and_take_it_back() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.until(10).says("OB").until(20);
    assert_eq!(rack.shutdown(&[]), Ok(1));
    rack.at("pi-1", ProgressState::Running).until(30).did(&[
        "1.0 begun 1 mains",
        "1.0 outage.on-battery",
        "2.0 outage.trigger",
        "2.0 stage.begun",
        "2.0 node.ordered pi-1",
        "2.0 order pi-1",
        "2.0 node.ordered pi-2",
        "2.0 order pi-2",
    ]);
    assert_eq!(rack.abort(), Ok((vec!["pi-1".to_owned(), "pi-2".to_owned()], Vec::new())));
    rack.until(40).at("pi-1", ProgressState::Aborted).at("pi-2", ProgressState::Aborted).until(200).did(&[
        "3.0 abort pi-1",
        "3.0 abort pi-2",
        "3.0 outage.trigger",
    ]);
}

#[test]
fn a_trigger_that_still_holds_begins_an_aborted_shutdown_again() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.until(10).says("OB LB").until(30).log.clear();
    rack.at("pi-1", ProgressState::Running);
    assert!(rack.abort().is_ok());
    rack.at("pi-1", ProgressState::Aborted).at("pi-2", ProgressState::Aborted).until(52).did(&[
        "3.0 abort pi-1",
        "3.0 abort pi-2",
        "3.0 outage.trigger",
        "5.0 outage.trigger",
        "5.0 stage.begun",
        "5.0 node.ordered pi-1",
        "5.0 order pi-1",
        "5.0 node.ordered pi-2",
        "5.0 order pi-2",
    ]);
}

#[test]
fn an_aborted_shedding_is_not_begun_again() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.roster.stages[0].shed = Some(Shed { charge_percent: None, time_ms: Some(5000), runtime_ms: None });
    rack.until(10).says("OB").until(85).log.clear();
    assert!(rack.abort().is_ok());
    rack.at("pi-1", ProgressState::Aborted).at("pi-2", ProgressState::Aborted).until(600).did(&[
        "8.5 abort pi-1",
        "8.5 abort pi-2",
        "8.5 outage.trigger",
    ]);
}

#[test]
fn after_the_cut_was_told_it_is_too_late() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.until(10).ups(Some(Observation { charge_percent: Some(5.0), ..words("OB LB") }));
    rack.goes("pi-1").goes("pi-2").goes("nas");
    assert_eq!(rack.abort(), Err(Refused::TooLate));
}

#[test]
fn a_machine_that_somebody_stops_at_it_is_not_told_to_stay() {
    let mut rack = Rack::new(Wake::WakeOnLan);
    let local = format!("{}boot-1", OrderId::LOCAL);
    for (order_id, told) in [(local.as_str(), &[][..]), ("mains-9-9", &["0.0 abort pi-1"][..])] {
        let progress = progress(order_id, ProgressState::Running);
        rack.tell([Event::Progress { node: name("pi-1"), progress }]);
        rack.did(told);
    }
}
