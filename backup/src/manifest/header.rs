use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::outcome::ArchiveKind;

/// What no two archives have in common: 128 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArchiveId(pub [u8; 16]);

impl fmt::Display for ArchiveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for ArchiveId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "an archive's id is 32 hexadecimal digits".to_owned();
        let digits: Vec<u8> = text.chars().map_while(|c| c.to_digit(16)).filter_map(|d| u8::try_from(d).ok()).collect();
        if text.len() != 32 || digits.len() != 32 || text.chars().any(|c| c.is_ascii_uppercase()) {
            return Err(wrong());
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair.iter().fold(0, |byte, digit| byte << 4 | digit);
        }
        Ok(Self(id))
    }
}

impl TryFrom<String> for ArchiveId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ArchiveId> for String {
    fn from(id: ArchiveId) -> Self {
        id.to_string()
    }
}

/// One archive of those that are needed to restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainLink {
    /// Its id.
    pub id: ArchiveId,
    /// Its name in the repository.
    pub name: String,
}

/// What an archive says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The job that made it.
    pub job: String,
    /// The node that it is of.
    pub node: String,
    /// Whether it stands alone.
    pub kind: ArchiveKind,
    /// When the run began, milliseconds since 1970-01-01 UTC. What changed from shortly before on is read again the next
    /// time, whatever its times say.
    pub started_unix_ms: i64,
    /// The paths that were asked for.
    pub sources: Vec<String>,
    /// The archives that hold the data, the full one first and this one last.
    pub chain: Vec<ChainLink>,
}

#[cfg(test)]
mod tests {
    use super::ArchiveId;

    #[test]
    fn an_id_is_32_digits() {
        let id = ArchiveId(*b"\x00\x01\xfe\xff456789abcdef");
        assert_eq!(id.to_string(), "0001feff343536373839616263646566");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            "0001FEFF343536373839616263646566",
            "0001feff34353637383961626364656",
            "ü001feff3435363738396162636465",
        ] {
            assert!(bad.parse::<ArchiveId>().is_err(), "{bad}");
        }
    }
}
