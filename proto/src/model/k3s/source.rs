use std::fmt;
use std::net::Ipv6Addr;
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
        if !is_host(host) {
            return refuse(format!(
                "{text:?} has no host like nas.lan or [fd00::1], or no port from 1 to 65535 behind it"
            ));
        }
        Ok(Self(text.into()))
    }
}

/// Whether it is a name or an address, one of IPv6 in brackets, and behind it nothing or a port.
fn is_host(text: &str) -> bool {
    let (is_named, behind) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((address, behind))) => (address.parse::<Ipv6Addr>().is_ok(), behind),
        Some(None) => return false,
        None => {
            let (name, behind) = text.split_at(text.find(':').unwrap_or(text.len()));
            (!name.is_empty() && !name.contains(['[', ']']), behind)
        }
    };
    let is_port =
        |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    is_named && (behind.is_empty() || behind.strip_prefix(':').is_some_and(is_port))
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
        let goods = ["https://example.org/a%2Bk3s1/k3s", "http://[fd00::1]:8080/k3s", "http://nas", "http://[::1]/k3s"];
        for good in goods {
            assert_eq!(good.parse::<Source>().unwrap().as_str(), good);
        }
        let long = format!("https://nas/{}", "x".repeat(2048));
        for bad in ["", "k3s", "ftp://nas/k3s", "https://", "https:///k3s", "-o/etc/passwd", "https://nas/a b", &long] {
            assert_eq!(bad.parse::<Source>().unwrap_err().field, "source", "{bad}");
        }
        for host in
            ["nas:", "nas:0", "nas:80a", "nas:+80", "nas:65536", "nas:80:80", "[fd00::1", "[fd00::1]80", "[nas]"]
        {
            let refused = format!("http://{host}/k3s").parse::<Source>().unwrap_err().to_string();
            assert!(refused.contains("port from 1 to 65535"), "{refused}");
        }
        for host in [":80", "fd00::1", "nas]", "n[a]s:80"] {
            assert!(format!("http://{host}/k3s").parse::<Source>().is_err(), "{host}");
        }
        let refused = "https://anna:hunter22@nas/k3s".parse::<Source>().unwrap_err().to_string();
        assert!(refused.contains("password") && !refused.contains("hunter"), "{refused}");
    }
}
