//! Objects of any kind.

use http::Method;
use serde_json::{Value, json};

use super::call::{Call, Place};
use super::cluster::Cluster;
use super::error::ApiError;
use super::lines::Lines;
use super::nodes::MERGE_PATCH;
use super::pods::delete_options;
use super::watch::Watch;

/// Who sets fields, as server-side apply knows it.
const MANAGER: &str = "rackhaven";

/// Which objects of a list are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Select {
    /// By their labels; empty for all.
    pub labels: String,
    /// By some of their fields; empty for all.
    pub fields: String,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The objects.
    pub items: Vec<Value>,
    /// Where the next part begins; none at the end.
    pub next: Option<String>,
    /// The version from which they are watched.
    pub revision: String,
}

/// What an apply did.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The object as it is now, or would be.
    pub object: Value,
    /// As it was before; none if it was not there.
    pub before: Option<Value>,
}

impl Applied {
    /// Whether it was as it should be.
    pub fn is_unchanged(&self) -> bool {
        // What is only tried keeps its version, and a status may change at any time.
        let content = |object: &Value| {
            let mut content = object.clone();
            if let Some(fields) = content.as_object_mut() {
                fields.remove("status");
            }
            if let Some(metadata) = content["metadata"].as_object_mut() {
                metadata.remove("managedFields");
                metadata.remove("resourceVersion");
            }
            content
        };
        self.before.as_ref().is_some_and(|before| content(before) == content(&self.object))
    }
}

/// What of a container's log is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Which container; empty if there is but one.
    pub container: String,
    /// What comes later, too.
    pub follow: bool,
    /// The newest so many lines.
    pub tail: Option<u64>,
    /// Not older than so many seconds.
    pub since_s: Option<u64>,
    /// Of the container before this one, which has ended.
    pub previous: bool,
}

fn named(verb: &str, place: Place<'_>, name: &str) -> String {
    match place.namespace {
        Some(namespace) => format!("{verb} {}/{name} in {namespace}", place.plural),
        None => format!("{verb} {}/{name}", place.plural),
    }
}

fn selected(call: Call, select: &Select) -> Call {
    let call = if select.labels.is_empty() { call } else { call.with("labelSelector", &select.labels) };
    if select.fields.is_empty() { call } else { call.with("fieldSelector", &select.fields) }
}

impl Cluster {
    /// An object, if it is there.
    ///
    /// # Errors
    /// When the API cannot be asked, or refuses.
    pub async fn object(&self, place: Place<'_>, name: &str) -> Result<Option<Value>, ApiError> {
        self.look(Call::of(Method::GET, named("getting", place, name), place, name)).await
    }

    /// A part of a list: from the beginning, or from where the last part ended.
    ///
    /// # Errors
    /// [`ApiError::is_expired`] when it cannot go on from there; when the API cannot be asked, or refuses.
    pub async fn page(
        &self,
        place: Place<'_>,
        select: &Select,
        most: u32,
        from: Option<&str>,
    ) -> Result<Page, ApiError> {
        let call = Call::of(Method::GET, format!("listing {}", place.plural), place, "");
        let mut call = selected(call, select).with("limit", &most.to_string());
        if let Some(from) = from {
            call = call.with("continue", from);
        }
        let mut list: Value = self.ask(call).await?;
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let metadata = &list["metadata"];
        let (next, revision) = (text(&metadata["continue"]), text(&metadata["resourceVersion"]).unwrap_or_default());
        let items = match list["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        Ok(Page { items, next, revision })
    }

    /// What happens to objects after a version.
    ///
    /// # Errors
    /// When the API cannot be asked, or refuses.
    pub async fn watch(&self, place: Place<'_>, select: &Select, revision: &str) -> Result<Watch, ApiError> {
        let call = Call::of(Method::GET, format!("watching {}", place.plural), place, "");
        let call = selected(call, select).with("watch", "true").with("resourceVersion", revision);
        Ok(Watch::new(self.lines(call.with("allowWatchBookmarks", "true")).await?))
    }

    /// Makes an object as it is given, or brings it to that: server-side apply.
    ///
    /// # Errors
    /// [`ApiError::is_conflict`] when somebody else has set a field otherwise; when the API cannot be asked, or refuses.
    pub async fn apply(
        &self,
        place: Place<'_>,
        name: &str,
        object: &Value,
        force: bool,
        dry_run: bool,
    ) -> Result<Applied, ApiError> {
        let before = self.object(place, name).await?;
        let call = Call::of(Method::PATCH, named("applying", place, name), place, name);
        let mut call = call.with("fieldManager", MANAGER).with("force", if force { "true" } else { "false" });
        if dry_run {
            call = call.with("dryRun", "All");
        }
        let object = self.ask(call.body("application/apply-patch+yaml", object)).await?;
        Ok(Applied { object, before })
    }

    /// Changes an object by a merge patch.
    ///
    /// # Errors
    /// When the API cannot be asked, or refuses.
    pub async fn merge(&self, place: Place<'_>, name: &str, patch: &Value) -> Result<Value, ApiError> {
        let call = Call::of(Method::PATCH, named("changing", place, name), place, name);
        self.ask(call.with("fieldManager", MANAGER).body(MERGE_PATCH, patch)).await
    }

    /// Changes an object by the operations of a JSON patch.
    ///
    /// # Errors
    /// When the API cannot be asked, or refuses.
    pub async fn operate(&self, place: Place<'_>, name: &str, operations: &Value) -> Result<Value, ApiError> {
        let call = Call::of(Method::PATCH, named("changing", place, name), place, name);
        self.ask(call.with("fieldManager", MANAGER).body("application/json-patch+json", operations)).await
    }

    /// Sets how many replicas something has.
    ///
    /// # Errors
    /// When the API cannot be asked, or refuses.
    pub async fn scale(&self, place: Place<'_>, name: &str, replicas: u32) -> Result<(), ApiError> {
        let call = Call::of(Method::PATCH, named("scaling", place, name), place, name).part("scale");
        let patch = json!({ "spec": { "replicas": replicas } });
        self.bytes(call.with("fieldManager", MANAGER).body(MERGE_PATCH, &patch)).await.map(drop)
    }

    /// Deletes an object, and what it owns after it; whether it was there.
    ///
    /// # Errors
    /// When the API cannot be asked, or refuses.
    pub async fn delete(&self, place: Place<'_>, name: &str, grace_seconds: Option<u32>) -> Result<bool, ApiError> {
        let call = Call::of(Method::DELETE, named("deleting", place, name), place, name);
        let mut options = delete_options(None, grace_seconds);
        options["propagationPolicy"] = "Background".into();
        Ok(self.look::<Value>(call.body("application/json", &options)).await?.is_some())
    }

    /// What a container of a pod has logged.
    ///
    /// # Errors
    /// When the API cannot be asked, or refuses.
    pub async fn log(&self, namespace: &str, pod: &str, query: &LogQuery) -> Result<Lines, ApiError> {
        let place = Place { api_version: "v1", plural: "pods", namespace: Some(namespace) };
        let mut call =
            Call::of(Method::GET, format!("reading the log of pod {namespace}/{pod}"), place, pod).part("log");
        let numbers = [("tailLines", query.tail), ("sinceSeconds", query.since_s)];
        for (name, number) in numbers.into_iter().filter_map(|(name, number)| Some((name, number?))) {
            call = call.with(name, &number.to_string());
        }
        for (name, _) in [("follow", query.follow), ("previous", query.previous)].iter().filter(|(_, said)| *said) {
            call = call.with(name, "true");
        }
        if !query.container.is_empty() {
            call = call.with("container", &query.container);
        }
        self.lines(call).await
    }
}
