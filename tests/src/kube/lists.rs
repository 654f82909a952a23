//! Which lists are of things with a key, so that they are merged thing by thing.

use serde_json::{Map, Value, json};

/// By what the things in a list of this name are told apart; none where the list is one value.
pub(super) fn keys(list: &str, things: &[Value]) -> Option<&'static [&'static str]> {
    let has = |key: &str| things.iter().any(|thing| thing.get(key).is_some());
    Some(match list {
        "containers" | "initContainers" | "ephemeralContainers" | "env" | "volumes" | "imagePullSecrets" => &["name"],
        "volumeMounts" => &["mountPath"],
        "ports" if has("containerPort") => &["containerPort", "protocol"],
        "ports" if has("port") => &["port", "protocol"],
        "conditions" => &["type"],
        "ownerReferences" => &["uid"],
        "hostAliases" => &["ip"],
        "topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
        _ => return None,
    })
}

/// The key of a thing.
pub(super) fn key_of(thing: &Value, keys: &[&str]) -> Map<String, Value> {
    let value = |key: &str| match thing.get(key) {
        Some(value) => value.clone(),
        None if key == "protocol" => json!("TCP"),
        None => Value::Null,
    };
    keys.iter().map(|key| ((*key).to_owned(), value(key))).collect()
}

/// Whether two things are the same by their key.
pub(super) fn same(one: &Value, other: &Value, keys: &[&str]) -> bool {
    key_of(one, keys) == key_of(other, keys)
}
