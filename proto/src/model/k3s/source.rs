use std::fmt;
use std::str::FromStr;

use crate::model::Invalid;

/// Where a file can be fetched: a URL (RFC 3986) of HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source(Box<str>);

impl Source {
    /// The longest one, bytes.
    const MOST_BYTES: usize = 2048;

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Source {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |reason: String| Err(Invalid::new("source", reason));
        if text.len() > Self::MOST_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refuse(format!("is no URL of at most {} letters, digits and signs", Self::MOST_BYTES));
        }
        let host = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let host = host.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
        if host.is_empty() {
            return refuse(format!("{text:?} does not begin with https:// or http:// and a host"));
        }
        if host.contains('@') {
            // It is not repeated: there may be a password in it, which all users of a node would see, too.
            return refuse("has a user in it, whose password would be seen by others".to_owned());
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn sources_golden() {
        for good in ["https://example.org/a%2Bk3s1/k3s", "http://[fd00::1]:8080/k3s", "http://nas"] {
            assert_eq!(good.parse::<Source>().unwrap().as_str(), good);
        }
        let long = format!("https://nas/{}", "x".repeat(2048));
        for bad in ["", "k3s", "ftp://nas/k3s", "https://", "https:///k3s", "-o/etc/passwd", "https://nas/a b", &long] {
            assert_eq!(bad.parse::<Source>().unwrap_err().field, "source", "{bad}");
        }
        let refused = "https://anna:hunter22@nas/k3s".parse::<Source>().unwrap_err().to_string();
        assert!(refused.contains("password") && !refused.contains("hunter"), "{refused}");
    }
}
