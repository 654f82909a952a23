//! What a node does with its pods.
//!
//! A pod's annotations say how it behaves: `double/termination` is `prompt` (also without it), `grace` (uses all of its
//! grace period), `never` (ends only when it is deleted with a grace of 0), or milliseconds; `double/ready` is `never`
//! for one that runs but is not ready.

use serde_json::{Value, json};

use crate::kube::kinds::by_plural;
use crate::kube::object::{annotation, condition, is_leaving, list, name, number, text, timestamp, unix_ms};
use crate::kube::world::World;

/// How a pod ends.
pub const TERMINATION: &str = "double/termination";
/// Whether a pod becomes ready.
pub const READINESS: &str = "double/ready";

impl World {
    pub(super) fn run_pods(&mut self) {
        let Some(kind) = by_plural("pods") else { return };
        let nodes = |status: &[&str]| -> Vec<String> {
            let such = self.store.all("nodes").filter(|node| status.contains(&condition(node, "Ready")));
            such.map(|node| name(node).to_owned()).collect()
        };
        let (ready, lost) = (nodes(&["True"]), nodes(&["False", "Unknown"]));
        for mut pod in self.store.copies("pods") {
            let node = text(&pod, "/spec/nodeName");
            if node.is_empty() {
                continue;
            }
            if !ready.iter().any(|known| known == node) {
                // Of a node that has never said anything, nothing is known either.
                if lost.iter().any(|known| known == node) {
                    self.lose_sight(pod);
                }
                continue;
            }
            if is_leaving(&pod) {
                if self.has_ended(&pod) {
                    self.let_go(kind, &pod);
                }
                continue;
            }
            let started = unix_ms(text(&pod, "/metadata/creationTimestamp")).unwrap_or_default();
            let phase = text(&pod, "/status/phase");
            let unready = annotation(&pod, READINESS) == Some("never");
            let settled = phase == "Running" && (condition(&pod, "Ready") == "True") != unready;
            if settled || ["Succeeded", "Failed"].contains(&phase) || self.now_ms < started + self.pod_start_ms {
                continue;
            }
            pod["status"] = running(&pod, !unready, &timestamp(self.now_ms), self.store.number());
            self.store.update(kind, pod);
        }
    }

    /// A pod on a node that is not ready is not ready either, and stays as it is.
    fn lose_sight(&mut self, mut pod: Value) {
        let Some(kind) = by_plural("pods") else { return };
        let conditions = pod.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
        let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
        if let Some(condition) = ready {
            condition["status"] = "False".into();
            self.store.update(kind, pod);
        }
    }

    fn has_ended(&self, pod: &Value) -> bool {
        let grace_ms = number(pod, "/metadata/deletionGracePeriodSeconds").unwrap_or_default() * 1000;
        let ends = unix_ms(text(pod, "/metadata/deletionTimestamp")).unwrap_or_default();
        match annotation(pod, TERMINATION) {
            None | Some("prompt") => true,
            Some("never") => false,
            Some("grace") => self.now_ms >= ends,
            // The kubelet waits no longer than the grace period.
            Some(ms) => self.now_ms >= (ends - grace_ms + ms.parse::<i64>().unwrap_or_default()).min(ends),
        }
    }
}

fn running(pod: &Value, ready: bool, time: &str, number: u64) -> Value {
    let status = if ready { "True" } else { "False" };
    let condition = |kind: &str, status: &str| json!({ "type": kind, "status": status, "lastTransitionTime": time });
    let container = |container: &Value| {
        json!({ "name": container["name"], "image": container["image"], "imageID": "", "ready": ready, "started": true,
            "restartCount": 0, "state": { "running": { "startedAt": time } } })
    };
    let containers: Vec<Value> = list(pod, "/spec/containers").iter().map(container).collect();
    json!({ "phase": "Running", "qosClass": "BestEffort", "startTime": time,
        "podIP": format!("10.42.{}.{}", number / 250 % 250, number % 250 + 1),
        "hostIP": "10.0.0.1",
        "conditions": [condition("PodScheduled", "True"), condition("Initialized", "True"),
            condition("ContainersReady", status), condition("Ready", status)],
        "containerStatuses": containers })
}
