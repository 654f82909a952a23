use rackhaven_proto::model::NodeName;
use rackhaven_proto::model::k3s::{Arch, Artifact, ArtifactKind, K3sVersion};
use rackhaven_proto::v1;

use super::Sequence;
use super::record::Member;

impl Sequence {
    /// For which processors a node needs programs.
    pub(super) fn arch(&self, node: &NodeName) -> Result<Arch, String> {
        let (now_ms, wall_ms) = (self.core.clock.monotonic_ms(), self.core.clock.wall_ms());
        let view = self.core.registry.view(node, now_ms, wall_ms);
        let facts = view.and_then(|view| view.facts).ok_or("it has never been connected")?;
        facts.arch.parse().map_err(|_| format!("it is {}, for which K3s is not made", facts.arch))
    }

    /// The files of a release for a node.
    pub(super) async fn files(&self, node: &NodeName, version: &K3sVersion) -> Result<Vec<Artifact>, String> {
        let arch = self.arch(node)?;
        let files: Vec<_> =
            self.all_files().await?.into_iter().filter(|file| file.version == *version && file.arch == arch).collect();
        if files.iter().any(|file| file.kind == ArtifactKind::Program) {
            return Ok(files);
        }
        Err(format!("the controller has no k3s {version} for {arch}: ctl k3s artifacts add"))
    }

    /// The newest release that there is for a node.
    pub(super) async fn newest(&self, node: &NodeName) -> Result<K3sVersion, String> {
        let arch = self.arch(node)?;
        let all = self.all_files().await?.into_iter();
        let programs = all.filter(|file| file.kind == ArtifactKind::Program && file.arch == arch);
        programs
            .map(|file| file.version)
            .max()
            .ok_or_else(|| format!("the controller has no k3s for {arch}: ctl k3s artifacts add"))
    }

    async fn all_files(&self) -> Result<Vec<Artifact>, String> {
        let artifacts = self.core.artifacts.clone();
        tokio::task::spawn_blocking(move || artifacts.list()).await.map_err(|error| error.to_string())
    }

    /// The host by which other nodes reach a server.
    pub(super) fn host(&self, node: &NodeName, given: &str, options: &v1::K3sNodeOptions) -> Result<String, String> {
        if let Some(host) =
            [given].into_iter().chain(options.node_ips.first().map(String::as_str)).find(|h| !h.is_empty())
        {
            return Ok(host.to_owned());
        }
        let (now_ms, wall_ms) = (self.core.clock.monotonic_ms(), self.core.clock.wall_ms());
        let view = self.core.registry.view(node, now_ms, wall_ms);
        let peer = view.map(|view| view.peer_address).unwrap_or_default();
        let ip = peer.parse::<std::net::SocketAddr>().ok().map(|address| address.ip().to_canonical());
        ip.filter(|ip| !ip.is_loopback())
            .map(|ip| ip.to_string())
            .ok_or_else(|| "it is not known by which address other nodes reach it: say so with --address".to_owned())
    }
}

/// A node as it is wanted.
pub(super) fn member(
    options: &v1::K3sNodeOptions,
    server_host: Option<String>,
    number: u32,
    version: String,
) -> Member {
    Member {
        server_host,
        number,
        version,
        joined: false,
        labels: options.labels.clone(),
        taints: options.taints.clone(),
        node_ips: options.node_ips.clone(),
        flannel_iface: options.flannel_iface.clone(),
        tls_sans: options.tls_sans.clone(),
    }
}

/// A node as it is wanted now: as it was before where nothing is said about it.
pub(super) fn wanted(
    before: Option<&Member>,
    options: Option<&v1::K3sNodeOptions>,
    server_host: Option<String>,
    number: u32,
    version: &K3sVersion,
) -> Member {
    let mut wanted = member(&options.cloned().unwrap_or_default(), server_host, number, version.to_string());
    if let Some(before) = before {
        wanted.joined = before.joined;
        for (now, before) in [
            (&mut wanted.labels, &before.labels),
            (&mut wanted.taints, &before.taints),
            (&mut wanted.node_ips, &before.node_ips),
            (&mut wanted.tls_sans, &before.tls_sans),
        ] {
            *now = said(now, before);
        }
        if wanted.flannel_iface.is_empty() {
            wanted.flannel_iface.clone_from(&before.flannel_iface);
        }
    }
    wanted
}

/// What counts of a list: what was said before if nothing is said now, and nothing if it is said to be empty.
pub(super) fn said(now: &[String], before: &[String]) -> Vec<String> {
    match now {
        [] => before.to_vec(),
        [only] if only.is_empty() => Vec::new(),
        now => now.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::{said, v1, wanted};

    #[test]
    fn what_was_said_stays_until_something_else_is_said() {
        let version = "v1.31.4+k3s1".parse().unwrap();
        let options = |labels: &[&str], flannel_iface: &str| v1::K3sNodeOptions {
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            flannel_iface: flannel_iface.to_owned(),
            ..Default::default()
        };
        let mut first = wanted(None, Some(&options(&["disk=ssd"], "zt0")), None, 3, &version);
        first.joined = true;
        let again = wanted(Some(&first), None, None, 3, &version);
        assert_eq!(again, first);
        let other = wanted(Some(&first), Some(&options(&[], "wg0")), None, 3, &version);
        assert_eq!((other.labels, other.flannel_iface.as_str(), other.joined), (first.labels.clone(), "wg0", true));
        assert!(wanted(Some(&first), Some(&options(&[""], "")), None, 3, &version).labels.is_empty());
        assert_eq!(said(&["b".to_owned()], &["a".to_owned()]), ["b"]);
    }
}
