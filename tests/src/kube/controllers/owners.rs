//! Those that own pods: ReplicaSets, StatefulSets, DaemonSets.

use serde_json::{Value, json};

use super::scheduler::{selects, tolerates};
use crate::kube::kinds::by_plural;
use crate::kube::object::{condition, is_leaving, name, namespace, number, owner, text};
use crate::kube::world::World;

impl World {
    pub(super) fn see_to_owners(&mut self) {
        for set in self.store.copies("replicasets").into_iter().filter(|set| !is_leaving(set)) {
            self.see_to_replicas(&set);
        }
        for set in self.store.copies("statefulsets").into_iter().filter(|set| !is_leaving(set)) {
            self.see_to_stateful(&set);
        }
        for set in self.store.copies("daemonsets").into_iter().filter(|set| !is_leaving(set)) {
            self.see_to_daemons(&set);
        }
    }

    fn pods_of(&self, set: &Value) -> Vec<Value> {
        let uid = text(set, "/metadata/uid");
        let owned = |pod: &&Value| owner(pod).is_some_and(|(_, owner)| owner == uid);
        self.store.all("pods").filter(owned).cloned().collect()
    }

    fn see_to_replicas(&mut self, set: &Value) {
        let wanted = usize::try_from(number(set, "/spec/replicas").unwrap_or(1)).unwrap_or_default();
        let ended = |pod: &Value| ["Failed", "Succeeded"].contains(&text(pod, "/status/phase"));
        let mut pods: Vec<Value> =
            self.pods_of(set).into_iter().filter(|pod| !is_leaving(pod) && !ended(pod)).collect();
        // Those that are not ready go first.
        pods.sort_by_key(|pod| condition(pod, "Ready") == "True");
        while pods.len() > wanted {
            let pod = pods.remove(0);
            self.dismiss("pods", &pod);
        }
        for _ in pods.len()..wanted {
            let suffix = word(self.store.number());
            self.make_pod(set, "ReplicaSet", &format!("{}-{suffix}", name(set)), "");
        }
        let pods = self.pods_of(set);
        let there = pods.iter().filter(|pod| !is_leaving(pod)).count();
        let ready = pods.iter().filter(|pod| !is_leaving(pod) && condition(pod, "Ready") == "True").count();
        let status = json!({ "replicas": there, "fullyLabeledReplicas": there, "readyReplicas": ready,
            "availableReplicas": ready, "observedGeneration": set["metadata"]["generation"] });
        self.tell("replicasets", set, status);
    }

    fn see_to_stateful(&mut self, set: &Value) {
        let wanted = number(set, "/spec/replicas").unwrap_or(1);
        let pods = self.pods_of(set);
        let called = |number: i64| format!("{}-{number}", name(set));
        let mut ready = 0;
        for number in 0..wanted {
            match pods.iter().find(|pod| name(pod) == called(number)) {
                None => {
                    self.make_pod(set, "StatefulSet", &called(number), "");
                    break;
                }
                Some(pod) if condition(pod, "Ready") == "True" => ready += 1,
                Some(_) => break,
            }
        }
        for pod in pods.iter().filter(|pod| (0..wanted).all(|number| name(pod) != called(number))) {
            self.dismiss("pods", pod);
        }
        let status = json!({ "replicas": pods.len(), "readyReplicas": ready, "availableReplicas": ready,
            "currentReplicas": pods.len(), "updatedReplicas": pods.len(),
            "observedGeneration": set["metadata"]["generation"] });
        self.tell("statefulsets", set, status);
    }

    fn see_to_daemons(&mut self, set: &Value) {
        let pods = self.pods_of(set);
        let mut template = pod_of(set, "DaemonSet", "x", "");
        // As the DaemonSet controller does: a cordon and a lost node do not drive its pods away.
        let tolerations = json!([{ "key": "node.kubernetes.io/unschedulable", "operator": "Exists" },
            { "key": "node.kubernetes.io/not-ready", "operator": "Exists" },
            { "key": "node.kubernetes.io/unreachable", "operator": "Exists" }]);
        if let (Some(own), Some(more)) = (template["spec"]["tolerations"].as_array_mut(), tolerations.as_array()) {
            own.extend(more.iter().cloned());
        } else {
            template["spec"]["tolerations"] = tolerations;
        }
        let wanted: Vec<String> = self
            .store
            .all("nodes")
            .filter(|node| selects(&template, node) && tolerates(&template, node))
            .map(|node| name(node).to_owned())
            .collect();
        for node in &wanted {
            if !pods.iter().any(|pod| text(pod, "/spec/nodeName") == node) {
                let suffix = word(self.store.number());
                self.make_pod(set, "DaemonSet", &format!("{}-{suffix}", name(set)), node);
            }
        }
        for pod in pods.iter().filter(|pod| !wanted.iter().any(|node| node == text(pod, "/spec/nodeName"))) {
            self.dismiss("pods", pod);
        }
        let ready = pods.iter().filter(|pod| condition(pod, "Ready") == "True").count();
        let status = json!({ "currentNumberScheduled": pods.len(), "desiredNumberScheduled": wanted.len(),
            "numberAvailable": ready, "numberMisscheduled": 0, "numberReady": ready,
            "updatedNumberScheduled": pods.len(), "observedGeneration": set["metadata"]["generation"] });
        self.tell("daemonsets", set, status);
    }

    fn make_pod(&mut self, set: &Value, kind: &str, called: &str, node: &str) {
        self.make("pods", pod_of(set, kind, called, node));
    }

    /// Writes down a status, if it is another.
    pub(super) fn tell(&mut self, plural: &'static str, object: &Value, status: Value) {
        let Some(kind) = by_plural(plural) else { return };
        let Some(mut known) = self.store.get(kind, namespace(object), name(object)).cloned() else { return };
        known["status"] = status;
        self.store.update(kind, known);
    }
}

/// A pod from a set's template.
fn pod_of(set: &Value, kind: &str, called: &str, node: &str) -> Value {
    let template = &set["spec"]["template"];
    let owner = json!({ "apiVersion": "apps/v1", "kind": kind, "name": name(set), "uid": set["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true });
    let mut pod = json!({ "metadata": { "name": called, "namespace": namespace(set),
        "labels": template["metadata"]["labels"], "ownerReferences": [owner] },
        "spec": template["spec"], "status": { "phase": "Pending", "qosClass": "BestEffort" } });
    if let Some(annotations) = template["metadata"].get("annotations") {
        pod["metadata"]["annotations"] = annotations.clone();
    }
    if !node.is_empty() {
        pod["spec"]["nodeName"] = node.into();
    }
    pod
}

/// Five letters that look like Kubernetes' own.
pub(super) fn word(number: u64) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut rest = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
    let mut word = String::new();
    for _ in 0..5 {
        let index = usize::try_from(rest % LETTERS.len() as u64).unwrap_or_default();
        word.push(LETTERS.get(index).copied().map_or('x', char::from));
        rest /= LETTERS.len() as u64;
    }
    word
}
