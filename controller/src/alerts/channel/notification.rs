use std::collections::BTreeMap;

use rackhaven_proto::model::Severity;

/// What is told in one message: alerts that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// Unique for ever. A receiver that saw it already may drop the message.
    pub id: String,
    /// The cluster's name.
    pub cluster: String,
    /// What is told, worst first.
    pub items: Vec<Item>,
    /// When it was put together, milliseconds since 1970-01-01 UTC.
    pub sent_unix_ms: i64,
    /// The fleet's verdict in one line, as `ctl status` has it.
    pub status_line: String,
}

/// One alert in a notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The same for the same alert, from firing to resolved and when it fires again.
    pub key: String,
    /// The rule's name.
    pub rule: String,
    /// Why it is told.
    pub state: ItemState,
    /// How bad it is, or was.
    pub severity: Severity,
    /// The node that it is about, if it is about one.
    pub node: Option<String>,
    /// What on it: a mount point, a unit, a UPS; empty if there is only one.
    pub instance: String,
    /// What is so, in one line.
    pub summary: String,
    /// What to do about it; may be empty.
    pub advice: String,
    /// What was measured, if it is a measurement.
    pub value: Option<f64>,
    /// Since when, milliseconds since 1970-01-01 UTC.
    pub since_unix_ms: i64,
    /// When it ended, for a resolved one.
    pub ended_unix_ms: Option<i64>,
    /// The node's labels and the rule's.
    pub labels: BTreeMap<String, String>,
}

/// Why an alert is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemState {
    /// It began, or became worse.
    Firing,
    /// It ended.
    Resolved,
    /// It goes on.
    Repeated,
    /// Nothing is wrong: an admin tries the channel.
    Test,
}

impl ItemState {
    /// The word of the messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
            Self::Repeated => "repeated",
            Self::Test => "test",
        }
    }
}
