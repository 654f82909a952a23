//! The taints that the cluster puts on nodes, and what it does about them.

use serde_json::{Value, json};

use crate::kube::kinds::by_plural;
use crate::kube::object::{condition, list, name, text};
use crate::kube::reads::is_on;
use crate::kube::world::World;

/// As the admin, or a controller that knows that the power is off, says that a node is not there.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

impl World {
    pub(super) fn see_to_nodes(&mut self) {
        let Some(kind) = by_plural("nodes") else { return };
        for mut node in self.store.copies("nodes") {
            let wanted = [
                ("node.kubernetes.io/unschedulable", "NoSchedule", node["spec"]["unschedulable"] == true),
                ("node.kubernetes.io/not-ready", "NoSchedule", condition(&node, "Ready") == "False"),
                ("node.kubernetes.io/unreachable", "NoSchedule", condition(&node, "Ready") == "Unknown"),
            ];
            let mut taints: Vec<Value> = list(&node, "/spec/taints").to_vec();
            for (key, effect, there) in wanted {
                let known = taints.iter().any(|taint| taint["key"] == key && taint["effect"] == effect);
                if there && !known {
                    taints.push(json!({ "key": key, "effect": effect }));
                } else if !there {
                    taints.retain(|taint| taint["key"] != key || taint["effect"] != effect);
                }
            }
            let out = taints.iter().any(|taint| taint["key"] == OUT_OF_SERVICE);
            if taints.is_empty() {
                if let Some(spec) = node["spec"].as_object_mut() {
                    spec.remove("taints");
                }
            } else {
                node["spec"]["taints"] = Value::Array(taints);
            }
            let ready = condition(&node, "Ready") == "True";
            let called = name(&node).to_owned();
            self.store.update(kind, node);
            if out && !ready {
                self.free_pods(&called);
            }
        }
        self.forget_pods_of_nodes_that_are_gone();
    }

    /// A node that is out of service holds no pods.
    fn free_pods(&mut self, node: &str) {
        let Some(kind) = by_plural("pods") else { return };
        for pod in self.store.copies("pods").into_iter().filter(|pod| is_on(pod, node)) {
            self.let_go(kind, &pod);
        }
    }

    fn forget_pods_of_nodes_that_are_gone(&mut self) {
        let Some(kind) = by_plural("pods") else { return };
        let nodes: Vec<String> = self.store.all("nodes").map(|node| name(node).to_owned()).collect();
        let lost = |pod: &Value| {
            let node = text(pod, "/spec/nodeName");
            !node.is_empty() && !nodes.iter().any(|known| known == node)
        };
        for pod in self.store.copies("pods").into_iter().filter(|pod| lost(pod)) {
            self.let_go(kind, &pod);
        }
        self.mirrors.retain(|pod| !lost(pod));
        for mirror in self.mirrors.clone() {
            let there = self.store.get(kind, text(&mirror, "/metadata/namespace"), name(&mirror));
            if there.is_none() {
                self.make("pods", mirror);
            }
        }
    }
}
