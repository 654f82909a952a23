use super::Invalid;

/// The name or pattern of a unit of systemd's, such as `k3s`, `ssh.service` or `k3s*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitPattern(Box<str>);

impl UnitPattern {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for UnitPattern {
    type Err = Invalid;

    /// What systemd.unit(5) allows in names, and `*` and `?`. It never begins with a hyphen: it becomes an argument.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@*?".contains(&byte);
        if text.is_empty() || text.len() > 255 || text.starts_with('-') || !text.bytes().all(allowed) {
            return Err(Invalid::new("unit", format!("{text:?} is not a name of a unit, such as k3s or ssh.service")));
        }
        Ok(Self(text.into()))
    }
}

impl std::fmt::Display for UnitPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

/// Which lines of a node's journal are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Only of these; empty means all.
    pub units: Vec<UnitPattern>,
    /// Not older than so many milliseconds.
    pub since_ms: Option<u64>,
    /// Only the newest so many.
    pub limit: Option<u32>,
    /// Whether to go on with what is written then.
    pub follow: bool,
    /// Only what is as bad as this or worse, as in syslog(3).
    pub priority: Option<u8>,
}

impl LogQuery {
    /// Most units.
    pub const MOST_UNITS: usize = 16;
    /// Most lines by `limit`.
    pub const MOST_LINES: u32 = 100_000;
}

/// What a node is to send of its journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOrder {
    /// By which the answer is known.
    pub id: LogOrderId,
    /// What is wanted.
    pub query: LogQuery,
    /// Who asked.
    pub requested_by: String,
}

/// The id of an order for logs: 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogOrderId(Box<str>);

impl LogOrderId {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for LogOrderId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Invalid::new("log_order.id", "is not 32 hexadecimal digits"));
        }
        Ok(Self(text.into()))
    }
}
