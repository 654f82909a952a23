use rackhaven_proto::v1;

use super::catalogue::*;
use super::page::{Page, Value, ratio, seconds};

/// The words of `ups.status` that NUT's drivers tell.
const FLAGS: [&str; 15] =
    ["OL", "OB", "LB", "HB", "RB", "CHRG", "DISCHRG", "BYPASS", "CAL", "OFF", "OVER", "TRIM", "BOOST", "FSD", "ALARM"];
const SUPPLIES: [&str; 3] = ["mains", "battery", "unknown"];
const PHASES: [&str; 4] = ["normal", "on-battery", "shutting-down", "restoring"];
const OUTAGE_STATES: [&str; 8] =
    ["running", "ordered", "stopping", "powering-off", "off", "missing", "returning", "back"];

/// Writes all of the supply.
pub(super) fn write(page: &mut Page, status: &v1::PowerStatus) {
    if !status.upses.is_empty() {
        let supply = match status.supply() {
            v1::Supply::Mains => "mains",
            v1::Supply::Battery => "battery",
            v1::Supply::Unknown | v1::Supply::Unspecified => "unknown",
        };
        page.family(&POWER_SUPPLY).put_one_of(&[], &SUPPLIES, supply);
    }
    let phase = match status.phase() {
        v1::PowerPhase::OnBattery => "on-battery",
        v1::PowerPhase::ShuttingDown => "shutting-down",
        v1::PowerPhase::Restoring => "restoring",
        v1::PowerPhase::Normal | v1::PowerPhase::None | v1::PowerPhase::Unspecified => "normal",
    };
    page.family(&POWER_PHASE).put_one_of(&[], &PHASES, phase);
    if let Some(ms) = status.runtime_left_ms {
        page.single(&POWER_LEFT, seconds(ms));
    }
    if let Some(ms) = status.begins_in_ms {
        page.single(&POWER_BEGINS, seconds(ms));
    }
    page.single(&POWER_PATH, seconds(status.critical_path_ms));
    page.single(&POWER_MARGIN, seconds(status.margin_ms));
    if let Some(outage) = &status.outage {
        page.family(&POWER_OUTAGE).put(&[&outage.kind], seconds(outage.begun_unix_ms));
        let mut nodes = page.family(&POWER_OUTAGE_NODES);
        for state in OUTAGE_STATES {
            let count = outage.nodes.iter().filter(|node| node.state == state).count();
            nodes.put(&[state], count as u64);
        }
    }
    let mut witnesses = page.family(&WITNESS_UP);
    for witness in distinct(&status.witnesses, |witness| &witness.address) {
        witnesses.put(&[&witness.address], witness.answering);
    }
    upses(page, &distinct(&status.upses, |ups| &ups.name));
}

/// What is configured twice is written once.
fn distinct<T>(all: &[T], name: impl Fn(&T) -> &str) -> Vec<&T> {
    let first = |(at, one): &(usize, &T)| !all[..*at].iter().any(|before| name(before) == name(one));
    all.iter().enumerate().filter(first).map(|(_, one)| one).collect()
}

/// Whether what was read of it is so now.
fn is_read(ups: &v1::UpsStatus) -> bool {
    ups.reading_age_ms.is_some() && ups.problem.is_empty()
}

fn upses(page: &mut Page, upses: &[&v1::UpsStatus]) {
    let mut up = page.family(&UPS_UP);
    for ups in upses {
        up.put(&[&ups.name], is_read(ups));
    }
    let mut infos = page.family(&UPS);
    for ups in upses.iter().filter(|ups| !ups.model.is_empty()) {
        infos.put(&[&ups.name, &ups.model], true);
    }
    let mut flags = page.family(&UPS_STATUS);
    for ups in upses.iter().filter(|ups| is_read(ups)) {
        for flag in FLAGS {
            flags.put(&[&ups.name, flag], ups.status.split_ascii_whitespace().any(|word| word == flag));
        }
    }
    of_ups(page, &UPS_CHARGE, upses, |ups| ups.charge_percent.map(ratio));
    of_ups(page, &UPS_RUNTIME, upses, |ups| ups.runtime_seconds.filter(|runtime| *runtime > 0));
    of_ups(page, &UPS_LOAD, upses, |ups| ups.load_percent.map(ratio));
    of_ups(page, &UPS_INPUT, upses, |ups| ups.input_volts);
    of_ups(page, &UPS_BATTERY_VOLTS, upses, |ups| ups.battery_volts);
    of_ups(page, &UPS_TEMPERATURE, upses, |ups| ups.temperature_celsius);
}

fn of_ups<V: Value>(
    page: &mut Page,
    family: &'static Family,
    upses: &[&v1::UpsStatus],
    value: impl Fn(&v1::UpsStatus) -> Option<V>,
) {
    let mut samples = page.family(family);
    for ups in upses.iter().filter(|ups| is_read(ups)) {
        if let Some(value) = value(ups) {
            samples.put(&[&ups.name], value);
        }
    }
}
