//! What is filled in and what is refused when an object comes.

use serde_json::{Value, json};

use super::kinds::Kind;
use super::object::{name, number, text};
use super::request::Request;
use super::select::label_selector;
use super::status::Refusal;

/// Reads a body: JSON, of the kind that the path names, without fields that are not known.
pub(super) fn decode(request: &Request, kind: &Kind) -> Result<Value, Refusal> {
    let unreadable =
        |why: &str| Refusal::bad(format!("the object provided is unrecognized (must be of type {}): {why}", kind.name));
    if request.content_type.contains("protobuf") {
        let message =
            "the body of the request was in an unknown format - accepted media types include: application/json";
        return Err(Refusal::new(415, "UnsupportedMediaType", message));
    }
    let mut body: Value = serde_json::from_slice(&request.body).map_err(|error| unreadable(&error.to_string()))?;
    let Some(fields) = body.as_object_mut() else { return Err(unreadable("it is no object")) };
    kind.stamp(fields);
    check_kind(&body, kind)?;
    let (known, unknown) = kind.prune(&body).map_err(|why| {
        Refusal::bad(format!(
            "{} in version {:?} cannot be handled as a {}: {why}",
            kind.name,
            kind.api_version(),
            kind.name
        ))
    })?;
    refuse_unknown(request, &unknown).map_err(Refusal::bad)?;
    Ok(known)
}

/// What `fieldValidation=Strict` says to fields that are not known.
pub(super) fn refuse_unknown(request: &Request, unknown: &[String]) -> Result<(), String> {
    if unknown.is_empty() || request.parameter("fieldValidation") != "Strict" {
        return Ok(());
    }
    let fields: Vec<String> = unknown.iter().map(|field| format!("unknown field {field:?}")).collect();
    Err(format!("strict decoding error: {}", fields.join(", ")))
}

pub(super) fn check_kind(body: &Value, kind: &Kind) -> Result<(), Refusal> {
    if body["kind"] == kind.name && body["apiVersion"] == kind.api_version().as_str() {
        return Ok(());
    }
    Err(Refusal::bad(format!(
        "the object provided is unrecognized (must be of type {}): {} {}",
        kind.name, body["apiVersion"], body["kind"]
    )))
}

/// Fills in what is usual.
pub(super) fn fill_in(kind: &Kind, object: &mut Value) {
    let mut usual = |parent: &str, field: &str, value: Value| {
        if let Some(Value::Object(fields)) = object.pointer_mut(parent) {
            fields.entry(field.to_owned()).or_insert(value);
        }
    };
    match kind.plural {
        "pods" => {
            usual("/spec", "terminationGracePeriodSeconds", json!(30));
            usual("/spec", "restartPolicy", json!("Always"));
        }
        "deployments" | "replicasets" | "statefulsets" => {
            usual("/spec", "replicas", json!(1));
            usual("/spec/template/spec", "terminationGracePeriodSeconds", json!(30));
            usual("/spec/template/spec", "restartPolicy", json!("Always"));
            if kind.plural == "deployments" {
                usual("/spec", "revisionHistoryLimit", json!(10));
                usual("/spec", "progressDeadlineSeconds", json!(600));
                let rolling = json!({ "maxSurge": "25%", "maxUnavailable": "25%" });
                usual("/spec", "strategy", json!({ "type": "RollingUpdate", "rollingUpdate": rolling }));
            }
        }
        "daemonsets" => usual("/spec/template/spec", "terminationGracePeriodSeconds", json!(30)),
        "services" => {
            usual("/spec", "type", json!("ClusterIP"));
            usual("/spec", "clusterIP", json!("10.43.0.10"));
        }
        "persistentvolumeclaims" => usual("", "status", json!({ "phase": "Pending" })),
        _ => {}
    }
}

/// Refuses what cannot be.
pub(super) fn validate(kind: &Kind, object: &Value) -> Result<(), Refusal> {
    let called = name(object);
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = |c: char| plain(c) || c == '-' || c == '.' || (kind.group.starts_with("rbac") && c != '/');
    if called.is_empty() || called.len() > 253 || !called.chars().all(fits) || !called.starts_with(plain) {
        let why = format!(
            "Invalid value: {called:?}: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
             characters, '-' or '.', and must start and end with an alphanumeric character"
        );
        return Err(Refusal::invalid(kind, called, "metadata.name", "FieldValueInvalid", &why));
    }
    let replicas = number(object, "/spec/replicas").unwrap_or_default();
    if replicas < 0 {
        let why = format!("Invalid value: {replicas}: must be greater than or equal to 0");
        return Err(Refusal::invalid(kind, called, "spec.replicas", "FieldValueInvalid", &why));
    }
    let template = match kind.plural {
        "pods" => Some((object, "")),
        "deployments" | "replicasets" | "statefulsets" | "daemonsets" => {
            object.pointer("/spec/template").map(|template| (template, "spec.template."))
        }
        _ => None,
    };
    let Some((template, path)) = template else { return Ok(()) };
    let required = |field: String| Refusal::invalid(kind, called, &field, "FieldValueRequired", "Required value");
    if !path.is_empty() {
        let selector = &object["spec"]["selector"];
        if selector.as_object().is_none_or(serde_json::Map::is_empty) {
            return Err(required("spec.selector".to_owned()));
        }
        if !label_selector(selector, &template["metadata"]["labels"]) {
            let why = "Invalid value: `selector` does not match template `labels`";
            let field = "spec.template.metadata.labels";
            return Err(Refusal::invalid(kind, called, field, "FieldValueInvalid", why));
        }
    }
    let containers = template["spec"]["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    if containers.is_empty() {
        return Err(required(format!("{path}spec.containers")));
    }
    for (number, container) in containers.iter().enumerate() {
        for field in ["name", "image"] {
            if text(container, &format!("/{field}")).is_empty() {
                return Err(required(format!("{path}spec.containers[{number}].{field}")));
            }
        }
    }
    Ok(())
}

/// Refuses a change of what cannot be changed.
pub(super) fn validate_change(kind: &Kind, before: &Value, after: &Value) -> Result<(), Refusal> {
    let fixed = ["deployments", "replicasets", "daemonsets", "statefulsets"].contains(&kind.plural);
    if fixed && before["spec"]["selector"] != after["spec"]["selector"] {
        let why = format!("Invalid value: {}: field is immutable", after["spec"]["selector"]);
        return Err(Refusal::invalid(kind, name(before), "spec.selector", "FieldValueInvalid", &why));
    }
    validate(kind, after)
}
