use std::collections::BTreeMap;
use std::fmt;

use rackhaven_proto::model::Severity;
use serde::{Deserialize, Serialize};

use super::super::rules::{Reached, Rule};

/// What an alert is about. As text (`disk-full:pi-3:/srv`) it names the alert for people, and for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// By which rule.
    pub rule: Rule,
    /// Which node or UPS; empty for the rack or the controller.
    pub subject: String,
    /// Which part of it, such as a mount point; empty for the whole.
    pub instance: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, subject, instance } = self;
        match (subject.is_empty(), instance.is_empty()) {
            (_, false) => write!(f, "{rule}:{subject}:{instance}"),
            (false, true) => write!(f, "{rule}:{subject}"),
            (true, true) => write!(f, "{rule}"),
        }
    }
}

/// Something that is wrong, or nearly, at the moment it was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// What it is about.
    pub key: Key,
    /// How far it has gone.
    pub reached: Reached,
    /// The value, where there is one.
    pub value: Option<f64>,
    /// What it is, for a person.
    pub text: String,
    /// The node, if it is about one.
    pub node: Option<String>,
    /// The node's labels.
    pub labels: BTreeMap<String, String>,
}

/// Where an alert is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Its condition has not stood for long enough.
    Pending,
    /// It stands.
    Firing,
    /// It is over, and kept so that it is not told again too soon.
    Resolved,
}

/// Somebody has said to know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Who.
    pub by: String,
    /// How bad it was then; what gets worse is told again.
    #[serde(with = "severity_word")]
    pub severity: Severity,
    /// When, milliseconds since 1970-01-01 UTC.
    pub unix_ms: i64,
}

/// That an alert was told to fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tell {
    /// When, the core's milliseconds.
    pub at_ms: u64,
    /// As how bad.
    #[serde(with = "severity_word")]
    pub severity: Severity,
}

/// A condition through time. Moments named `_ms` alone are of the core's clock, which goes on across restarts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// What it is about.
    pub key: Key,
    /// Where it is in its life.
    pub phase: Phase,
    /// How bad it is.
    #[serde(with = "severity_word")]
    pub severity: Severity,
    /// The last value, where there is one.
    pub value: Option<f64>,
    /// What it is, for a person.
    pub text: String,
    /// The node, if it is about one.
    pub node: Option<String>,
    /// The node's labels.
    pub labels: BTreeMap<String, String>,
    /// When its condition began.
    pub pending_ms: u64,
    /// When it fired.
    pub fired_ms: u64,
    /// When its condition began, milliseconds since 1970-01-01 UTC.
    pub since_unix_ms: i64,
    /// Since when its condition is gone.
    pub clear_ms: Option<u64>,
    /// When it was over, milliseconds since 1970-01-01 UTC.
    pub ended_unix_ms: Option<i64>,
    /// What was told last is that it fires.
    pub open: bool,
    /// When it was told to fire, oldest first; as far back as it counts.
    pub tells: Vec<Tell>,
    /// Who knows of it.
    pub acked: Option<Ack>,
}

/// A severity as its word.
mod severity_word {
    use rackhaven_proto::model::Severity;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(severity.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Severity, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
