use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::Invalid;

/// The port of everything gRPC.
const DEFAULT_PORT: u16 = 7443;

/// Where a controller can be dialled: a host name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: Box<str>,
    port: u16,
}

impl Endpoint {
    /// The host: a DNS name, an IPv4 address, or an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Endpoint {
    type Err = Invalid;

    /// Takes `HOST`, `HOST:PORT`, `[IPV6]` and `[IPV6]:PORT`; the port is 7443 unless given.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |reason: String| Invalid::new("endpoint", reason);
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(|| refuse(format!("{text:?} lacks its ]")))?;
            host.parse::<Ipv6Addr>().map_err(|_| refuse(format!("{host:?} is not an IPv6 address")))?;
            match rest {
                "" => (host, None),
                _ => {
                    (host, Some(rest.strip_prefix(':').ok_or_else(|| refuse(format!("{text:?} is not [HOST]:PORT")))?))
                }
            }
        } else if text.parse::<Ipv6Addr>().is_ok() {
            (text, None)
        } else {
            match text.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        if host.is_empty() || host.len() > 253 {
            return Err(refuse(format!("{text:?} has no host, or one that is too long")));
        }
        let host_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
        if !host.chars().all(host_char) || (host.contains(':') && host.parse::<Ipv6Addr>().is_err()) {
            return Err(refuse(format!("{host:?} is neither a host name nor an address")));
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => match port.parse::<u16>() {
                Ok(port) if port > 0 => port,
                _ => return Err(refuse(format!("{port:?} is not a port from 1 to 65535"))),
            },
        };
        Ok(Self { host: host.into(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn golden() {
        for (text, shown) in [
            ("rack", "rack:7443"),
            ("rack.lan:1", "rack.lan:1"),
            ("10.147.1.5:7443", "10.147.1.5:7443"),
            ("::1", "[::1]:7443"),
            ("[fd00::5]:99", "[fd00::5]:99"),
            ("[fd00::5]", "[fd00::5]:7443"),
        ] {
            assert_eq!(text.parse::<Endpoint>().map(|endpoint| endpoint.to_string()).as_deref(), Ok(shown));
        }
        for bad in ["", ":7443", "a:0", "a:65536", "a:b", "[::1", "[::1]7", "[a]:1", "a b:1", "a/b:1", "1:2:3:zz"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad:?} was taken");
        }
    }
}
