//! The kinds of objects that are spoken of, and who may do what with them.

use rackhaven_proto::model::Role;
use serde_json::Value;

use super::event_row;
use super::rows::{self, Cells};

/// A kind of objects.
#[derive(Debug)]
pub struct Kind {
    /// Pod.
    pub name: &'static str,
    /// `v1`, `apps/v1`.
    pub api_version: &'static str,
    /// pods.
    pub plural: &'static str,
    /// Other words for it, beside its name and its plural.
    words: &'static [&'static str],
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Who may at least apply one, or why nobody.
    pub apply: Result<Role, &'static str>,
    /// Who may at least delete one, or why nobody.
    pub delete: Result<Role, &'static str>,
    /// The columns of its rows, and whether they are only for those who have room.
    pub columns: &'static [(&'static str, bool)],
    pub(super) cells: Cells,
    /// By what its objects are sorted; none: as the API has them.
    pub sorted_by: Option<fn(&Value) -> i64>,
}

const OWNED: &str = "it is made by its Deployment: change that";
const WRITTEN: &str = "the cluster writes it, and forgets it after an hour";
const NODES: &str = "nodes join and leave by `ctl k3s join` and `ctl k3s leave`";

const fn kind(
    name: &'static str,
    api_version: &'static str,
    plural: &'static str,
    words: &'static [&'static str],
    columns: &'static [(&'static str, bool)],
    cells: Cells,
) -> Kind {
    let operator = Ok(Role::Operator);
    Kind {
        name,
        api_version,
        plural,
        words,
        namespaced: true,
        apply: operator,
        delete: operator,
        columns,
        cells,
        sorted_by: None,
    }
}

/// All kinds.
static KINDS: [Kind; 13] = [
    Kind {
        namespaced: false,
        apply: Err(NODES),
        delete: Err(NODES),
        ..kind("Node", "v1", "nodes", &["no"], rows::NODE, rows::node)
    },
    Kind {
        namespaced: false,
        apply: Ok(Role::Admin),
        delete: Ok(Role::Admin),
        ..kind("Namespace", "v1", "namespaces", &["ns"], rows::NAMESPACE, rows::namespace)
    },
    kind("Pod", "v1", "pods", &["po"], rows::POD, super::pod_row::pod),
    kind("Deployment", "apps/v1", "deployments", &["deploy"], rows::DEPLOYMENT, rows::deployment),
    kind("StatefulSet", "apps/v1", "statefulsets", &["sts"], rows::STATEFUL_SET, rows::stateful_set),
    kind("DaemonSet", "apps/v1", "daemonsets", &["ds"], rows::DAEMON_SET, rows::daemon_set),
    Kind {
        apply: Err(OWNED),
        delete: Err(OWNED),
        ..kind("ReplicaSet", "apps/v1", "replicasets", &["rs"], rows::REPLICA_SET, rows::replica_set)
    },
    kind("Service", "v1", "services", &["svc"], rows::SERVICE, rows::service),
    kind("ConfigMap", "v1", "configmaps", &["cm"], rows::CONFIG_MAP, rows::config_map),
    // Its data goes with it.
    Kind {
        delete: Ok(Role::Admin),
        ..kind("PersistentVolumeClaim", "v1", "persistentvolumeclaims", &["pvc"], rows::CLAIM, rows::claim)
    },
    kind("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets", &["pdb"], rows::BUDGET, rows::budget),
    kind("Ingress", "networking.k8s.io/v1", "ingresses", &["ing"], rows::INGRESS, rows::ingress),
    Kind {
        apply: Err(WRITTEN),
        delete: Err(WRITTEN),
        sorted_by: Some(event_row::seen_ms),
        ..kind("Event", "v1", "events", &["ev"], event_row::EVENT, event_row::event)
    },
];

impl Kind {
    /// `pod`, `deployment.apps`, as messages name it.
    pub fn qualified(&self) -> String {
        let group = self.api_version.split_once('/').map(|(group, _)| format!(".{group}"));
        format!("{}{}", self.name.to_lowercase(), group.unwrap_or_default())
    }
}

fn listed(wanted: impl Fn(&Kind) -> bool) -> String {
    let names: Vec<&str> = KINDS.iter().filter(|kind| wanted(kind)).map(|kind| kind.name).collect();
    names.join(", ")
}

/// The kind that people mean by a word.
///
/// # Errors
/// Which kinds there are.
pub fn by_word(word: &str) -> Result<&'static Kind, String> {
    let lower = word.to_lowercase();
    let plain = lower.split('.').next().unwrap_or_default();
    let is_it = |kind: &&Kind| plain == kind.plural || plain == kind.name.to_lowercase() || kind.words.contains(&plain);
    if let Some(kind) = KINDS.iter().find(is_it) {
        return Ok(kind);
    }
    if ["secret", "secrets"].contains(&plain) {
        return Err(SECRETS.to_owned());
    }
    Err(format!("{word:?} is none of the kinds that are spoken of here: {}", listed(|_| true)))
}

const SECRETS: &str = "Secrets are not spoken of here: Rackhaven has no right to read or write them in the cluster, so that \
    who takes over the controller does not have them; use kubectl";

/// The kind of an object that is given.
///
/// # Errors
/// Why such an object is not taken.
pub fn by_object(object: &Value) -> Result<&'static Kind, String> {
    let (kind, version) = (super::text(object, "/kind"), super::text(object, "/apiVersion"));
    if kind.is_empty() || version.is_empty() {
        return Err("it has no kind and apiVersion".to_owned());
    }
    if kind == "Secret" {
        return Err(SECRETS.to_owned());
    }
    let Some(found) = KINDS.iter().find(|known| known.name == kind) else {
        return Err(format!("{kind} is none of the kinds that are applied: {}", listed(|kind| kind.apply.is_ok())));
    };
    if found.api_version != version {
        return Err(format!("{kind} is of {}, not of {version:?}", found.api_version));
    }
    found.apply.map(|_| found).map_err(|why| format!("{kind} is not applied: {why}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{by_object, by_word};

    #[test]
    fn words_golden() {
        for (word, plural) in [
            ("po", "pods"),
            ("Pod", "pods"),
            ("deployments.apps", "deployments"),
            ("deploy", "deployments"),
            ("ing", "ingresses"),
            ("pvc", "persistentvolumeclaims"),
            ("ev", "events"),
        ] {
            assert_eq!(by_word(word).unwrap().plural, plural);
        }
        assert_eq!(by_word("deploy").unwrap().qualified(), "deployment.apps");
        assert!(by_word("jobs").unwrap_err().contains("Node, Namespace, Pod, Deployment"));
        assert!(by_word("secrets").unwrap_err().contains("use kubectl"));
        for (kind, version, reason) in [
            ("Deployment", "apps/v1beta1", "Deployment is of apps/v1, not of \"apps/v1beta1\""),
            ("Secret", "v1", "Secrets are not spoken of"),
            ("Job", "batch/v1", "Job is none of the kinds that are applied: Namespace, Pod,"),
            ("Node", "v1", "Node is not applied: nodes join"),
            ("", "v1", "it has no kind"),
        ] {
            let error = by_object(&json!({ "kind": kind, "apiVersion": version })).unwrap_err();
            assert!(error.starts_with(reason), "{error}");
        }
    }
}
