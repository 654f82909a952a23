use std::fmt;
use std::str::FromStr;

use super::Invalid;

/// A command's id, by which it is performed once however often it comes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(Box<str>);

impl CommandId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CommandId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
            return Err(Invalid::new("command.id", "is not 1 to 64 letters, digits and hyphens"));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a node can be told to do. Only these cross the wire, never a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Restart the node.
    Reboot,
    /// Switch the node off.
    PowerOff,
}

impl Operation {
    /// The operation's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reboot => "reboot",
            Self::PowerOff => "poweroff",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Operation {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        [Self::Reboot, Self::PowerOff]
            .into_iter()
            .find(|operation| operation.as_str() == text)
            .ok_or_else(|| Invalid::new("operation", format!("{text:?} is none of reboot, poweroff")))
    }
}

/// One order to one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Unique.
    pub id: CommandId,
    /// Not to be begun later than this after it was received, milliseconds.
    pub expires_in_ms: u32,
    /// Who asked.
    pub requested_by: String,
    /// Why.
    pub reason: String,
    /// What to do.
    pub operation: Operation,
}

/// How a command ended, or how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandOutcome {
    /// Received and written down.
    Accepted,
    /// Done.
    Succeeded,
    /// Tried without success: why.
    Failed(String),
    /// Came too late, and was not begun.
    Expired,
}

impl CommandOutcome {
    /// Whether nothing more will come.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Accepted)
    }
}
