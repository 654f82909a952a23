use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{
    InterfaceName, K3sJoinToken, K3sLabel, K3sNodeName, K3sPartName, K3sSecret, K3sServerUrl, K3sTaint, K3sTlsName,
    K3sTokenFor,
};
use crate::model::Invalid;

/// Most labels, taints, names and parts, each.
const MOST_WORDS: usize = 64;

/// What K3s is on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum K3sRole {
    /// It keeps the cluster's state and runs pods.
    Server,
    /// It runs pods.
    Agent,
}

impl K3sRole {
    /// As K3s calls it: the name of its command.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Agent => "agent",
        }
    }

    /// The unit of systemd's that runs it.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Server => "k3s.service",
            Self::Agent => "k3s-agent.service",
        }
    }
}

impl std::fmt::Display for K3sRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// How K3s is set up on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct K3sSettings {
    /// The node's name in the cluster.
    pub node_name: K3sNodeName,
    /// What it is there, and by what it joins.
    pub place: K3sPlace,
    /// Given to the node when it registers; no key twice.
    pub labels: Vec<K3sLabel>,
    /// Given to the node when it registers.
    pub taints: Vec<K3sTaint>,
    /// Addresses of this node in the cluster: one at most of each family. Empty leaves it to K3s.
    pub node_ips: Vec<IpAddr>,
    /// The interface of the pods' network; none leaves it to K3s.
    pub flannel_iface: Option<InterfaceName>,
}

/// What a node is in the cluster, and by what it joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum K3sPlace {
    /// The server that makes the cluster.
    First {
        /// With what others will join; no colon in it.
        password: K3sSecret,
        /// What all servers have alike.
        server: K3sServer,
    },
    /// A further server: the cluster's state is in etcd.
    Further {
        /// A server that is there.
        url: K3sServerUrl,
        /// One for servers.
        token: K3sJoinToken,
        /// What all servers have alike.
        server: K3sServer,
    },
    /// An agent.
    Agent {
        /// A server that is there.
        url: K3sServerUrl,
        /// One for agents.
        token: K3sJoinToken,
    },
}

/// What all servers of a cluster have alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct K3sServer {
    /// With what agents join, if not with what servers do; no colon in it.
    pub agent_password: Option<K3sSecret>,
    /// etcd inside K3s in the place of SQLite.
    pub embedded_etcd: bool,
    /// Further names and addresses in the certificate of the API.
    pub tls_names: Vec<K3sTlsName>,
    /// Parts of K3s that are left out.
    pub disable: Vec<K3sPartName>,
}

impl K3sSettings {
    /// What it is in the cluster.
    pub fn role(&self) -> K3sRole {
        match &self.place {
            K3sPlace::First { .. } | K3sPlace::Further { .. } => K3sRole::Server,
            K3sPlace::Agent { .. } => K3sRole::Agent,
        }
    }

    /// What servers have; none of an agent.
    pub fn server(&self) -> Option<&K3sServer> {
        match &self.place {
            K3sPlace::First { server, .. } | K3sPlace::Further { server, .. } => Some(server),
            K3sPlace::Agent { .. } => None,
        }
    }

    /// The server that it joins; none of the first.
    pub fn joins(&self) -> Option<(&K3sServerUrl, &K3sJoinToken)> {
        match &self.place {
            K3sPlace::First { .. } => None,
            K3sPlace::Further { url, token, .. } | K3sPlace::Agent { url, token } => Some((url, token)),
        }
    }

    /// Refuses what does not go together.
    ///
    /// # Errors
    /// The first field that is wrong, by its name in the contract.
    pub fn checked(self) -> Result<Self, Invalid> {
        let keys: BTreeSet<&str> = self.labels.iter().map(K3sLabel::key).collect();
        if keys.len() < self.labels.len() {
            return Err(Invalid::new("labels", "hold a key twice"));
        }
        let of_v4 = self.node_ips.iter().filter(|ip| ip.is_ipv4()).count();
        if of_v4 > 1 || self.node_ips.len() - of_v4 > 1 {
            return Err(Invalid::new("node_ips", "are more than one of IPv4 and one of IPv6"));
        }
        if let Some(ip) = self.node_ips.iter().find(|ip| ip.is_unspecified() || ip.is_multicast() || ip.is_loopback()) {
            return Err(Invalid::new("node_ips", format!("{ip} is no address by which others reach a node")));
        }
        let server = self.server();
        for (field, count) in [
            ("labels", self.labels.len()),
            ("taints", self.taints.len()),
            ("tls_sans", server.map_or(0, |server| server.tls_names.len())),
            ("disable", server.map_or(0, |server| server.disable.len())),
        ] {
            if count > MOST_WORDS {
                return Err(Invalid::new(field, format!("are {count}, at most {MOST_WORDS} are allowed")));
            }
        }
        let no_colon = |field: &str, secret: &K3sSecret| match secret.reveal().contains(':') {
            true => Err(Invalid::new(field, "holds a colon: a password alone belongs here")),
            false => Ok(()),
        };
        if let Some(password) = server.and_then(|server| server.agent_password.as_ref()) {
            no_colon("agent_token", password)?;
        }
        match &self.place {
            K3sPlace::First { password, .. } => no_colon("token", password)?,
            K3sPlace::Further { token, .. } if token.opens() != K3sTokenFor::Servers => {
                return Err(Invalid::new("token", "is one for agents; a server joins with the token for servers"));
            }
            K3sPlace::Further { server, .. } if !server.embedded_etcd => {
                return Err(Invalid::new("embedded_etcd", "is off: SQLite is for one server alone"));
            }
            K3sPlace::Agent { token, .. } if token.opens() != K3sTokenFor::Agents => {
                return Err(Invalid::new("token", "is the one for servers; agents get one for agents"));
            }
            K3sPlace::Further { .. } | K3sPlace::Agent { .. } => {}
        }
        Ok(self)
    }
}
