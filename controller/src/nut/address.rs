use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

use rackhaven_proto::Invalid;
use rackhaven_proto::model::Endpoint;

use super::TlsMode;

/// Where a UPS is: `ups@host` or `ups@host:port`, as NUT's own tools write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpsAddress {
    ups: Box<str>,
    host: Box<str>,
    port: u16,
}

impl UpsAddress {
    /// The protocol's own port.
    pub const PORT: u16 = 3493;

    /// Its name at the server.
    pub fn ups(&self) -> &str {
        &self.ups
    }

    /// The server's name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for UpsAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("ups", format!("{text:?} is not such as ups@localhost or ups@nas:3493"));
        let (ups, server) = text.split_once('@').ok_or_else(invalid)?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if ups.is_empty() || ups.len() > 64 || !ups.bytes().all(allowed) {
            return Err(invalid());
        }
        let bare = match server.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => server.to_owned(),
        };
        // Only what has no port yet can take one.
        let with_port = format!("{bare}:{}", Self::PORT).parse::<Endpoint>();
        let endpoint = with_port.or_else(|_| bare.parse()).map_err(|_| invalid())?;
        Ok(Self { ups: ups.into(), host: endpoint.host().into(), port: endpoint.port() })
    }
}

impl fmt::Display for UpsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@", self.ups)?;
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if self.port == Self::PORT { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// A UPS to read, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpsConfig {
    /// Which, and where.
    pub address: UpsAddress,
    /// Whether the connection is encrypted.
    pub tls: TlsMode,
    /// Who may have signed the server's certificate. Without it the connection is encrypted, as `upsmon`'s is by
    /// default, but whoever sits in between can read and change all.
    pub ca_file: Option<PathBuf>,
    /// The user that reads and commands; none reads as nobody, and cannot cut.
    pub user: Option<UpsUser>,
}

/// A user of the server's `upsd.users`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpsUser {
    /// Its name.
    pub name: String,
    /// The file whose first line is its password.
    pub password_file: PathBuf,
    /// Whether to log in, so that a primary elsewhere waits for us before it cuts.
    pub login: bool,
}

impl UpsConfig {
    /// At `address`, as nobody, encrypted where the server offers it.
    pub fn new(address: UpsAddress) -> Self {
        Self { address, tls: TlsMode::WhenOffered, ca_file: None, user: None }
    }
}

#[cfg(test)]
mod tests {
    use super::UpsAddress;

    #[test]
    fn addresses_as_nut_writes_them() {
        for (text, parts, shown) in [
            ("ups@localhost", ("ups", "localhost", 3493), "ups@localhost"),
            ("eaton-1@10.0.0.9:3494", ("eaton-1", "10.0.0.9", 3494), "eaton-1@10.0.0.9:3494"),
            ("u@fd00::2", ("u", "fd00::2", 3493), "u@[fd00::2]"),
            ("u@[::1]", ("u", "::1", 3493), "u@[::1]"),
            ("u@[fd00::2]:1", ("u", "fd00::2", 1), "u@[fd00::2]:1"),
            ("u@nas:3493", ("u", "nas", 3493), "u@nas"),
        ] {
            let address: UpsAddress = text.parse().unwrap();
            assert_eq!((address.ups(), address.host(), address.port()), parts, "{text}");
            assert_eq!(address.to_string(), shown);
        }
        for bad in ["", "ups", "@host", "ups@", "u p@host", "ups@host:0", "ups@host:x", "ups@a b", "u\n@host"] {
            assert!(bad.parse::<UpsAddress>().is_err(), "{bad:?} was taken");
        }
    }
}
