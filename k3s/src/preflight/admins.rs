//! The admin's part of the configuration, which is read after ours.

use serde_json::Value;

use super::Finding;
use super::facts::Facts;

/// What Rackhaven sets itself.
const OURS: [&str; 10] = [
    "agent-token",
    "agent-token-file",
    "cluster-init",
    "flannel-iface",
    "node-ip",
    "node-name",
    "server",
    "token",
    "token-file",
    "with-node-id",
];

/// A file, and its keys; none if it is not YAML of keys and values. `key+` means the same key.
type Keys<'a> = (&'a str, Option<Vec<(String, Value)>>);

fn keys(bytes: &[u8]) -> Option<Vec<(String, Value)>> {
    let text = std::str::from_utf8(bytes).ok()?;
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Some(Vec::new());
    }
    match serde_saphyr::from_str(text).ok()? {
        Value::Object(map) => {
            Some(map.into_iter().map(|(key, value)| (key.trim_end_matches('+').to_owned(), value)).collect())
        }
        Value::Null => Some(Vec::new()),
        _ => None,
    }
}

fn all(facts: &Facts) -> Vec<Keys<'_>> {
    facts.admins.iter().map(|(path, bytes)| (path.as_str(), keys(bytes))).collect()
}

/// The port of the API, where the admin has set one.
pub(super) fn admins_port(facts: &Facts) -> Option<u16> {
    let keys = all(facts).into_iter().filter_map(|(_, keys)| keys).flatten();
    let ports = keys.filter(|(key, _)| key == "https-listen-port").filter_map(|(_, value)| value.as_u64());
    ports.fold(None, |_, port| Some(port)).and_then(|port| u16::try_from(port).ok())
}

/// What of it goes against ours.
pub(super) fn admins(facts: &Facts) -> Vec<Finding> {
    let check = "admin's configuration";
    let mut found = Vec::new();
    for (path, keys) in all(facts) {
        let Some(keys) = keys else {
            let text = format!("{path} is no YAML of keys and values: K3s would not start");
            found.push(Finding::problem(check, text, format!("mend {path}")));
            continue;
        };
        if keys.iter().any(|(key, _)| key == "data-dir") {
            let text = format!("{path} sets data-dir: Rackhaven knows K3s in /var/lib/rancher/k3s only");
            let remedy = format!("remove data-dir from {path}; mount a disk at /var/lib/rancher instead");
            found.push(Finding::problem(check, text, remedy));
        }
        let over: Vec<&str> = keys.iter().map(|(key, _)| key.as_str()).filter(|key| OURS.contains(key)).collect();
        if !over.is_empty() {
            let text = format!("{path} overrides what Rackhaven sets: {}", over.join(", "));
            found.push(Finding::warning(check, text, format!("remove it from {path}, unless it is meant")));
        }
    }
    if found.is_empty() && !facts.admins.is_empty() {
        found.push(Finding::ok(check, "goes with Rackhaven's"));
    }
    found
}
