mod shipped;

use std::fmt;
use std::str::FromStr;

use rackhaven_proto::Invalid;
use rackhaven_proto::model::{Labels, NodeName, Severity};
use serde::{Deserialize, Serialize};

pub use shipped::{RULES, Rule, Shipped};

use crate::power::config::Selector;

/// How one rule is set.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Whether it is looked at.
    pub enabled: bool,
    /// The value from which on it is a warning; none if it has no value or no such level.
    pub warning: Option<f64>,
    /// The value from which on it is critical, likewise.
    pub critical: Option<f64>,
    /// How much it matters where there is no value.
    pub severity: Severity,
    /// How long it must stand before it fires, milliseconds.
    pub for_ms: u64,
    /// How long it must be gone before it is over, milliseconds.
    pub resolve_ms: u64,
    /// Only these nodes; empty means all.
    pub nodes: Vec<Selector>,
}

/// All rules as they are set, and how often and together what they find is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// In the order of [`RULES`].
    settings: Vec<Setting>,
    /// How long to gather what can be told together, milliseconds.
    pub group_ms: u64,
    /// A warning that stands is told again after this, milliseconds.
    pub repeat_warning_ms: u64,
    /// The same for what is critical.
    pub repeat_critical_ms: u64,
}

/// How far a value has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// What it is worth by the thresholds; none below them.
    pub raise: Option<Severity>,
    /// What it is still worth to an alert that fires: thresholds less the margin.
    pub hold: Severity,
}

impl Default for Rules {
    fn default() -> Self {
        const HOUR_MS: u64 = 3_600_000;
        let setting = |shipped: &Shipped| Setting {
            enabled: true,
            warning: shipped.warning,
            critical: shipped.critical,
            severity: shipped.severity,
            for_ms: shipped.for_s * 1000,
            resolve_ms: shipped.resolve_s * 1000,
            nodes: Vec::new(),
        };
        Self {
            settings: RULES.iter().map(setting).collect(),
            group_ms: 1000,
            repeat_warning_ms: 4 * HOUR_MS,
            repeat_critical_ms: HOUR_MS,
        }
    }
}

impl Rules {
    /// How a rule is set.
    pub fn get(&self, rule: Rule) -> &Setting {
        &self.settings[rule.index()]
    }

    /// The same, to set it.
    pub fn get_mut(&mut self, rule: Rule) -> &mut Setting {
        &mut self.settings[rule.index()]
    }

    /// After how long what stands is told again, milliseconds.
    pub fn repeat_ms(&self, severity: Severity) -> u64 {
        if severity == Severity::Critical { self.repeat_critical_ms } else { self.repeat_warning_ms }
    }

    /// Whether a rule looks at a node.
    pub fn looks_at(&self, rule: Rule, node: &NodeName, labels: &Labels) -> bool {
        let setting = self.get(rule);
        let named = setting.nodes.is_empty() || setting.nodes.iter().any(|selector| selector.matches(node, labels));
        setting.enabled && named
    }

    /// How far `value` has gone by a rule; none if it is not worth a word.
    pub fn reached(&self, rule: Rule, value: f64) -> Option<Reached> {
        let setting = self.get(rule);
        let sign = if rule.shipped().less_is_worse { -1.0 } else { 1.0 };
        let at = |slack: f64| {
            let over =
                |threshold: Option<f64>| threshold.is_some_and(|threshold| sign * value >= sign * threshold - slack);
            match (over(setting.critical), over(setting.warning)) {
                (true, _) => Some(Severity::Critical),
                (false, true) => Some(Severity::Warning),
                (false, false) => None,
            }
        };
        Some(Reached { raise: at(0.0), hold: at(rule.shipped().margin)? })
    }
}

impl Reached {
    /// What is or is not, without a value.
    pub fn stated(severity: Severity) -> Self {
        Self { raise: Some(severity), hold: severity }
    }
}

impl Rule {
    fn index(self) -> usize {
        self as usize
    }

    /// What is known of it from the start.
    pub fn shipped(self) -> &'static Shipped {
        &RULES[self.index()]
    }

    /// Its name, such as `disk-full`.
    pub fn as_str(self) -> &'static str {
        self.shipped().name
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Rule {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = RULES.iter().find(|shipped| shipped.name == text);
        found.map(|shipped| shipped.rule).ok_or_else(|| Invalid::new("rule", format!("there is no rule {text:?}")))
    }
}

impl Serialize for Rule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{RULES, Reached, Rule, Rules, Severity};

    #[test]
    fn the_table_is_in_the_order_of_the_rules() {
        for (index, shipped) in RULES.iter().enumerate() {
            assert_eq!(shipped.rule.index(), index, "{}", shipped.name);
            assert_eq!(shipped.name.parse(), Ok(shipped.rule));
            let in_order =
                |(warning, critical)| if shipped.less_is_worse { critical < warning } else { warning < critical };
            assert!(!shipped.advice.is_empty() && shipped.warning.zip(shipped.critical).is_none_or(in_order));
        }
    }

    /// The document lists each rule, and no other.
    #[test]
    fn every_rule_is_documented() {
        let document = include_str!("../../../../docs/alerts.md");
        let (_, section) = document.split_once("\n## Rules\n").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        let listed: Vec<&str> =
            section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        assert_eq!(listed, RULES.iter().map(|shipped| shipped.name).collect::<Vec<_>>());
    }

    #[test]
    fn values_golden() {
        use Severity::{Critical, Warning};
        let rules = Rules::default();
        let raised = |severity| Some(Reached { raise: Some(severity), hold: severity });
        for (rule, value, reached) in [
            (Rule::DiskFull, 87.9, None),
            (Rule::DiskFull, 88.0, Some(Reached { raise: None, hold: Warning })),
            (Rule::DiskFull, 90.0, raised(Warning)),
            (Rule::DiskFull, 95.0, Some(Reached { raise: Some(Warning), hold: Critical })),
            (Rule::DiskFull, 97.0, raised(Critical)),
            (Rule::CpuHigh, 100.0, raised(Warning)),
            (Rule::DiskFull, f64::NAN, None),
            (Rule::DiskFullSoon, 26.1, None),
            (Rule::DiskFullSoon, 26.0, Some(Reached { raise: None, hold: Warning })),
            (Rule::DiskFullSoon, 24.0, raised(Warning)),
            (Rule::DiskFullSoon, 0.0, raised(Critical)),
        ] {
            assert_eq!(rules.reached(rule, value), reached, "{rule} at {value}");
        }
    }
}
