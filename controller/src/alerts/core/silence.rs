use std::fmt;
use std::str::FromStr;

use rackhaven_proto::Invalid;
use serde::{Deserialize, Serialize};

use super::Alert;

/// What must be so of an alert: `rule`, `node`, `subject`, `instance`, `severity`, or a label of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matcher {
    /// Which property.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// For a time nothing is told of what it matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its number.
    pub id: u64,
    /// All of these must be so; never empty.
    pub matchers: Vec<Matcher>,
    /// Until when, milliseconds since 1970-01-01 UTC.
    pub until_unix_ms: i64,
    /// Who made it.
    pub by: String,
    /// Why; may be empty.
    pub reason: String,
}

impl Matcher {
    /// Longest key or value, in bytes.
    const MAX_BYTES: usize = 256;

    fn matches(&self, alert: &Alert) -> bool {
        let is = match self.key.as_str() {
            "rule" => Some(alert.key.rule.as_str()),
            "node" => alert.node.as_deref(),
            "subject" => Some(alert.key.subject.as_str()),
            "instance" => Some(alert.key.instance.as_str()),
            "severity" => Some(alert.severity.as_str()),
            label => alert.labels.get(label).map(String::as_str),
        };
        is == Some(self.value.as_str())
    }
}

impl Silence {
    /// Whether it is about an alert.
    pub fn matches(&self, alert: &Alert) -> bool {
        !self.matchers.is_empty() && self.matchers.iter().all(|matcher| matcher.matches(alert))
    }
}

impl FromStr for Matcher {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refused = |reason: String| Invalid::new("matcher", reason);
        let (key, value) = text
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| refused(format!("{text:?} is not KEY=VALUE, such as node=pi-3")))?;
        if text.len() > Self::MAX_BYTES || text.chars().any(char::is_control) {
            return Err(refused(format!("is longer than {} bytes or holds a control character", Self::MAX_BYTES)));
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}
