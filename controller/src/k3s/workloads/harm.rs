//! What with the cluster's objects is for admins only: what an operator could become root on the nodes by, and what
//! destroys more than itself.

use rackhaven_proto::model::Role;
use serde_json::Value;

use super::kinds::Kind;
use super::{list, text};

/// Why somebody may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// With a higher role it could be done.
    Role(String),
    /// Nobody can, here.
    Never(String),
}

/// Where what keeps the cluster going runs.
const OF_THE_CLUSTER: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Decides whether somebody with this role may apply an object; none may all.
///
/// # Errors
/// The reason why not.
pub fn may_apply(kind: &Kind, object: &Value, namespace: &str, role: Option<Role>) -> Result<(), Denied> {
    let least = kind.apply.map_err(|why| Denied::Never(format!("{} is not applied: {why}", kind.name)))?;
    let reach = (least < Role::Admin).then(|| reach(kind, object, namespace)).flatten();
    let (least, why) = match reach {
        Some(reach) => (Role::Admin, format!("a {} that {reach}", kind.name)),
        None => (least, kind.name.to_owned()),
    };
    at_least(least, role, &format!("applying {why}"))
}

/// Decides whether somebody with this role may delete an object; none may all.
///
/// # Errors
/// The reason why not.
pub fn may_delete(kind: &Kind, namespace: &str, role: Option<Role>) -> Result<(), Denied> {
    let least = kind.delete.map_err(|why| Denied::Never(format!("{} is not deleted: {why}", kind.name)))?;
    // A pod that is deleted comes again.
    if kind.name != "Pod" && OF_THE_CLUSTER.contains(&namespace) {
        return at_least(Role::Admin, role, &format!("deleting a {} in {namespace}", kind.name));
    }
    at_least(least, role, &format!("deleting a {}", kind.name))
}

fn at_least(least: Role, role: Option<Role>, what: &str) -> Result<(), Denied> {
    match role {
        Some(role) if role < least => Err(Denied::Role(format!("{what} needs the role {least}; you are {role}"))),
        _ => Ok(()),
    }
}

/// How far an object reaches beyond its own pods; none if it does not.
fn reach(kind: &Kind, object: &Value, namespace: &str) -> Option<String> {
    if OF_THE_CLUSTER.contains(&namespace) {
        return Some(format!("is in {namespace}"));
    }
    if kind.name == "Service" && !list(object, "/spec/externalIPs").is_empty() {
        return Some("takes over addresses: externalIPs".to_owned());
    }
    let spec = match kind.name {
        "Pod" => object.get("spec"),
        _ => object.pointer("/spec/template/spec"),
    }?;
    let says = |field: &str| spec[field] == true;
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if says(field) {
            return Some(format!("shares the node's own: {field}"));
        }
    }
    // Another account may have rights in the cluster.
    for field in ["serviceAccountName", "serviceAccount"] {
        if !["", "default"].contains(&text(spec, &format!("/{field}"))) {
            return Some(format!("runs by another account: {field}"));
        }
    }
    // What runs on the node itself, or tells the scheduler nothing.
    if !text(spec, "/nodeName").is_empty() {
        return Some("passes the scheduler by: nodeName".to_owned());
    }
    const HARMLESS: [&str; 7] =
        ["configMap", "emptyDir", "persistentVolumeClaim", "downwardAPI", "projected", "ephemeral", "secret"];
    for volume in list(spec, "/volumes") {
        let others = volume.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        if let Some(other) = others.into_iter().find(|name| *name != "name" && !HARMLESS.contains(name)) {
            return Some(format!("mounts what is not its own: {other}"));
        }
    }
    let containers = ["/initContainers", "/containers", "/ephemeralContainers"].into_iter();
    containers.flat_map(|path| list(spec, path)).find_map(of_container)
}

fn of_container(container: &Value) -> Option<String> {
    let context = &container["securityContext"];
    if context["privileged"] == true {
        return Some("is privileged".to_owned());
    }
    if !list(context, "/capabilities/add").is_empty() {
        return Some("asks for capabilities".to_owned());
    }
    if !["", "Default"].contains(&text(context, "/procMount")) {
        return Some("sees the node's processes: procMount".to_owned());
    }
    if !list(container, "/volumeDevices").is_empty() {
        return Some("uses devices: volumeDevices".to_owned());
    }
    let host_port =
        list(container, "/ports").iter().any(|port| port["hostPort"].as_i64().is_some_and(|port| port != 0));
    host_port.then(|| "takes a port of the node: hostPort".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Denied, Role, may_apply, may_delete};
    use crate::k3s::workloads::by_word;

    fn deployment(spec: &Value) -> Value {
        json!({ "spec": { "template": { "spec": spec } } })
    }

    #[test]
    fn what_reaches_beyond_its_pods_is_for_admins() {
        let container = |more: Value| json!({ "containers": [{ "name": "a" }, more] });
        for (spec, reach) in [
            (json!({ "hostNetwork": true }), "hostNetwork"),
            (json!({ "hostPID": true }), "hostPID"),
            (json!({ "serviceAccountName": "admin" }), "serviceAccountName"),
            (json!({ "nodeName": "master" }), "nodeName"),
            (json!({ "volumes": [{ "name": "a", "hostPath": { "path": "/" } }] }), "hostPath"),
            (json!({ "volumes": [{ "name": "a", "csi": {} }] }), "csi"),
            (container(json!({ "securityContext": { "privileged": true } })), "privileged"),
            (container(json!({ "securityContext": { "capabilities": { "add": ["SYS_ADMIN"] } } })), "capabilities"),
            (container(json!({ "ports": [{ "containerPort": 80, "hostPort": 22 }] })), "hostPort"),
        ] {
            let kind = by_word("deploy").unwrap();
            let object = deployment(&spec);
            let Err(Denied::Role(why)) = may_apply(kind, &object, "default", Some(Role::Operator)) else {
                panic!("{spec}")
            };
            assert!(why.contains(reach) && why.contains("needs the role admin; you are operator"), "{why}");
            for role in [Some(Role::Admin), None] {
                assert_eq!(may_apply(kind, &object, "default", role), Ok(()));
            }
            let pod = json!({ "spec": spec });
            assert!(may_apply(by_word("pod").unwrap(), &pod, "default", Some(Role::Operator)).is_err());
        }
        let plain = deployment(&json!({ "containers": [{ "name": "a", "ports": [{ "containerPort": 80 }] }],
            "volumes": [{ "name": "a", "configMap": {} }], "serviceAccountName": "default" }));
        let operator = Some(Role::Operator);
        assert_eq!(may_apply(by_word("deploy").unwrap(), &plain, "default", operator), Ok(()));
        assert!(may_apply(by_word("deploy").unwrap(), &plain, "kube-system", operator).is_err());
        let service = json!({ "spec": { "externalIPs": ["10.0.0.1"] } });
        assert!(may_apply(by_word("svc").unwrap(), &service, "default", operator).is_err());
        assert!(may_apply(by_word("ns").unwrap(), &json!({}), "", operator).is_err());
        assert!(matches!(may_apply(by_word("no").unwrap(), &json!({}), "", None), Err(Denied::Never(_))));
    }

    #[test]
    fn who_may_delete_golden() {
        for (word, namespace, operator, admin) in [
            ("pod", "default", true, true),
            ("pod", "kube-system", true, true),
            ("deploy", "default", true, true),
            ("deploy", "kube-system", false, true),
            ("pvc", "default", false, true),
            ("ns", "", false, true),
            ("node", "", false, false),
            ("rs", "default", false, false),
        ] {
            let kind = by_word(word).unwrap();
            assert_eq!(may_delete(kind, namespace, Some(Role::Operator)).is_ok(), operator, "{word}");
            assert_eq!(may_delete(kind, namespace, None).is_ok(), admin, "{word}");
        }
    }
}
