//! How Kubernetes says that something did not go: `Status` objects.

use serde_json::{Value, json};

use super::kinds::Kind;

/// A refusal: its HTTP status and its body.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    /// The HTTP status.
    pub(super) code: u16,
    /// The Status object.
    pub(super) body: Value,
}

impl Refusal {
    /// One with this reason and message.
    pub(super) fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        let mut body = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message.into(), "code": code });
        if !reason.is_empty() {
            body["reason"] = reason.into();
        }
        Self { code, body }
    }

    /// Which object it is about.
    pub(super) fn about(mut self, kind: &Kind, name: &str) -> Self {
        self.body["details"]["kind"] = kind.plural.into();
        if !kind.group.is_empty() {
            self.body["details"]["group"] = kind.group.into();
        }
        if !name.is_empty() {
            self.body["details"]["name"] = name.into();
        }
        self
    }

    /// A reason in detail.
    pub(super) fn cause(mut self, reason: &str, message: impl Into<String>, field: &str) -> Self {
        let mut cause = json!({ "reason": reason, "message": message.into() });
        if !field.is_empty() {
            cause["field"] = field.into();
        }
        match self.body["details"]["causes"].as_array_mut() {
            Some(causes) => causes.push(cause),
            None => self.body["details"]["causes"] = json!([cause]),
        }
        self
    }

    /// When it may be tried again.
    pub(super) fn retry_after(mut self, seconds: u32) -> Self {
        self.body["details"]["retryAfterSeconds"] = seconds.into();
        self
    }

    pub(super) fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {name:?} not found", kind.qualified())).about(kind, name)
    }

    pub(super) fn exists(kind: &Kind, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} {name:?} already exists", kind.qualified())).about(kind, name)
    }

    pub(super) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.qualified());
        Self::new(409, "Conflict", message).about(kind, name)
    }

    /// The usual conflict: a resourceVersion that is no longer the object's.
    pub(super) fn modified(kind: &Kind, name: &str) -> Self {
        Self::conflict(
            kind,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(super) fn invalid(kind: &Kind, name: &str, field: &str, reason: &str, why: &str) -> Self {
        let message = format!("{}{} {name:?} is invalid: {field}: {why}", kind.name, dotted(kind.group));
        Self::new(422, "Invalid", message).about(kind, name).cause(reason, why, field)
    }

    pub(super) fn gone(message: &str) -> Self {
        Self::new(410, "Expired", message)
    }
}

fn dotted(group: &str) -> String {
    if group.is_empty() { String::new() } else { format!(".{group}") }
}

/// The answer to a deletion that is done.
pub(super) fn success(kind: &Kind, object: &Value) -> Value {
    let mut details = json!({ "name": object["metadata"]["name"], "kind": kind.plural,
        "uid": object["metadata"]["uid"] });
    if !kind.group.is_empty() {
        details["group"] = kind.group.into();
    }
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}
