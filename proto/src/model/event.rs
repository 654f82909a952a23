use std::fmt;
use std::str::FromStr;

use super::{Invalid, plain_text};

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Wants looking at.
    Warning,
    /// Must be acted on.
    Critical,
}

impl Severity {
    /// The severity's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Severity {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        [Self::Info, Self::Warning, Self::Critical]
            .into_iter()
            .find(|severity| severity.as_str() == text)
            .ok_or_else(|| Invalid::new("severity", format!("{text:?} is none of info, warning, critical")))
    }
}

/// An event's id: unique for ever, so that an event that is sent twice is stored once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Box<str>);

impl EventId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
            return Err(Invalid::new("event.id", "is not 1 to 64 letters, digits and hyphens"));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Unique for ever.
    pub id: EventId,
    /// A stable word with dots, such as `agent.started`.
    pub kind: String,
    /// How much it matters.
    pub severity: Severity,
    /// For a person.
    pub message: String,
    /// By the observer's wall clock, milliseconds since 1970-01-01 UTC.
    pub wall_unix_ms: i64,
    /// How long before sending it happened, milliseconds of the observer's monotonic clock; none across a reboot.
    pub age_ms: Option<u64>,
}

impl Event {
    /// Longest message, in bytes.
    pub const MAX_MESSAGE_BYTES: usize = 1024;

    /// Checks kind and message.
    pub fn check(&self) -> Result<(), Invalid> {
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
        if self.kind.is_empty() || self.kind.len() > 64 || !self.kind.bytes().all(allowed) {
            return Err(Invalid::new("event.kind", "is not 1 to 64 lower-case letters, digits, dots and hyphens"));
        }
        plain_text("event.message", &self.message, Self::MAX_MESSAGE_BYTES)
    }
}
