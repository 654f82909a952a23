//! Deployments: a ReplicaSet for each form of the template, the newest wanted.

use serde_json::{Value, json};

use super::owners::word;
use crate::kube::kinds::by_plural;
use crate::kube::object::{annotation, is_leaving, name, namespace, number, owner, text, timestamp};
use crate::kube::world::World;

const REVISION: &str = "deployment.kubernetes.io/revision";
const HASH: &str = "pod-template-hash";

impl World {
    pub(super) fn see_to_deployments(&mut self) {
        for deployment in self.store.copies("deployments").into_iter().filter(|it| !is_leaving(it)) {
            self.see_to_deployment(deployment);
        }
    }

    fn see_to_deployment(&mut self, deployment: Value) {
        let Some(sets) = by_plural("replicasets") else { return };
        let uid = text(&deployment, "/metadata/uid").to_owned();
        let owned = |set: &Value| owner(set).is_some_and(|(_, owner)| owner == uid);
        let mut all: Vec<Value> = self.store.copies("replicasets").into_iter().filter(|set| owned(set)).collect();
        let wanted = number(&deployment, "/spec/replicas").unwrap_or(1);
        let paused = deployment["spec"]["paused"] == true;
        let revision = |set: &Value| annotation(set, REVISION).and_then(|text| text.parse().ok()).unwrap_or(0_u64);
        let newest = all.iter().map(revision).max().unwrap_or_default();
        let current =
            match all.iter().position(|set| template_of(set) == without_empty(&deployment["spec"]["template"])) {
                Some(place) => {
                    let mut set = all.remove(place);
                    if revision(&set) < newest {
                        set["metadata"]["annotations"][REVISION] = (newest + 1).to_string().into();
                        set = self.store.update(sets, set);
                    }
                    Some(set)
                }
                None if paused => None,
                None => {
                    let hash = word(self.store.number());
                    Some(self.make("replicasets", set_of(&deployment, &hash, newest + 1)))
                }
            };
        let ready = |set: &Value| number(set, "/status/readyReplicas").unwrap_or_default();
        let mut updated = (0, 0);
        if let Some(mut set) = current {
            let current_revision = revision(&set);
            if number(&set, "/spec/replicas") != Some(wanted) {
                set["spec"]["replicas"] = wanted.into();
                set = self.store.update(sets, set);
            }
            updated = (number(&set, "/status/replicas").unwrap_or_default(), ready(&set));
            // The old ones make room as the new ones become ready.
            let mut room = (wanted - updated.1).max(0);
            for mut old in all.clone() {
                let keep = number(&old, "/spec/replicas").unwrap_or_default().min(room);
                room -= keep;
                if number(&old, "/spec/replicas") != Some(keep) {
                    old["spec"]["replicas"] = keep.into();
                    self.store.update(sets, old);
                }
            }
            self.note_revision(&deployment, current_revision);
        }
        let count = |field: &str| all.iter().filter_map(|set| number(set, &format!("/status/{field}"))).sum::<i64>();
        let total = updated.0 + count("replicas");
        let ready = updated.1 + count("readyReplicas");
        let done = updated.1 >= wanted && total == updated.0;
        let reason = if done { "NewReplicaSetAvailable" } else { "ReplicaSetUpdated" };
        let available = if ready >= wanted { "True" } else { "False" };
        let time = text(&deployment, "/metadata/creationTimestamp").to_owned();
        let time = if time.is_empty() { timestamp(self.now_ms) } else { time };
        let mut status = json!({ "observedGeneration": deployment["metadata"]["generation"], "replicas": total,
            "updatedReplicas": updated.0, "readyReplicas": ready, "availableReplicas": ready,
            "conditions": [
                { "type": "Available", "status": available, "reason": "MinimumReplicas", "message": "",
                  "lastUpdateTime": time, "lastTransitionTime": time },
                { "type": "Progressing", "status": "True", "reason": reason, "message": "",
                  "lastUpdateTime": time, "lastTransitionTime": time }] });
        if ready < wanted {
            status["unavailableReplicas"] = (wanted - ready).into();
        }
        self.tell("deployments", &deployment, status);
    }

    fn note_revision(&mut self, deployment: &Value, revision: u64) {
        let Some(kind) = by_plural("deployments") else { return };
        let found = self.store.get(kind, namespace(deployment), name(deployment)).cloned();
        let Some(mut known) = found else { return };
        known["metadata"]["annotations"][REVISION] = revision.to_string().into();
        self.store.update(kind, known);
    }
}

/// A set's template as it is in the deployment.
fn template_of(set: &Value) -> Value {
    let mut template = set["spec"]["template"].clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH);
    }
    without_empty(&template)
}

/// A value without what is there and says nothing.
fn without_empty(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().map(|(name, value)| (name.clone(), without_empty(value)));
            kept.filter(|(_, value)| !value.is_null() && *value != json!({}) && *value != json!([])).collect()
        }
        Value::Array(list) => list.iter().map(without_empty).collect(),
        _ => value.clone(),
    }
}

fn set_of(deployment: &Value, hash: &str, revision: u64) -> Value {
    let mut template = deployment["spec"]["template"].clone();
    template["metadata"]["labels"][HASH] = hash.into();
    let mut selector = deployment["spec"]["selector"].clone();
    selector["matchLabels"][HASH] = hash.into();
    let mut annotations = json!({ REVISION: revision.to_string() });
    if let Some(cause) = annotation(deployment, "kubernetes.io/change-cause") {
        annotations["kubernetes.io/change-cause"] = cause.into();
    }
    json!({ "metadata": { "name": format!("{}-{hash}", name(deployment)), "namespace": namespace(deployment),
            "labels": template["metadata"]["labels"], "annotations": annotations,
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "Deployment", "name": name(deployment),
                "uid": deployment["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true }] },
        "spec": { "replicas": 0, "selector": selector, "template": template } })
}
