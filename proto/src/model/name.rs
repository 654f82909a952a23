use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// Longest name, in bytes: a DNS label (RFC 1123).
const MAX_NAME_BYTES: usize = 63;

/// Accepts a DNS label (RFC 1123): lower-case letters, digits and inner hyphens.
fn dns_label(field: &str, text: &str) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid::new(field, "is empty"));
    }
    if text.len() > MAX_NAME_BYTES {
        return Err(Invalid::new(field, format!("{} bytes long, at most {MAX_NAME_BYTES} are allowed", text.len())));
    }
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if let Some(bad) = text.chars().find(|c| !c.is_ascii() || !allowed(*c as u8)) {
        return Err(Invalid::new(
            field,
            format!("{text:?} holds {bad:?}; allowed are lower-case letters, digits and hyphens"),
        ));
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(Invalid::new(field, format!("{text:?} begins or ends with a hyphen")));
    }
    Ok(())
}

macro_rules! dns_label_type {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                dns_label($field, text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

dns_label_type! {
    /// A node's name: a DNS label, unique in the fleet.
    NodeName, "node name"
}
dns_label_type! {
    /// A user's name: a DNS label, unique in the cluster.
    UserName, "user name"
}
dns_label_type! {
    /// A cluster's id: made once by `init`, the trust domain of its certificates.
    ClusterId, "cluster id"
}

dns_label_type! {
    /// A backup job's name: a DNS label, unique on its node.
    JobName, "job name"
}

impl ClusterId {
    /// The one name that the controller's certificate carries and clients verify, whatever address they dial.
    pub fn server_name(&self) -> String {
        format!("controller.{self}.internal")
    }
}

#[cfg(test)]
mod tests {
    use super::NodeName;

    #[test]
    fn accepts_dns_labels_only() {
        for good in ["a", "pi-3", "0", &"x".repeat(63)] {
            assert_eq!(good.parse::<NodeName>().map(|name| name.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a b", "ä", "a/b", "a\n", &"x".repeat(64)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?} was taken");
        }
    }
}
