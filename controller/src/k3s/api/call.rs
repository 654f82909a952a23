//! A request, without a server to send it to.

use http::{Method, Request};
use serde_json::Value;

use super::error::ApiError;

/// Where objects of a kind are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// `v1`, `apps/v1`.
    pub api_version: &'a str,
    /// `pods`.
    pub plural: &'a str,
    /// Of objects in namespaces; none for all of them, and for those in none.
    pub namespace: Option<&'a str>,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
    /// In words, for errors: evicting pod a/b.
    pub(super) what: String,
    wrong: Option<String>,
}

impl Call {
    /// A request for a path that is the API's own.
    pub fn get(what: impl Into<String>, path: &str) -> Self {
        Self {
            method: Method::GET,
            path: path.to_owned(),
            content_type: "application/json",
            body: Vec::new(),
            what: what.into(),
            wrong: None,
        }
    }

    /// A request for an object, or for all of them if `name` is empty.
    pub fn of(method: Method, what: impl Into<String>, place: Place<'_>, name: &str) -> Self {
        let Place { api_version, plural, namespace } = place;
        let root = if api_version.contains('/') { "apis" } else { "api" };
        let mut call = Self::get(what, &format!("/{root}/{api_version}"));
        if let Some(namespace) = namespace {
            call = call.part("namespaces").part(namespace);
        }
        call = call.part(plural);
        if !name.is_empty() {
            call = call.part(name);
        }
        Self { method, ..call }
    }

    /// A further part of the path.
    pub fn part(mut self, part: &str) -> Self {
        if let Err(reason) = check_name(part) {
            self.wrong = Some(reason);
        }
        self.path.push('/');
        self.path.push_str(part);
        self
    }

    /// A parameter.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(name);
        self.path.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                self.path.push(char::from(byte));
            } else {
                self.path.push_str(&format!("%{byte:02X}"));
            }
        }
        self
    }

    /// A body that the server is to understand wholly. (Of how something is deleted it does so anyway.)
    pub fn body(self, content_type: &'static str, body: &Value) -> Self {
        let is_deletion = self.method == Method::DELETE;
        let mut call = if is_deletion { self } else { self.with("fieldValidation", "Strict") };
        call.content_type = content_type;
        call.body = body.to_string().into_bytes();
        call
    }

    /// As it is sent.
    pub(super) fn request(&self) -> Result<Request<Vec<u8>>, ApiError> {
        let wrong = |reason: String| ApiError::Name { what: self.what.clone(), reason };
        if let Some(reason) = &self.wrong {
            return Err(wrong(reason.clone()));
        }
        let builder = Request::builder().method(self.method.clone()).uri(&self.path);
        let builder = builder.header("accept", "application/json").header("user-agent", "rackhaven");
        let builder = builder.header("content-type", self.content_type);
        builder.body(self.body.clone()).map_err(|error| wrong(error.to_string()))
    }
}

/// What stands between two slashes of a path.
fn check_name(name: &str) -> Result<(), String> {
    const MOST_BYTES: usize = 253;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if name.is_empty() || name.len() > MOST_BYTES || !name.chars().all(plain) || name.starts_with('.') {
        return Err(format!("{name:?} is not a name: letters, digits, '-' and '.', {MOST_BYTES} at most"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::json;

    use super::{Call, Place};

    #[test]
    fn paths_golden() {
        let pods = Place { api_version: "v1", plural: "pods", namespace: Some("a") };
        let all = Place { namespace: None, ..pods };
        let apps = Place { api_version: "apps/v1", plural: "deployments", namespace: Some("a") };
        let get = |place, name| Call::of(Method::GET, "x", place, name);
        for (call, path) in [
            (get(pods, "b"), "/api/v1/namespaces/a/pods/b"),
            (get(all, ""), "/api/v1/pods"),
            (get(apps, "b").part("scale"), "/apis/apps/v1/namespaces/a/deployments/b/scale"),
            (get(all, "").with("labelSelector", "a=b,c d"), "/api/v1/pods?labelSelector=a%3Db%2Cc%20d"),
            (get(all, "").body("application/json", &json!({})), "/api/v1/pods?fieldValidation=Strict"),
        ] {
            assert_eq!(call.request().unwrap().uri(), path);
        }
        for name in ["../nodes", "a/b", "a?b", "..", "a%2f", "a b"] {
            assert!(get(pods, name).request().is_err(), "{name}");
        }
    }
}
