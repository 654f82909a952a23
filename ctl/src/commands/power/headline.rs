//! The first line: what matters now.

use rackhaven_proto::model::Supply;

use super::outage::OutageReport;
use super::report::{Phase, PowerReport};
use crate::style::Style;
use crate::units::{count, spoken};

/// States of a node that is not at work.
const GONE: [&str; 2] = ["off", "missing"];

/// What matters now, in a sentence, and how bad it is.
pub(super) fn headline(report: &PowerReport) -> (Style, String) {
    let supply_for = spoken(report.supply_for_seconds as u64);
    match (report.phase, &report.outage) {
        (Phase::Restoring, Some(outage)) if report.supply == Supply::Unknown => {
            (Style::Bad, format!("SUPPLY UNKNOWN for {supply_for}, after an outage: {}", nodes(outage, true)))
        }
        (Phase::Restoring, Some(outage)) => {
            (Style::Warn, format!("MAINS IS BACK for {supply_for}: {}", nodes(outage, true)))
        }
        (Phase::Restoring, None) => (Style::Warn, format!("MAINS IS BACK for {supply_for}")),
        (Phase::ShuttingDown, outage) => {
            let progress = outage.as_ref().map_or_else(String::new, |outage| format!("{}; ", progress(outage)));
            let left = match (report.runtime_left_seconds, report.supply) {
                (Some(left), Supply::Battery | Supply::Unknown) => format!("battery for {}", spoken(left as u64)),
                (_, Supply::Mains) => "on mains".to_owned(),
                (None, _) => format!("{} for {supply_for}", report.supply_words()),
            };
            let all_gone = outage.as_ref().is_some_and(|outage| outage.count(&GONE) == outage.nodes.len());
            let what = if all_gone { "SHUT DOWN" } else { "SHUTTING DOWN" };
            (Style::Bad, format!("{what}: {progress}{left}"))
        }
        (Phase::OnBattery, _) => {
            let what = match report.supply {
                Supply::Unknown => format!("ON BATTERY WHEN LAST SEEN, not read for {supply_for}"),
                _ => format!("ON BATTERY for {supply_for}"),
            };
            let left = match report.runtime_left_seconds {
                Some(left) => format!("{} left", spoken(left as u64)),
                None => "the UPS does not tell what is left".to_owned(),
            };
            let begins = match report.begins_in_seconds {
                Some(seconds) if seconds < 1.0 => "shutdown begins now".to_owned(),
                Some(seconds) => format!("shutdown begins in {}", spoken(seconds as u64)),
                None => "when the shutdown begins is not known".to_owned(),
            };
            (Style::Bad, format!("{what}: {left}, {begins}"))
        }
        (Phase::None, Some(outage)) if outage.is_drill() => (Style::Warn, drill(outage)),
        (Phase::None, _) => {
            (Style::Plain, "NO UPS: nothing watches the mains; nodes go down only when told to".to_owned())
        }
        (Phase::Normal, Some(outage)) if outage.is_drill() => {
            (Style::Warn, format!("{}; {}", drill(outage), report.supply_words()))
        }
        (Phase::Normal, _) => match report.supply {
            Supply::Mains => (Style::Good, format!("ON MAINS for {supply_for}{}", report.reserve())),
            Supply::Battery => (Style::Bad, format!("ON BATTERY for {supply_for}")),
            Supply::Unknown => {
                let text =
                    format!("SUPPLY UNKNOWN for {supply_for}: no UPS can be read; that alone switches nothing off");
                (Style::Bad, text)
            }
        },
    }
}

/// The same in few words, for a line among others.
pub(super) fn brief(report: &PowerReport) -> (Style, String) {
    let supply_for = spoken(report.supply_for_seconds as u64);
    let (style, what) = match (report.phase, report.supply) {
        (Phase::ShuttingDown, Supply::Battery) => (Style::Bad, format!("SHUTTING DOWN · on battery {supply_for}")),
        (Phase::ShuttingDown, _) => (Style::Bad, "SHUTTING DOWN".to_owned()),
        (Phase::Restoring, Supply::Unknown) => (Style::Bad, format!("SUPPLY UNKNOWN {supply_for}, after an outage")),
        (Phase::Restoring, _) => (Style::Warn, format!("MAINS IS BACK {supply_for}")),
        (_, Supply::Mains) => (Style::Good, "on mains".to_owned()),
        (Phase::OnBattery, Supply::Unknown) => {
            (Style::Bad, format!("ON BATTERY WHEN LAST SEEN, not read {supply_for}"))
        }
        (_, Supply::Battery) => (Style::Bad, format!("ON BATTERY {supply_for}")),
        (Phase::None, Supply::Unknown) => (Style::Dim, "no UPS".to_owned()),
        (_, Supply::Unknown) => (Style::Bad, format!("SUPPLY UNKNOWN {supply_for}")),
    };
    let mut parts = vec![what];
    if report.supply == Supply::Mains {
        parts.extend(report.charge_percent().map(|charge| format!("ups {charge:.0} %")));
        parts.extend(report.runtime_seconds().map(spoken));
    } else {
        parts.extend(report.runtime_left_seconds.map(|left| format!("{} left", spoken(left as u64))));
    }
    parts.extend(report.begins_in_seconds.map(|seconds| format!("shutdown in {}", spoken(seconds as u64))));
    (style, parts.join(" · "))
}

/// How far the nodes are on their way down.
fn progress(outage: &OutageReport) -> String {
    let (all, off, missing) = (outage.nodes.len(), outage.count(&["off"]), outage.count(&["missing"]));
    let moving = outage.count(&["ordered", "stopping", "powering-off"]);
    let mut parts = vec![format!("{off} of {all} off")];
    parts.extend((moving > 0).then(|| format!("{moving} going")));
    parts.extend((missing > 0).then(|| format!("{missing} unconfirmed")));
    parts.join(", ")
}

/// How far the nodes are: of how many, and those that are neither at work nor off.
pub(super) fn nodes(outage: &OutageReport, returning: bool) -> String {
    let all = outage.nodes.len();
    let back = outage.count(&["back", "running"]);
    let off = outage.count(&GONE);
    let moving = [
        ("ordered", outage.count(&["ordered"])),
        ("stopping", outage.count(&["stopping"])),
        ("powering off", outage.count(&["powering-off"])),
        ("returning", outage.count(&["returning"])),
    ];
    let moving = moving.iter().filter(|(_, count)| *count > 0).map(|(word, count)| format!("{count} {word}"));
    let first = match returning {
        true => format!("{back} of {} up", count(all, "node")),
        false => format!("{off} of {} off", count(all, "node")),
    };
    let mut parts = vec![first];
    parts.extend(moving);
    if returning && off > 0 {
        parts.push(format!("{off} off"));
    }
    parts.join(", ")
}

/// The stage whose nodes are on their way now; the last of several.
pub(super) fn stage(outage: &OutageReport) -> Option<&str> {
    let moving = ["ordered", "stopping", "powering-off"];
    outage.nodes.iter().rfind(|node| moving.contains(&node.state.as_str())).map(|node| node.stage.as_str())
}

fn drill(outage: &OutageReport) -> String {
    let through = outage.count(&["back"]);
    format!("DRILL: {through} of {} through, nothing is switched off", count(outage.nodes.len(), "node"))
}

impl PowerReport {
    /// The supply in a sentence.
    fn supply_words(&self) -> &'static str {
        match self.supply {
            Supply::Mains => "on mains",
            Supply::Battery => "on battery",
            Supply::Unknown => "supply unknown",
        }
    }

    /// What the batteries hold, and what the shutdown takes of it.
    fn reserve(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.charge_percent().map(|charge| format!("battery {charge:.0} %")));
        parts.extend(self.runtime_seconds().map(|runtime| format!("good for {}", spoken(runtime))));
        if self.critical_path_seconds >= 1.0 {
            parts.push(format!("a shutdown takes {}", spoken(self.critical_path_seconds as u64)));
        }
        if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
    }

    /// Charge of the emptiest battery.
    fn charge_percent(&self) -> Option<f32> {
        self.upses.iter().filter_map(|ups| ups.charge_percent).min_by(f32::total_cmp)
    }

    /// Runtime of the battery that ends first.
    fn runtime_seconds(&self) -> Option<u64> {
        self.upses.iter().filter_map(|ups| ups.runtime_seconds).min().map(u64::from)
    }
}
