use std::collections::BTreeMap;

use rackhaven_proto::model::{Labels, NodeName, Severity};
use rackhaven_proto::v1;

use super::{kept_labels, of_rack, plain};
use crate::alerts::core::{Condition, Key, Scan};
use crate::alerts::rules::{Reached, Rule, Rules};
use crate::backup::Trouble;
use crate::store::EventRow;

/// What is wrong with the supply.
pub fn power(rules: &Rules, status: &v1::PowerStatus, scan: &mut Scan) {
    let enabled = |rule: Rule| rules.get(rule).enabled;
    let stated = |rule: Rule| Reached::stated(rules.get(rule).severity);
    match status.supply() {
        v1::Supply::Battery if enabled(Rule::OnBattery) => {
            let left = status.runtime_left_ms.map(|ms| format!(", about {} min left", ms / 60_000)).unwrap_or_default();
            scan.add(of_rack(Rule::OnBattery, "", stated(Rule::OnBattery), format!("on battery{left}")));
        }
        v1::Supply::Battery | v1::Supply::Mains => {}
        // A UPS that cannot be read is not on mains again.
        v1::Supply::Unknown | v1::Supply::Unspecified => scan.blind(Rule::OnBattery, ""),
    }
    for ups in &status.upses {
        let name = ups.name.as_str();
        if ups.supply() == v1::Supply::Unknown || !ups.problem.is_empty() {
            [Rule::BatteryLow, Rule::ReplaceBattery].iter().for_each(|rule| scan.blind(*rule, name));
            if enabled(Rule::UpsUnknown) {
                let why = if ups.problem.is_empty() { "no reading yet" } else { ups.problem.as_str() };
                let text = format!("{name} cannot be read: {why}");
                scan.add(of_rack(Rule::UpsUnknown, name, stated(Rule::UpsUnknown), text));
            }
            continue;
        }
        let charge = ups.charge_percent.map(|percent| format!(", {percent:.0} % charged")).unwrap_or_default();
        if enabled(Rule::BatteryLow) && ups.status.split_whitespace().any(|word| word == "LB") {
            scan.add(of_rack(Rule::BatteryLow, name, stated(Rule::BatteryLow), format!("{name}: battery low{charge}")));
        }
        if enabled(Rule::ReplaceBattery) && ups.replace_battery {
            let text = format!("{name} asks for a new battery");
            scan.add(of_rack(Rule::ReplaceBattery, name, stated(Rule::ReplaceBattery), text));
        }
    }
}

/// What is wrong with backups.
pub fn backups(
    rules: &Rules,
    troubles: &[(NodeName, String, Trouble)],
    labels: &BTreeMap<NodeName, Labels>,
    scan: &mut Scan,
) {
    let none = Labels::default();
    for (node, job, trouble) in troubles {
        let (rule, text) = match trouble {
            Trouble::Failed => (Rule::BackupFailed, "failed"),
            Trouble::Partial => (Rule::BackupPartial, "lacks what could not be read"),
            Trouble::Late => (Rule::BackupLate, "is late"),
            Trouble::Shrunken => (Rule::BackupShrunken, "is far smaller than before"),
            Trouble::Unverified => (Rule::BackupUnverified, "was not proved to be readable"),
            Trouble::Unusable => (Rule::BackupUnusable, "cannot be used as it is set"),
        };
        let labels = labels.get(node).unwrap_or(&none);
        if rules.looks_at(rule, node, labels) {
            scan.add(Condition {
                key: Key { rule, subject: node.to_string(), instance: job.clone() },
                reached: Reached::stated(rules.get(rule).severity),
                value: None,
                text: plain(&format!("backup {job} {text}")),
                node: Some(node.to_string()),
                labels: kept_labels(labels),
            });
        }
    }
}

/// What the controller knows of itself.
#[derive(Debug, Clone, Default)]
pub struct Controller {
    /// How full its disk is, percent; none if that cannot be told.
    pub disk_percent: Option<f64>,
    /// Until its certificate ends, milliseconds.
    pub certificate_left_ms: i64,
    /// How many messages wait to be told.
    pub waiting: u64,
    /// The channels that do not take their messages, and why.
    pub failing: BTreeMap<String, String>,
}

/// What is wrong with the controller itself.
pub fn controller(rules: &Rules, of: &Controller, scan: &mut Scan) {
    let mut measured = |rule: Rule, value: f64, text: String| {
        if let Some(reached) = rules.reached(rule, value).filter(|_| rules.get(rule).enabled) {
            scan.add(Condition { value: Some(value), ..of_rack(rule, "", reached, text) });
        }
    };
    measured(Rule::ControllerQueue, of.waiting as f64, format!("{} messages wait to be told", of.waiting));
    match of.disk_percent {
        Some(percent) => {
            measured(Rule::ControllerDisk, percent, format!("the controller's disk is {percent:.0} % full"));
        }
        None => scan.blind(Rule::ControllerDisk, ""),
    }
    if of.certificate_left_ms <= 0 && rules.get(Rule::CertificateEnding).enabled {
        let text = "the controller's certificate expired".to_owned();
        scan.add(of_rack(Rule::CertificateEnding, "controller", Reached::stated(Severity::Critical), text));
    }
    let failing = rules.get(Rule::ChannelFailing);
    for (channel, reason) in of.failing.iter().filter(|_| failing.enabled) {
        let text = format!("the channel {channel} does not take its messages: {reason}");
        scan.add(of_rack(Rule::ChannelFailing, channel, Reached::stated(failing.severity), text));
    }
}

/// An event that an admin must know of, as a condition of that moment.
pub fn event(rules: &Rules, event: &EventRow, labels: Option<&Labels>) -> Option<Condition> {
    // Each shutdown is told; a board that comes back uncleanly every minute is not told each time.
    let (rule, instance) = match event.kind.as_str() {
        "shutdown.unclean" => (Rule::RebootedUncleanly, String::new()),
        "outage.trigger" => (Rule::ShutdownBegun, event.position.to_string()),
        "outage.ended" => (Rule::ShutdownEnded, event.position.to_string()),
        _ => return None,
    };
    let setting = rules.get(rule);
    let severity =
        if rule == Rule::RebootedUncleanly { setting.severity } else { event.severity.max(Severity::Warning) };
    let node: Option<NodeName> = event.node.parse().ok();
    let none = Labels::default();
    let labels = labels.unwrap_or(&none);
    let meant = node.as_ref().map_or(setting.enabled, |node| rules.looks_at(rule, node, labels));
    meant.then(|| Condition {
        key: Key { rule, subject: event.node.clone(), instance },
        reached: Reached::stated(severity.min(setting.severity.max(Severity::Warning))),
        value: None,
        text: plain(&event.message),
        node: node.map(|node| node.to_string()),
        labels: kept_labels(labels),
    })
}
