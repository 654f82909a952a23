//! The kinds that are held, and what may stand in them: the types of Kubernetes' own definitions.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::core::v1::{
    ConfigMap, Event, Namespace, Node, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::api::policy::v1::{Eviction, PodDisruptionBudget};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Reads a value as its type does and gives back what the type knows of it.
type Check = fn(&Value) -> Result<Value, String>;

/// A kind of objects.
#[derive(Debug)]
pub(super) struct Kind {
    /// Its API group; empty for the core.
    pub(super) group: &'static str,
    /// The version of the group.
    pub(super) version: &'static str,
    /// Its name: Pod.
    pub(super) name: &'static str,
    /// Its name in paths: pods.
    pub(super) plural: &'static str,
    /// A short name that kubectl takes; empty for none.
    pub(super) short: &'static str,
    /// Whether its objects are in namespaces.
    pub(super) namespaced: bool,
    check: Check,
}

fn check<T: DeserializeOwned + Serialize>(value: &Value) -> Result<Value, String> {
    let typed = T::deserialize(value).map_err(|error| error.to_string())?;
    serde_json::to_value(typed).map_err(|error| error.to_string())
}

const fn kind(
    group: &'static str,
    name: &'static str,
    plural: &'static str,
    short: &'static str,
    check: Check,
) -> Kind {
    Kind { group, version: "v1", name, plural, short, namespaced: true, check }
}

const fn wide(kind: Kind) -> Kind {
    Kind { namespaced: false, ..kind }
}

const RBAC: &str = "rbac.authorization.k8s.io";

/// All that are held.
pub(super) static KINDS: [Kind; 19] = [
    wide(kind("", "Namespace", "namespaces", "ns", check::<Namespace>)),
    wide(kind("", "Node", "nodes", "no", check::<Node>)),
    kind("", "Pod", "pods", "po", check::<Pod>),
    kind("", "Service", "services", "svc", check::<Service>),
    kind("", "ConfigMap", "configmaps", "cm", check::<ConfigMap>),
    kind("", "Secret", "secrets", "", check::<Secret>),
    kind("", "ServiceAccount", "serviceaccounts", "sa", check::<ServiceAccount>),
    kind("", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", check::<PersistentVolumeClaim>),
    kind("", "Event", "events", "ev", check::<Event>),
    kind("apps", "Deployment", "deployments", "deploy", check::<Deployment>),
    kind("apps", "ReplicaSet", "replicasets", "rs", check::<ReplicaSet>),
    kind("apps", "StatefulSet", "statefulsets", "sts", check::<StatefulSet>),
    kind("apps", "DaemonSet", "daemonsets", "ds", check::<DaemonSet>),
    kind("policy", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", check::<PodDisruptionBudget>),
    kind("networking.k8s.io", "Ingress", "ingresses", "ing", check::<Ingress>),
    wide(kind(RBAC, "ClusterRole", "clusterroles", "", check::<ClusterRole>)),
    wide(kind(RBAC, "ClusterRoleBinding", "clusterrolebindings", "", check::<ClusterRoleBinding>)),
    kind(RBAC, "Role", "roles", "", check::<Role>),
    kind(RBAC, "RoleBinding", "rolebindings", "", check::<RoleBinding>),
];

/// What is posted to evict a pod.
pub(super) static EVICTION: Kind = kind("policy", "Eviction", "eviction", "", check::<Eviction>);
/// The number of replicas of something.
pub(super) static SCALE: Kind = kind("autoscaling", "Scale", "scale", "", check::<Scale>);

/// The kind of that name in paths.
pub(super) fn by_plural(plural: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.plural == plural)
}

impl Kind {
    /// `v1`, `apps/v1`.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pods`, `deployments.apps`, as messages name it.
    pub(super) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Names itself in an object that does not.
    pub(super) fn stamp(&self, object: &mut Map<String, Value>) {
        object.entry("apiVersion").or_insert_with(|| self.api_version().into());
        object.entry("kind").or_insert_with(|| self.name.into());
    }

    /// The object without what its type does not know, and the paths of that.
    ///
    /// # Errors
    /// When a field has a wrong type.
    pub(super) fn prune(&self, object: &Value) -> Result<(Value, Vec<String>), String> {
        let known = (self.check)(object)?;
        let mut unknown = Vec::new();
        compare(object, &known, "", &mut unknown);
        Ok((known, unknown))
    }
}

/// What is in `given` and not in `known`. What is empty may be left out by the type.
fn compare(given: &Value, known: &Value, path: &str, unknown: &mut Vec<String>) {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => {
            for (name, value) in given {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match known.get(name) {
                    Some(known) => compare(value, known, &path, unknown),
                    None if is_empty(value) => {}
                    None => unknown.push(path),
                }
            }
        }
        (Value::Array(given), Value::Array(known)) => {
            for (number, (given, known)) in given.iter().zip(known).enumerate() {
                compare(given, known, &format!("{path}[{number}]"), unknown);
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{EVICTION, by_plural};

    #[test]
    fn what_a_type_does_not_know_is_named() {
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "a", "labels": { "x": "y" } },
            "spec": { "containers": [{ "name": "a", "imag": "x" }], "volumes": [] } });
        let (known, unknown) = by_plural("pods").unwrap().prune(&pod).unwrap();
        assert_eq!(unknown, ["spec.containers[0].imag"]);
        assert_eq!(known["metadata"]["labels"]["x"], "y");
        assert!(by_plural("pods").unwrap().prune(&json!({ "apiVersion": "v1", "kind": "Pod", "spec": 3 })).is_err());
        let wrong = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "a" },
            "delete_options": {} });
        assert_eq!(EVICTION.prune(&wrong).unwrap().1, ["delete_options"]);
    }
}
