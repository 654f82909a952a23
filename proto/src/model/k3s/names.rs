//! What Kubernetes calls things, as far as K3s is told of it.

use std::fmt;
use std::str::FromStr;

use crate::model::{Endpoint, Invalid};

/// Longest part of a name between dots, and longest last part of a label's key, in bytes.
const MAX_PART_BYTES: usize = 63;
/// Longest name with dots, in bytes.
const MAX_NAME_BYTES: usize = 253;

macro_rules! shown_as_text {
    ($name:ident) => {
        impl $name {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

/// Letters, digits and some others between them; begins and ends with a letter or digit.
fn is_word(text: &str, inner: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let ends_well = |end: Option<&u8>| end.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= MAX_PART_BYTES
        && ends_well(bytes.first())
        && ends_well(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || inner.contains(byte))
}

/// A name as in the DNS, of lower-case letters (RFC 1123).
fn is_dns_name(text: &str) -> bool {
    let is_part = |part: &str| is_word(part, b"-") && !part.bytes().any(|byte| byte.is_ascii_uppercase());
    text.len() <= MAX_NAME_BYTES && text.split('.').all(is_part)
}

/// A node's name in the cluster: a DNS name (RFC 1123).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct K3sNodeName(Box<str>);

shown_as_text!(K3sNodeName);

impl FromStr for K3sNodeName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if is_dns_name(text) {
            return Ok(Self(text.into()));
        }
        let reason = format!("{text:?} is not a name of lower-case letters, digits, hyphens and dots");
        Err(Invalid::new("node_name", reason))
    }
}

/// A key of labels and taints, with its prefix if it has one: `disk`, `rack.example/shelf`.
fn check_key(field: &str, key: &str) -> Result<(), Invalid> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if !is_word(name, b"-_.") || !prefix.is_none_or(is_dns_name) {
        return Err(Invalid::new(field, format!("{key:?} is not a key of Kubernetes', such as rack.example/shelf")));
    }
    Ok(())
}

fn check_value(field: &str, value: &str) -> Result<(), Invalid> {
    if value.is_empty() || is_word(value, b"-_.") {
        return Ok(());
    }
    Err(Invalid::new(
        field,
        format!("{value:?} is not a value of Kubernetes': at most {MAX_PART_BYTES} letters, digits, - _ ."),
    ))
}

/// A label that a node registers with: `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct K3sLabel(Box<str>);

shown_as_text!(K3sLabel);

impl K3sLabel {
    /// What stands before the `=`.
    pub fn key(&self) -> &str {
        self.0.split_once('=').map_or("", |(key, _)| key)
    }
}

impl FromStr for K3sLabel {
    type Err = Invalid;

    /// Refuses those of Kubernetes' own that a node may not give itself: its kubelet would not start.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |reason: String| Invalid::new("labels", reason);
        let (key, value) = text.split_once('=').ok_or_else(|| refuse(format!("{text:?} is not KEY=VALUE")))?;
        check_key("labels", key)?;
        check_value("labels", value)?;
        if !may_label_itself(key) {
            return Err(refuse(format!("{key} is Kubernetes' own: a node may not give it to itself")));
        }
        Ok(Self(text.into()))
    }
}

/// Whether a kubelet takes a label with this key (its `--node-labels`).
fn may_label_itself(key: &str) -> bool {
    const ALLOWED: [&str; 11] = [
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "kubernetes.io/arch",
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    ];
    let within = |name: &str, domain: &str| {
        name.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    match key.split_once('/') {
        Some((prefix, _)) if within(prefix, "kubernetes.io") || within(prefix, "k8s.io") => {
            ALLOWED.contains(&key) || within(prefix, "kubelet.kubernetes.io") || within(prefix, "node.kubernetes.io")
        }
        Some(_) | None => true,
    }
}

/// A taint that a node registers with: `KEY[=VALUE]:EFFECT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct K3sTaint(Box<str>);

shown_as_text!(K3sTaint);

impl FromStr for K3sTaint {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (what, effect) = text.rsplit_once(':').unwrap_or((text, ""));
        if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
            let reason = format!("{text:?} does not end in :NoSchedule, :PreferNoSchedule or :NoExecute");
            return Err(Invalid::new("taints", reason));
        }
        let (key, value) = what.split_once('=').unwrap_or((what, ""));
        check_key("taints", key)?;
        check_value("taints", value)?;
        Ok(Self(text.into()))
    }
}

/// The name of a network interface.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InterfaceName(Box<str>);

shown_as_text!(InterfaceName);

impl FromStr for InterfaceName {
    type Err = Invalid;

    /// Takes what the kernel takes, if it is visible ASCII.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b':';
        if text.is_empty() || text.len() > 15 || text.starts_with(['.', '-']) || !text.bytes().all(allowed) {
            return Err(Invalid::new("flannel_iface", format!("{text:?} is not the name of an interface")));
        }
        Ok(Self(text.into()))
    }
}

/// Where a server of the cluster is: `https://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct K3sServerUrl(Endpoint);

impl K3sServerUrl {
    /// Host and port.
    pub fn endpoint(&self) -> &Endpoint {
        &self.0
    }
}

impl From<Endpoint> for K3sServerUrl {
    fn from(endpoint: Endpoint) -> Self {
        Self(endpoint)
    }
}

impl FromStr for K3sServerUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let read = || {
            let place = text.strip_prefix("https://")?;
            let endpoint: Endpoint = place.parse().ok()?;
            // The port is told: it is not that of anything else here.
            (endpoint.to_string() == place).then_some(Self(endpoint))
        };
        read().ok_or_else(|| Invalid::new("server_url", format!("{text:?} is not https://HOST:PORT")))
    }
}

impl fmt::Display for K3sServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.0)
    }
}

/// A name or address that stands in a certificate of the API.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct K3sTlsName(Box<str>);

shown_as_text!(K3sTlsName);

impl FromStr for K3sTlsName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.parse::<std::net::IpAddr>().is_ok() || is_dns_name(text) {
            return Ok(Self(text.into()));
        }
        Err(Invalid::new("tls_sans", format!("{text:?} is neither a name nor an address")))
    }
}

/// A part of K3s that can be left out, such as `traefik`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct K3sPartName(Box<str>);

shown_as_text!(K3sPartName);

impl FromStr for K3sPartName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if is_dns_name(text) {
            return Ok(Self(text.into()));
        }
        Err(Invalid::new("disable", format!("{text:?} is not the name of a part of K3s, such as traefik")))
    }
}

#[cfg(test)]
mod tests {
    use super::{InterfaceName, K3sLabel, K3sNodeName, K3sServerUrl, K3sTaint, K3sTlsName};

    fn golden<T: std::str::FromStr<Err = crate::Invalid> + ToString>(field: &str, good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(text.parse::<T>().map(|value| value.to_string()).as_deref(), Ok(*text));
        }
        for text in bad {
            assert_eq!(
                text.parse::<T>().map(|value| value.to_string()).map_err(|e| e.field),
                Err(field.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn golden_words() {
        let (long, longer) = ("x".repeat(63), "x".repeat(64));
        golden::<K3sNodeName>(
            "node_name",
            &["a", "pi-3", "pi.rack.lan", &long],
            &["", "-a", "a.", "A", "a_b", &longer],
        );
        golden::<K3sLabel>(
            "labels",
            &["a=", "disk=ssd", "rack.example/shelf=2", "node.kubernetes.io/x=y", "kubernetes.io/hostname=pi"],
            &["a", "=b", "a/b/c=d", "a=b c", "a=b=c", "node-role.kubernetes.io/master=", "x.k8s.io/a=b", "Up/a=b"],
        );
        golden::<K3sTaint>(
            "taints",
            &["a:NoSchedule", "a=b:NoExecute", "rack.example/slow=:PreferNoSchedule"],
            &["a", "a=b", "a:noschedule", ":NoExecute", "a=b:c:NoExecute", "a=b c:NoExecute"],
        );
        golden::<InterfaceName>(
            "flannel_iface",
            &["ztabc", "eth0.5"],
            &["", "-x", "..", "a/b", "a b", "x123456789abcdef"],
        );
        golden::<K3sServerUrl>(
            "server_url",
            &["https://rack:6443", "https://[fd00::5]:6443", "https://10.0.0.1:443"],
            &[
                "",
                "rack:6443",
                "http://rack:6443",
                "https://rack",
                "https://rack:6443/",
                "https://a:0",
                "https://a@b:1",
            ],
        );
        golden::<K3sTlsName>("tls_sans", &["rack", "10.0.0.1", "fd00::5"], &["", "a b", "https://rack", "*"]);
    }
}
