use std::fmt;
use std::str::FromStr;

use rackhaven_proto::Invalid;
use rackhaven_proto::model::{ClusterId, NodeName, UserName};

/// Who holds a certificate, as its SAN URI says: `spiffe://<cluster-id>/node/<name>` or `…/user/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The cluster that issued it.
    pub cluster: ClusterId,
    /// The node or user.
    pub subject: Subject,
}

/// A node or a user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A machine with an agent.
    Node(NodeName),
    /// A person or program that uses the API.
    User(UserName),
}

impl Subject {
    /// `node` or `user`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Node(_) => "node",
            Self::User(_) => "user",
        }
    }

    /// The name alone.
    pub fn name(&self) -> &str {
        match self {
            Self::Node(name) => name.as_str(),
            Self::User(name) => name.as_str(),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind(), self.name())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/{}", self.cluster, self.subject)
    }
}

impl FromStr for Identity {
    type Err = Invalid;

    fn from_str(uri: &str) -> Result<Self, Invalid> {
        let refuse = || Invalid::new("certificate identity", format!("{uri:?} is not spiffe://CLUSTER/node|user/NAME"));
        let mut parts = uri.strip_prefix("spiffe://").ok_or_else(refuse)?.split('/');
        let (Some(cluster), Some(kind), Some(name), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(refuse());
        };
        let subject = match kind {
            "node" => Subject::Node(name.parse()?),
            "user" => Subject::User(name.parse()?),
            _ => return Err(refuse()),
        };
        Ok(Self { cluster: cluster.parse()?, subject })
    }
}

#[cfg(test)]
mod tests {
    use super::Identity;

    #[test]
    fn only_the_exact_form_is_read() {
        for good in ["spiffe://c1/node/pi-3", "spiffe://c1/user/ann"] {
            assert_eq!(good.parse::<Identity>().map(|identity| identity.to_string()).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "c1/node/a",
            "spiffe://c1/node",
            "spiffe://c1/node/a/b",
            "spiffe://c1/admin/a",
            "spiffe:///node/a",
            "spiffe://c1/node/",
            "spiffe://c1/Node/a",
            "https://c1/node/a",
        ] {
            assert!(bad.parse::<Identity>().is_err(), "{bad:?} was taken");
        }
    }
}
