//! What there is to be asked for, told to whoever asks.

use serde_json::{Value, json};

use super::kinds::{KINDS, Kind};
use super::world::{Answer, VERSION};

/// What is told without a token.
pub(super) fn answer_to_all(path: &str) -> Option<Answer> {
    match path {
        "/version" => {
            let (major, rest) = VERSION.trim_start_matches('v').split_once('.')?;
            let minor = rest.split('.').next()?;
            Some(Answer::Json(200, json!({ "major": major, "minor": minor, "gitVersion": VERSION })))
        }
        "/readyz" | "/livez" | "/healthz" => Some(Answer::Text("ok".to_owned())),
        _ => None,
    }
}

/// What is told to whoever has one.
pub(super) fn answer(path: &str) -> Option<Answer> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let body = match parts.as_slice() {
        ["api"] => json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] }),
        ["apis"] => json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups() }),
        ["api", "v1"] => resources("", "v1"),
        ["apis", group] => groups().into_iter().find(|it| it["name"] == *group)?,
        ["apis", group, "v1"] if KINDS.iter().any(|kind| kind.group == *group) => {
            resources(group, &format!("{group}/v1"))
        }
        _ => return None,
    };
    Some(Answer::Json(200, body))
}

fn groups() -> Vec<Value> {
    let mut names: Vec<&str> = KINDS.iter().map(|kind| kind.group).filter(|group| !group.is_empty()).collect();
    names.dedup();
    let group = |name: &&str| {
        let version = json!({ "groupVersion": format!("{name}/v1"), "version": "v1" });
        json!({ "kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": [version],
            "preferredVersion": version })
    };
    names.iter().map(group).collect()
}

fn resources(group: &str, version: &str) -> Value {
    const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    let resource = |kind: &Kind| {
        let short: Vec<&str> = Some(kind.short).filter(|short| !short.is_empty()).into_iter().collect();
        json!({ "name": kind.plural, "singularName": kind.name.to_lowercase(), "namespaced": kind.namespaced,
            "kind": kind.name, "shortNames": short, "verbs": VERBS })
    };
    let mut all: Vec<Value> = KINDS.iter().filter(|kind| kind.group == group).map(resource).collect();
    let sub = |name: &str, group: &str, kind: &str, verbs: &[&str]| {
        json!({ "name": name, "singularName": "", "namespaced": true, "group": group, "version": "v1", "kind": kind,
            "verbs": verbs })
    };
    match group {
        "" => {
            all.extend([sub("pods/eviction", "policy", "Eviction", &["create"]), sub("pods/log", "", "Pod", &["get"])]);
        }
        "apps" => all.extend(
            ["deployments/scale", "statefulsets/scale", "replicasets/scale"]
                .map(|name| sub(name, "autoscaling", "Scale", &["get", "patch", "update"])),
        ),
        _ => {}
    }
    json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": all })
}
