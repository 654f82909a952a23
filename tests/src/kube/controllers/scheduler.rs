//! Which pod runs on which node.

use serde_json::{Map, Value, json};

use crate::kube::kinds::by_plural;
use crate::kube::object::{condition, is_leaving, list, name, text, timestamp};
use crate::kube::reads::is_on;
use crate::kube::world::World;

impl World {
    pub(super) fn schedule(&mut self) {
        let Some(kind) = by_plural("pods") else { return };
        for mut pod in self.store.copies("pods") {
            if !text(&pod, "/spec/nodeName").is_empty() || is_leaving(&pod) {
                continue;
            }
            let all = self.store.all("nodes");
            let fitting = all.filter(|node| condition(node, "Ready") == "True" && fits(&pod, node));
            let load = |node: &&Value| self.store.all("pods").filter(|pod| is_on(pod, name(node))).count();
            let time = timestamp(self.now_ms);
            match fitting.min_by_key(load).map(|node| name(node).to_owned()) {
                Some(node) => {
                    pod["spec"]["nodeName"] = node.into();
                    pod["status"]["conditions"] = json!([{ "type": "PodScheduled", "status": "True",
                        "lastTransitionTime": time }]);
                }
                None if condition(&pod, "PodScheduled") == "False" => continue,
                None => {
                    pod["status"]["conditions"] = json!([{ "type": "PodScheduled", "status": "False",
                        "reason": "Unschedulable", "message": "no node is available", "lastTransitionTime": time }]);
                }
            }
            self.store.update(kind, pod);
        }
    }
}

/// Whether a pod may be put on a node.
fn fits(pod: &Value, node: &Value) -> bool {
    node["spec"]["unschedulable"] != true && selects(pod, node) && tolerates(pod, node)
}

/// Whether a pod's selector wants the node.
pub(super) fn selects(pod: &Value, node: &Value) -> bool {
    let none = Map::new();
    let wanted = pod.pointer("/spec/nodeSelector").and_then(Value::as_object).unwrap_or(&none);
    wanted.iter().all(|(key, value)| node["metadata"]["labels"].get(key) == Some(value))
}

/// Whether a pod bears the node's taints.
pub(super) fn tolerates(pod: &Value, node: &Value) -> bool {
    let bears = |taint: &Value| {
        list(pod, "/spec/tolerations").iter().any(|toleration| {
            let effect = text(toleration, "/effect");
            let key = text(toleration, "/key");
            let exists = toleration["operator"] == "Exists";
            (effect.is_empty() || effect == text(taint, "/effect"))
                && ((key.is_empty() && exists) || key == text(taint, "/key"))
                && (exists || text(toleration, "/value") == text(taint, "/value"))
        })
    };
    let counts = |taint: &&Value| ["NoSchedule", "NoExecute"].contains(&text(taint, "/effect"));
    list(node, "/spec/taints").iter().filter(counts).all(bears)
}
