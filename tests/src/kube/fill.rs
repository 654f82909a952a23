//! How stories fill a cluster and look at it.

use serde_json::{Value, json};

use super::controllers::TERMINATION;
use super::kinds::by_plural;
use super::object::{list, name, namespace, text, timestamp};
use super::reads::is_on;
use super::world::{VERSION, World};

impl World {
    /// A node that is ready, as K3s registers one.
    pub fn add_node(&mut self, called: &str, server: bool) {
        let mut labels = json!({ "kubernetes.io/hostname": called, "kubernetes.io/arch": "arm64",
            "kubernetes.io/os": "linux" });
        if server {
            labels["node-role.kubernetes.io/control-plane"] = "true".into();
        }
        let time = timestamp(self.now_ms);
        let number = self.store.number();
        let info = json!({ "architecture": "arm64", "bootID": format!("boot-{number}"),
            "containerRuntimeVersion": "containerd://2.1.4-k3s1", "kernelVersion": "6.12.47+rpt-rpi-v8",
            "kubeProxyVersion": "", "kubeletVersion": VERSION, "machineID": called, "operatingSystem": "linux",
            "osImage": "Debian GNU/Linux 13 (trixie)", "systemUUID": called });
        let condition = json!({ "type": "Ready", "status": "True", "reason": "KubeletReady",
            "message": "kubelet is posting ready status", "lastHeartbeatTime": time, "lastTransitionTime": time });
        let addresses = json!([{ "type": "InternalIP", "address": format!("10.0.0.{}", number % 250 + 1) },
            { "type": "Hostname", "address": called }]);
        self.make(
            "nodes",
            json!({ "metadata": { "name": called, "labels": labels }, "spec": {},
            "status": { "conditions": [condition], "nodeInfo": info, "addresses": addresses,
                "capacity": { "cpu": "4", "memory": "8Gi", "pods": "110" },
                "allocatable": { "cpu": "4", "memory": "8Gi", "pods": "110" } } }),
        );
        if let Some(kind) = by_plural("secrets") {
            let secret = format!("{called}.node-password.k3s");
            if self.store.get(kind, "kube-system", &secret).is_none() {
                self.make(
                    "secrets",
                    json!({ "metadata": { "name": secret, "namespace": "kube-system" },
                    "type": "Opaque", "data": { "hash": "eA==" } }),
                );
            }
        }
    }

    /// What the kubelet, or whoever misses it, says of a node: True, False or Unknown; a new boot gets a new id.
    pub fn set_node_ready(&mut self, called: &str, status: &str, new_boot: bool) {
        let time = timestamp(self.now_ms);
        let number = self.store.number();
        self.change_object("nodes", "", called, |node| {
            let conditions = node.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
            for condition in conditions.into_iter().flatten().filter(|condition| condition["type"] == "Ready") {
                condition["status"] = status.into();
                condition["lastTransitionTime"] = time.as_str().into();
            }
            if new_boot {
                node["status"]["nodeInfo"]["bootID"] = format!("boot-{number}").into();
            }
        });
    }

    /// A Deployment of so many replicas, whose pods end as it is said there: see [`TERMINATION`].
    pub fn add_deployment(&mut self, of: &str, called: &str, replicas: i64, termination: &str) {
        let labels = json!({ "app": called });
        self.make(
            "deployments",
            json!({ "metadata": { "name": called, "namespace": of, "labels": labels },
            "spec": { "replicas": replicas, "selector": { "matchLabels": labels },
                "template": template(called, termination) } }),
        );
    }

    /// What the cluster has to say about a pod, so many seconds ago.
    pub fn add_event(&mut self, pod: (&str, &str), reason: &str, message: &str, seconds_ago: i64) {
        let (of, called) = pod;
        let seen = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds_ago);
        self.make(
            "events",
            json!({ "metadata": { "name": format!("{called}.{seconds_ago}"), "namespace": of }, "type": "Warning",
            "involvedObject": { "kind": "Pod", "namespace": of, "name": called }, "reason": reason, "message": message,
            "firstTimestamp": seen.to_string(), "lastTimestamp": seen.to_string(), "count": 1 }),
        );
    }

    /// A DaemonSet on all nodes.
    pub fn add_daemon_set(&mut self, of: &str, called: &str) {
        let mut template = template(called, "prompt");
        template["spec"]["tolerations"] = json!([{ "operator": "Exists" }]);
        self.make(
            "daemonsets",
            json!({ "metadata": { "name": called, "namespace": of },
            "spec": { "selector": { "matchLabels": { "app": called } }, "template": template } }),
        );
    }

    /// A pod that nobody owns, on that node.
    pub fn add_pod(&mut self, of: &str, called: &str, node: &str, termination: &str) {
        let template = template(called, termination);
        let mut metadata = template["metadata"].clone();
        metadata["name"] = called.into();
        metadata["namespace"] = of.into();
        let mut spec = template["spec"].clone();
        spec["nodeName"] = node.into();
        self.make("pods", json!({ "metadata": metadata, "spec": spec, "status": { "phase": "Pending" } }));
    }

    /// A pod that a node runs by itself; what is deleted of it comes again.
    pub fn add_mirror_pod(&mut self, called: &str, node: &str) {
        let owner = self.object("nodes", "", node).map(|node| {
            json!({ "apiVersion": "v1", "kind": "Node", "name": name(&node), "uid": node["metadata"]["uid"],
                "controller": true })
        });
        let template = template(called, "prompt");
        let mut spec = template["spec"].clone();
        spec["nodeName"] = node.into();
        self.mirrors.push(json!({ "metadata": { "name": format!("{called}-{node}"), "namespace": "kube-system",
                "annotations": { "kubernetes.io/config.mirror": "0123456789abcdef", "kubernetes.io/config.source": "file" },
                "ownerReferences": [owner] },
            "spec": spec, "status": { "phase": "Pending" } }));
    }

    /// A budget for the pods of `app`: at least so many available, a number or a share such as `50%`.
    pub fn add_budget(&mut self, of: &str, app: &str, min_available: impl Into<Value>) {
        self.make(
            "poddisruptionbudgets",
            json!({ "metadata": { "name": app, "namespace": of },
            "spec": { "minAvailable": min_available.into(), "selector": { "matchLabels": { "app": app } } } }),
        );
    }

    /// Makes or replaces any object: the name in paths of its kind, and what it is.
    pub fn put(&mut self, plural: &'static str, object: Value) -> Value {
        self.make(plural, object)
    }

    /// An object, if it is there.
    pub fn object(&self, plural: &str, of: &str, called: &str) -> Option<Value> {
        self.store.get(by_plural(plural)?, of, called).cloned()
    }

    /// All objects of a kind.
    pub fn objects(&self, plural: &'static str) -> Vec<Value> {
        self.store.copies(plural)
    }

    /// Changes an object in the store, as one of the cluster's own parts does.
    pub fn change_object(&mut self, plural: &str, of: &str, called: &str, change: impl FnOnce(&mut Value)) {
        let Some(kind) = by_plural(plural) else { return };
        if let Some(mut object) = self.store.get(kind, of, called).cloned() {
            change(&mut object);
            self.store.update(kind, object);
        }
    }

    /// Takes an object away at once, whatever it would say to that.
    pub fn erase(&mut self, plural: &str, of: &str, called: &str) {
        if let Some(kind) = by_plural(plural)
            && let Some(object) = self.store.get(kind, of, called).cloned()
        {
            self.let_go(kind, &object);
        }
    }

    /// `NAMESPACE/NAME` of the pods on a node, also of those that are leaving.
    pub fn pods_on(&self, node: &str) -> Vec<String> {
        let on = self.store.all("pods").filter(|pod| is_on(pod, node));
        on.map(|pod| format!("{}/{}", namespace(pod), name(pod))).collect()
    }

    /// Whether a node is cordoned.
    pub fn is_cordoned(&self, node: &str) -> bool {
        self.object("nodes", "", node).is_some_and(|node| node["spec"]["unschedulable"] == true)
    }

    /// Takes in the objects of YAML documents, read by kubectl's rules elsewhere: JSON values here.
    pub fn put_all(&mut self, objects: &[Value]) {
        for object in objects {
            let kind = super::kinds::KINDS.iter().find(|kind| object["kind"] == kind.name);
            if let Some(kind) = kind {
                if kind.plural == "secrets" && text(object, "/type") == "kubernetes.io/service-account-token" {
                    self.put_token_secret(object.clone());
                } else {
                    self.make(kind.plural, object.clone());
                }
            }
        }
    }

    /// The token of a service account's secret.
    pub fn service_token(&self, of: &str, account: &str) -> Option<String> {
        let is_its = |secret: &&Value| {
            namespace(secret) == of
                && super::object::annotation(secret, "kubernetes.io/service-account.name") == Some(account)
        };
        super::access::token_of(self.store.all("secrets").find(is_its)?)
    }

    /// The names of the containers of a pod.
    pub fn containers(&self, of: &str, pod: &str) -> Vec<String> {
        let pod = self.object("pods", of, pod).unwrap_or_default();
        list(&pod, "/spec/containers").iter().map(|container| text(container, "/name").to_owned()).collect()
    }
}

fn template(called: &str, termination: &str) -> Value {
    json!({ "metadata": { "labels": { "app": called }, "annotations": { TERMINATION: termination } },
        "spec": { "containers": [{ "name": called, "image": format!("registry.lan/{called}:1") }],
            "terminationGracePeriodSeconds": 30, "restartPolicy": "Always" } })
}
