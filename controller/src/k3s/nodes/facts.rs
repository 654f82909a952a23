//! What the API tells of a node, as far as it counts here.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;

use crate::k3s::cordon::Mark;

const SERVER: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];
const ETCD: &str = "node-role.kubernetes.io/etcd";
const HOSTNAME: &str = "kubernetes.io/hostname";
/// The longest text of a node that is kept, characters.
const MOST_CHARS: usize = 300;

/// One node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeFacts {
    /// What the cluster calls it.
    pub name: String,
    /// What it calls itself.
    pub hostname: String,
    /// By what a change is refused that did not know this state.
    pub resource_version: String,
    /// Whether it is of the control plane.
    pub server: bool,
    /// Whether it holds a part of etcd.
    pub etcd: bool,
    /// Whether it can run pods; none if its kubelet is not heard of.
    pub ready: Option<bool>,
    /// Why it is not ready.
    pub reason: String,
    /// Since when it is ready or not, milliseconds since 1970-01-01 UTC; 0 where that is not known.
    pub ready_changed_unix_ms: i64,
    /// Of its kubelet.
    pub version: String,
    /// The boot in which its kubelet registered last.
    pub boot_id: String,
    /// Whether new pods may come.
    pub schedulable: bool,
    /// By whom Rackhaven was told to keep them away.
    pub mark: Option<Mark>,
}

impl NodeFacts {
    /// From the API's object.
    pub fn new(node: &Node) -> Self {
        let meta = &node.metadata;
        let label = |key: &str| meta.labels.as_ref().and_then(|labels| labels.get(key));
        let status = node.status.as_ref();
        let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
        let info = status.and_then(|status| status.node_info.as_ref());
        Self {
            name: meta.name.clone().unwrap_or_default(),
            hostname: label(HOSTNAME).cloned().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            server: SERVER.iter().any(|key| label(key).is_some()),
            etcd: label(ETCD).is_some(),
            ready: ready.and_then(|ready| match ready.status.as_str() {
                "True" => Some(true),
                "False" => Some(false),
                _ => None,
            }),
            reason: match ready {
                Some(ready) if ready.status == "True" => String::new(),
                Some(ready) => {
                    let why = ready.message.as_deref().or(ready.reason.as_deref()).unwrap_or("it does not say why");
                    why.chars().filter(|c| !c.is_control()).take(MOST_CHARS).collect()
                }
                None => "its kubelet has not reported yet".to_owned(),
            },
            ready_changed_unix_ms: ready
                .and_then(|ready| ready.last_transition_time.as_ref())
                .map_or(0, |time| time.0.as_millisecond()),
            version: info.map(|info| info.kubelet_version.clone()).unwrap_or_default(),
            boot_id: info.map(|info| info.boot_id.clone()).unwrap_or_default(),
            schedulable: node.spec.as_ref().and_then(|spec| spec.unschedulable) != Some(true),
            mark: meta.annotations.as_ref().and_then(Mark::read),
        }
    }

    /// Whether it is the fleet's node of this name, with this hostname: K3s was told the name, or took the hostname.
    pub fn is(&self, node: &str, hostname: &str) -> bool {
        self.name == node || !hostname.is_empty() && self.name.eq_ignore_ascii_case(hostname)
    }
}

/// The cluster's node that is the fleet's `node`. Its own name counts more than another's hostname.
pub fn find<'a>(nodes: &'a BTreeMap<String, NodeFacts>, node: &str, hostname: &str) -> Option<&'a NodeFacts> {
    nodes.get(node).or_else(|| nodes.values().find(|facts| facts.is(node, hostname)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::{NodeFacts, find};

    fn facts(value: Value) -> NodeFacts {
        NodeFacts::new(&serde_json::from_value(value).unwrap())
    }

    fn with_ready(status: &str, message: &str) -> NodeFacts {
        facts(json!({ "metadata": { "name": "pi-1" }, "status": { "conditions": [
            { "type": "MemoryPressure", "status": "True" },
            { "type": "Ready", "status": status, "message": message, "lastTransitionTime": "2026-11-22T10:00:00Z" } ] } }))
    }

    #[test]
    fn golden() {
        let server = facts(json!({
            "metadata": { "name": "master", "resourceVersion": "7", "labels": { "kubernetes.io/hostname": "master",
                "node-role.kubernetes.io/control-plane": "true", "node-role.kubernetes.io/etcd": "true" } },
            "spec": { "unschedulable": true },
            "status": { "nodeInfo": { "architecture": "amd64", "bootID": "b-1", "containerRuntimeVersion": "",
                "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "v1.36.0+k3s1", "machineID": "",
                "operatingSystem": "linux", "osImage": "", "systemUUID": "" } } }));
        assert!(server.server && server.etcd && !server.schedulable);
        assert_eq!((server.ready, server.mark), (None, None));
        assert_eq!((server.version.as_str(), server.boot_id.as_str()), ("v1.36.0+k3s1", "b-1"));
        assert_eq!(server.reason, "its kubelet has not reported yet");
        let bare = facts(json!({ "metadata": { "name": "pi-1" } }));
        assert!(bare.schedulable && !bare.server && bare.ready.is_none());
    }

    #[test]
    fn ready_is_what_the_kubelet_says() {
        for (status, ready) in [("True", Some(true)), ("False", Some(false)), ("Unknown", None), ("?", None)] {
            assert_eq!(with_ready(status, "").ready, ready, "{status}");
        }
        assert_eq!(with_ready("True", "kubelet is posting ready status").reason, "");
        assert_eq!(with_ready("False", "no network\u{1b}[2J").reason, "no network[2J");
        assert_eq!(with_ready("False", "").ready_changed_unix_ms, 1_795_341_600_000);
    }

    #[test]
    fn a_node_is_known_by_its_name_and_else_by_its_hostname() {
        let node = |name: &str| (name.to_owned(), facts(json!({ "metadata": { "name": name } })));
        let nodes: BTreeMap<_, _> = ["pi-1", "rack-pi-2"].map(node).into();
        let found = |name, hostname| find(&nodes, name, hostname).map(|facts| facts.name.as_str());
        assert_eq!(found("pi-1", "rack-pi-2"), Some("pi-1"));
        assert_eq!(found("pi-2", "Rack-Pi-2"), Some("rack-pi-2"));
        assert_eq!(found("pi-3", ""), None);
    }
}
