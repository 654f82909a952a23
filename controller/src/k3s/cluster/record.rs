use std::collections::BTreeMap;
use std::fmt;

use rackhaven_pki::{hex, random, sha256};
use rackhaven_proto::model::NodeName;
use rackhaven_proto::model::k3s::{Digest, K3sJoinToken, K3sTokenFor};
use rackhaven_proto::v1;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

/// Text that is not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Secret {
    /// A new password, 128 bits of chance.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn new() -> Result<Self, String> {
        random::<16>().map(|bytes| Self(hex(&bytes))).map_err(|error| error.to_string())
    }
}

/// The cluster that was made of the fleet's nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The release that nodes join with.
    pub version: String,
    /// etcd in the place of SQLite.
    pub embedded_etcd: bool,
    /// What servers join with.
    pub server_token: Secret,
    /// What agents join with.
    pub agent_token: Secret,
    /// What the server token is being changed to: some servers may have it already.
    pub next_server_token: Option<Secret>,
    /// By what the API is spoken with; none before the first server was up.
    pub access: Option<Access>,
    /// What servers have in common, which must be the same on all of them.
    pub disable: Vec<String>,
    /// The nodes in it, or on their way into it.
    pub members: BTreeMap<NodeName, Member>,
}

/// By what the API is spoken with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The certificate of the cluster's authority, PEM.
    pub authority_pem: String,
    /// The bearer token of the controller's service account.
    pub token: Secret,
}

/// A node in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Of a server: the host by which others reach it.
    pub server_host: Option<String>,
    /// In which order servers came.
    pub number: u32,
    /// The release that it was told to install last, unless that came to nothing.
    pub version: String,
    /// Whether it was seen as Ready since it is a member.
    pub joined: bool,
    /// KEY=VALUE each, given when it registers.
    pub labels: Vec<String>,
    /// KEY=VALUE:EFFECT each, given when it registers.
    pub taints: Vec<String>,
    /// Its addresses in the cluster; none leaves them to K3s.
    pub node_ips: Vec<String>,
    /// The interface of the pods' network; empty leaves it to K3s.
    pub flannel_iface: String,
    /// Further names and addresses in the API's certificate, for a server.
    pub tls_sans: Vec<String>,
}

impl Member {
    /// Whether it is a server.
    pub fn is_server(&self) -> bool {
        self.server_host.is_some()
    }
}

impl Record {
    /// A cluster without a node, with tokens of its own.
    ///
    /// # Errors
    /// When the system gives no chance to make them of.
    pub fn new(version: &str, embedded_etcd: bool) -> Result<Self, String> {
        Ok(Self {
            version: version.to_owned(),
            embedded_etcd,
            server_token: Secret::new()?,
            agent_token: Secret::new()?,
            next_server_token: None,
            access: None,
            disable: Vec::new(),
            members: BTreeMap::new(),
        })
    }

    /// The number of the member that comes next.
    pub fn next_number(&self) -> u32 {
        self.members.values().map(|member| member.number).max().map_or(0, |last| last.saturating_add(1))
    }

    /// Servers in the order in which they came.
    pub fn servers(&self) -> Vec<(&NodeName, &Member, &str)> {
        let all = self.members.iter();
        let mut servers: Vec<_> =
            all.filter_map(|(name, member)| Some((name, member, member.server_host.as_deref()?))).collect();
        servers.sort_by_key(|(_, member, _)| member.number);
        servers
    }

    /// How a node of it is set up now; none if it is not a member, or has no server to join.
    pub fn settings(&self, name: &NodeName) -> Option<v1::K3sSettings> {
        let member = self.members.get(name)?;
        // A server whose disk was lost must not begin a cluster of its own beside the one that goes on; where it has its
        // data, K3s passes over the address of another.
        let other = self.servers().into_iter().find(|(other, member, _)| *other != name && member.joined);
        let (server_url, token) = match other {
            None if member.is_server() => (String::new(), self.server_token.0.clone()),
            None => return None,
            Some((_, _, host)) => {
                let (opens, password) = match member.is_server() {
                    true => (K3sTokenFor::Servers, &self.server_token),
                    false => (K3sTokenFor::Agents, &self.agent_token),
                };
                let authority = authority(&self.access.as_ref()?.authority_pem)?;
                let token = K3sJoinToken::new(authority, opens, &password.0.parse().ok()?).ok()?;
                (url(host), token.reveal().to_owned())
            }
        };
        let for_servers = |values: &Vec<String>| if member.is_server() { values.clone() } else { Vec::new() };
        let mut tls_sans = for_servers(&member.tls_sans);
        if let Some(host) = member.server_host.as_ref().filter(|host| !tls_sans.contains(host)) {
            tls_sans.push(host.clone());
        }
        Some(v1::K3sSettings {
            role: if member.is_server() { v1::K3sRole::Server } else { v1::K3sRole::Agent }.into(),
            node_name: name.to_string(),
            server_url,
            token,
            agent_token: if member.is_server() { self.agent_token.0.clone() } else { String::new() },
            embedded_etcd: member.is_server() && self.embedded_etcd,
            labels: member.labels.clone(),
            taints: member.taints.clone(),
            node_ips: member.node_ips.clone(),
            flannel_iface: member.flannel_iface.clone(),
            tls_sans,
            disable: for_servers(&self.disable),
        })
    }

    /// What the API is reached by, as kubectl reads it: each server a context of its own, the first the current one. None
    /// before there is one.
    pub fn kubeconfig(&self) -> Option<String> {
        let access = self.access.as_ref()?;
        let servers: Vec<_> = self.servers().into_iter().filter(|(_, member, _)| member.joined).collect();
        let (first, ..) = servers.first()?;
        let authority = data_encoding::BASE64.encode(access.authority_pem.as_bytes());
        let clusters = servers.iter().map(|(name, _, host)| {
            serde_json::json!({
                "name": name.as_str(),
                "cluster": { "server": url(host), "certificate-authority-data": authority },
            })
        });
        let contexts = servers.iter().map(|(name, ..)| {
            serde_json::json!({
                "name": name.as_str(),
                "context": { "cluster": name.as_str(), "user": "rackhaven-controller" },
            })
        });
        // JSON is YAML.
        let text = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": first.as_str(),
            "clusters": clusters.collect::<Vec<_>>(),
            "contexts": contexts.collect::<Vec<_>>(),
            "users": [{ "name": "rackhaven-controller", "user": { "token": access.token.0 } }],
        });
        Some(format!("{text:#}\n"))
    }
}

/// By what a token tells the cluster's authority: the SHA-256 of what a server shows under `/cacerts` if that is one
/// certificate, and of the root's DER if it is a bundle, the root last (K3s's documentation, "token", secure format).
fn authority(pem: &str) -> Option<Digest> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()?;
    match certificates.as_slice() {
        [] => None,
        [_] => Some(Digest(sha256(pem.as_bytes()))),
        [.., root] => Some(Digest(sha256(root))),
    }
}

/// Where a server's API is.
pub(super) fn url(host: &str) -> String {
    if host.contains(':') { format!("https://[{host}]:6443") } else { format!("https://{host}:6443") }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::wanted::member;
    use super::{Access, Record, Secret, authority, v1};

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";

    /// `master` and `spare` are servers, `pi-1` is an agent; those whose names are given are joined.
    pub(in crate::k3s::cluster) fn cluster(joined: &[&str]) -> Record {
        let mut record = Record::new("v1.31.4+k3s1", true).unwrap();
        record.access = Some(Access { authority_pem: PEM.to_owned(), token: Secret("bearer".to_owned()) });
        record.disable = vec!["traefik".to_owned()];
        for (name, host) in [("master", Some("10.0.0.1")), ("spare", Some("fd00::2")), ("pi-1", None)] {
            let options = v1::K3sNodeOptions::default();
            let mut new = member(&options, host.map(str::to_owned), record.next_number(), record.version.clone());
            new.joined = joined.contains(&name);
            record.members.insert(name.parse().unwrap(), new);
        }
        record
    }

    fn settings(record: &Record, name: &str) -> Option<v1::K3sSettings> {
        record.settings(&name.parse().unwrap())
    }

    #[test]
    fn a_node_joins_a_server_that_is_there_with_the_token_of_its_role() {
        let record = cluster(&["master", "pi-1"]);
        let hash = rackhaven_pki::hex(&rackhaven_pki::sha256(PEM.as_bytes()));
        let agent = settings(&record, "pi-1").unwrap();
        assert_eq!(agent.server_url, "https://10.0.0.1:6443");
        assert_eq!(agent.token, format!("K10{hash}::node:{}", record.agent_token.0));
        assert!(
            agent.agent_token.is_empty()
                && !agent.embedded_etcd
                && agent.disable.is_empty()
                && agent.tls_sans.is_empty()
        );
        let spare = settings(&record, "spare").unwrap();
        assert_eq!(spare.server_url, "https://10.0.0.1:6443");
        assert_eq!(spare.token, format!("K10{hash}::server:{}", record.server_token.0));
        assert_eq!((spare.tls_sans, spare.disable), (vec!["fd00::2".to_owned()], vec!["traefik".to_owned()]));
        // The first has nobody to join, and makes the cluster by the password alone.
        let first = settings(&record, "master").unwrap();
        assert_eq!((first.server_url.as_str(), &first.token), ("", &record.server_token.0));
        // Without a server that is up no agent joins.
        assert_eq!(settings(&cluster(&[]), "pi-1"), None);
    }

    /// A server whose disk was lost must not begin another cluster beside the one that goes on.
    #[test]
    fn a_server_joins_another_one_wherever_there_is_one() {
        let first = settings(&cluster(&["master", "spare"]), "master").unwrap();
        assert_eq!(first.server_url, "https://[fd00::2]:6443");
        assert!(first.token.contains("::server:"));
    }

    #[test]
    fn the_api_is_reached_by_each_server_that_is_up_the_first_first() {
        assert_eq!(cluster(&[]).kubeconfig(), None);
        let text = cluster(&["master", "spare", "pi-1"]).kubeconfig().unwrap();
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(told["current-context"], "master");
        assert_eq!(told["clusters"][1]["cluster"]["server"], "https://[fd00::2]:6443");
        assert_eq!(told["users"][0]["user"]["token"], "bearer");
        assert_eq!(told["contexts"].as_array().unwrap().len(), 2);
    }

    /// By `sha256sum` of a file, and by that of the DER of the last certificate of a bundle.
    #[test]
    fn the_authority_is_told_by_the_file_or_by_the_root() {
        let two = format!("{PEM}-----BEGIN CERTIFICATE-----\nAwQF\n-----END CERTIFICATE-----\n");
        assert_eq!(authority(PEM).unwrap().0, rackhaven_pki::sha256(PEM.as_bytes()));
        assert_eq!(authority(&two).unwrap().0, rackhaven_pki::sha256(&[3, 4, 5]));
        assert!(authority("nothing").is_none());
    }
}
