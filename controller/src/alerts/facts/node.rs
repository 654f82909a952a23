use std::collections::BTreeMap;

use rackhaven_proto::model::{NodeState, Severity};
use rackhaven_proto::v1;

use super::{kept_labels, plain};
use crate::alerts::core::{Condition, Key, Scan};
use crate::alerts::forecast::{Forecast, Trend};
use crate::alerts::rules::{Reached, Rule, Rules};
use crate::fleet::{CERTIFICATE_MS, NodeView, span, storage_ails};

/// The rules that look at samples.
const OF_SAMPLES: [Rule; 12] = [
    Rule::CpuHigh,
    Rule::MemoryHigh,
    Rule::DiskFull,
    Rule::InodesFull,
    Rule::DiskFullSoon,
    Rule::StorageHealth,
    Rule::Temperature,
    Rule::UnderVoltage,
    Rule::Throttled,
    Rule::FailedUnits,
    Rule::K3sNotReady,
    Rule::ReadOnlyRoot,
];

/// Conditions of one node.
struct Of<'a> {
    rules: &'a Rules,
    view: &'a NodeView,
    found: Vec<Condition>,
}

impl Of<'_> {
    fn put(&mut self, rule: Rule, instance: &str, reached: Reached, value: Option<f64>, text: String) {
        if self.rules.looks_at(rule, &self.view.name, &self.view.labels) {
            let (subject, instance) = (self.view.name.to_string(), plain(instance));
            self.found.push(Condition {
                key: Key { rule, subject, instance },
                reached,
                value,
                text: plain(&text),
                node: Some(self.view.name.to_string()),
                labels: kept_labels(&self.view.labels),
            });
        }
    }

    fn stated(&mut self, rule: Rule, text: String) {
        self.put(rule, "", Reached::stated(self.rules.get(rule).severity), None, text);
    }

    fn measured(&mut self, rule: Rule, instance: &str, value: f64, text: String) {
        if let Some(reached) = self.rules.reached(rule, value) {
            self.put(rule, instance, reached, Some(value), text);
        }
    }
}

/// What is wrong with a node besides what its sample shows. `certificate_left_ms`: until its certificate ends.
pub fn node(rules: &Rules, view: &NodeView, certificate_left_ms: Option<i64>, scan: &mut Scan) {
    let mut of = Of { rules, view, found: Vec::new() };
    match view.state {
        NodeState::Down => {
            let silent = view
                .heard_ms_ago
                .map_or_else(|| "never heard of".to_owned(), |ms| format!("not heard of for {}", span(ms)));
            of.stated(Rule::NodeDown, format!("down: {silent}"));
        }
        NodeState::Unknown => scan.blind(Rule::NodeDown, view.name.as_str()),
        NodeState::Up | NodeState::Suspect | NodeState::Off => {}
    }
    if matches!(view.state, NodeState::Up | NodeState::Suspect) && view.reading.is_some() {
        if let Some(skew_ms) = view.skew_ms {
            let side = if skew_ms < 0 { "behind" } else { "ahead" };
            let text = format!("clock {} {side}", span(skew_ms.unsigned_abs()));
            of.measured(Rule::ClockSkew, "", skew_ms.unsigned_abs() as f64 / 1000.0, text);
        }
    } else {
        // What was measured before it went is neither so nor over.
        OF_SAMPLES.iter().chain([&Rule::ClockSkew]).for_each(|rule| scan.blind(*rule, view.name.as_str()));
    }
    match certificate_left_ms {
        Some(left) if left <= 0 => {
            of.put(
                Rule::CertificateEnding,
                "",
                Reached::stated(Severity::Critical),
                None,
                "certificate expired".to_owned(),
            );
        }
        Some(left) if left < CERTIFICATE_MS && view.state != NodeState::Up => {
            of.stated(Rule::CertificateEnding, format!("certificate ends in {}", span(left.unsigned_abs())));
        }
        _ => {}
    }
    of.found.into_iter().for_each(|condition| scan.add(condition));
}

/// What is wrong by a node's sample.
pub fn sample(rules: &Rules, view: &NodeView, sample: &v1::Sample) -> Vec<Condition> {
    let mut of = Of { rules, view, found: Vec::new() };
    if let Some(cpu) = &sample.cpu {
        let percent = f64::from(cpu.total_percent);
        of.measured(Rule::CpuHigh, "", percent, format!("CPU {percent:.0} % busy"));
    }
    if let Some(memory) = &sample.memory
        && let Some(percent) = share(memory.total_bytes.saturating_sub(memory.available_bytes), memory.total_bytes)
    {
        of.measured(Rule::MemoryHigh, "", percent, format!("memory {percent:.0} % used"));
    }
    for fs in sample.file_systems.iter().filter(|fs| !fs.read_only) {
        let mount = fs.mount_point.as_str();
        if let Some(percent) = used_percent(fs) {
            of.measured(Rule::DiskFull, mount, percent, format!("disk {mount} {percent:.0} % full"));
        }
        if let Some(percent) = fs.inodes_used.zip(fs.inodes_total).and_then(|(used, total)| share(used, total)) {
            of.measured(Rule::InodesFull, mount, percent, format!("inodes of {mount} {percent:.0} % used"));
        }
    }
    for storage in &sample.storage {
        let (ails, text) = storage_ails(storage);
        match (ails, storage.used_life_percent) {
            (Some(severity), _) => of.put(Rule::StorageHealth, &storage.device, Reached::stated(severity), None, text),
            (None, Some(percent)) => of.measured(Rule::StorageHealth, &storage.device, percent.into(), text),
            (None, None) => {}
        }
    }
    if let Some(hottest) = sample.temperatures.iter().max_by(|a, b| a.celsius.total_cmp(&b.celsius)) {
        let celsius = f64::from(hottest.celsius);
        of.measured(Rule::Temperature, "", celsius, format!("{celsius:.0} °C at {}", hottest.sensor));
    }
    if sample.file_systems.iter().any(|fs| fs.mount_point == "/" && fs.read_only) {
        of.stated(Rule::ReadOnlyRoot, "disk / is read-only".to_owned());
    }
    if let Some(throttling) = &sample.throttling {
        let severity = rules.get(Rule::UnderVoltage).severity;
        let mut low = |severity, text: &str| {
            of.put(Rule::UnderVoltage, "", Reached::stated(severity), None, text.to_owned());
        };
        if throttling.under_voltage_now {
            low(severity, "under-voltage: weak power supply or cable");
        } else if throttling.under_voltage_since_boot {
            low(severity.min(Severity::Warning), "under-voltage since boot");
        }
        if throttling.throttled_now {
            of.stated(Rule::Throttled, "throttled".to_owned());
        }
    }
    if let Some(units) = sample.units.as_ref().filter(|units| units.failed_count > 0) {
        let names = units.failed.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
        let text = match units.failed_count {
            1 => format!("failed unit {names}"),
            more => format!("{more} failed units: {names}{}", if more > 3 { ", …" } else { "" }),
        };
        of.stated(Rule::FailedUnits, text);
    }
    // One that is stopped on purpose is no trouble: what failed, and what does not get up.
    if let Some(k3s) = sample.k3s.as_ref().filter(|k3s| k3s.state == "failed" || k3s.state == "activating") {
        of.stated(Rule::K3sNotReady, format!("{} is {}", k3s.unit, k3s.state));
    }
    of.found
}

/// Which file systems will be full before long. `trends`: by mount point, each as far as it is known.
pub fn forecast(rules: &Rules, view: &NodeView, trends: &BTreeMap<String, Trend>, scan: &mut Scan) {
    let mut of = Of { rules, view, found: Vec::new() };
    for (mount, trend) in trends {
        match trend.forecast() {
            // The controller was restarted: what fired before stands.
            Forecast::TooEarly => scan.blind(Rule::DiskFullSoon, view.name.as_str()),
            Forecast::Steady => {}
            Forecast::FullInHours(hours) => {
                let left = span((hours * 3_600_000.0) as u64);
                of.measured(Rule::DiskFullSoon, mount, hours, format!("disk {mount} will be full in {left}"));
            }
        }
    }
    of.found.into_iter().for_each(|condition| scan.add(condition));
}

/// How full a file system is, percent, as `df` tells it; none of one that cannot fill up.
pub fn used_percent(fs: &v1::FileSystem) -> Option<f64> {
    share(fs.used_bytes, fs.used_bytes.saturating_add(fs.available_bytes)).filter(|_| !fs.read_only)
}

/// `part` of `whole` in percent; none of nothing.
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64 * 100.0)
}
