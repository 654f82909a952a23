//! Lists, and watches from a version on.

use serde_json::{Value, json};

use super::kinds::Kind;
use super::object::{name, namespace, text};
use super::request::{Request, Target};
use super::select::Selector;
use super::status::Refusal;
use super::store::Change;
use super::world::{Answer, World};

/// Somebody who watches.
#[derive(Debug)]
pub(super) struct Watch {
    kind: &'static Kind,
    namespace: String,
    name: String,
    selector: Selector,
    revision: u64,
    bookmarks: bool,
    /// What there was when it began.
    first: Vec<Value>,
    /// When it ends, milliseconds since 1970-01-01 UTC.
    pub(super) until_ms: Option<i64>,
    pub(super) ended: bool,
}

impl Watch {
    fn sees(&self, object: &Value) -> bool {
        (self.namespace.is_empty() || namespace(object) == self.namespace)
            && (self.name.is_empty() || name(object) == self.name)
            && self.selector.matches(object)
    }

    fn event(&self, change: &Change) -> Option<Value> {
        let (saw, sees) = (change.before.as_ref().is_some_and(|before| self.sees(before)), self.sees(&change.object));
        let kind = match (saw, sees && !change.gone) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return None,
        };
        Some(json!({ "type": kind, "object": change.object }))
    }
}

impl World {
    pub(super) fn list(&self, request: &Request, target: Target<'_>) -> Result<Answer, Refusal> {
        let selector = Selector::parse(request.parameter("labelSelector"), request.parameter("fieldSelector"))?;
        let limit: usize = request.parameter("limit").parse().unwrap_or_default();
        let after = match request.parameter("continue") {
            "" => None,
            token => Some(self.place_after(token)?),
        };
        let mut found: Vec<&Value> = Vec::new();
        let mut left = 0_u64;
        for object in self.store.all(target.kind.plural) {
            let place = (namespace(object).to_owned(), name(object).to_owned());
            let wanted = (target.namespace.is_empty() || place.0 == target.namespace)
                && after.as_ref().is_none_or(|after| place > *after)
                && selector.matches(object);
            if !wanted {
                continue;
            }
            if limit > 0 && found.len() >= limit {
                left += 1;
            } else {
                found.push(object);
            }
        }
        let mut metadata = json!({ "resourceVersion": self.store.revision().to_string() });
        if let Some(last) = found.last().filter(|_| left > 0) {
            let token = format!("{}/{}/{}", self.store.revision(), namespace(last), name(last));
            metadata["continue"] = data_encoding::BASE64URL_NOPAD.encode(token.as_bytes()).into();
            metadata["remainingItemCount"] = left.into();
        }
        // As the real one writes lists: the things in them do not say what they are.
        let items = found.into_iter().map(|object| {
            let mut object = object.clone();
            if let Some(fields) = object.as_object_mut() {
                fields.remove("apiVersion");
                fields.remove("kind");
            }
            object
        });
        let items: Vec<Value> = items.collect();
        let body = json!({ "kind": format!("{}List", target.kind.name), "apiVersion": target.kind.api_version(),
            "metadata": metadata, "items": items });
        Ok(Answer::Json(200, body))
    }

    fn place_after(&self, token: &str) -> Result<(String, String), Refusal> {
        let decoded = data_encoding::BASE64URL_NOPAD.decode(token.as_bytes()).ok();
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let mut parts = decoded.splitn(3, '/');
        let revision = parts.next().and_then(|revision| revision.parse::<u64>().ok());
        let (Some(revision), Some(namespace), Some(name)) = (revision, parts.next(), parts.next()) else {
            return Err(Refusal::bad("continue key is not valid"));
        };
        if revision < self.store.forgotten() {
            return Err(Refusal::gone(
                "The provided continue parameter is too old to display a consistent list result. You can start a new \
                 list without the continue parameter.",
            ));
        }
        Ok((namespace.to_owned(), name.to_owned()))
    }

    pub(super) fn watch(&self, request: &Request, target: Target<'_>) -> Result<Answer, Refusal> {
        let selector = Selector::parse(request.parameter("labelSelector"), request.parameter("fieldSelector"))?;
        let from = match request.parameter("resourceVersion") {
            "" | "0" => None,
            text => Some(text.parse::<u64>().map_err(|_| {
                Refusal::bad(format!("resourceVersion: Invalid value: {text:?}: invalid resource version"))
            })?),
        };
        let timeout: Option<i64> = request.parameter("timeoutSeconds").parse().ok();
        let mut watch = Watch {
            kind: target.kind,
            namespace: target.namespace.to_owned(),
            name: target.name.to_owned(),
            selector,
            revision: from.unwrap_or(self.store.revision()),
            bookmarks: request.says("allowWatchBookmarks"),
            first: Vec::new(),
            until_ms: timeout.map(|seconds| self.now_ms + seconds * 1000),
            ended: false,
        };
        if from.is_none() {
            let all = self.store.all(target.kind.plural).filter(|object| watch.sees(object));
            watch.first = all.map(|object| json!({ "type": "ADDED", "object": object })).collect();
        }
        Ok(Answer::Watch(watch))
    }

    /// What has happened since it was last asked; after the end nothing more.
    pub(super) fn news(&self, watch: &mut Watch) -> Vec<Value> {
        let mut events = std::mem::take(&mut watch.first);
        if watch.ended {
            return events;
        }
        if watch.revision < self.store.forgotten() {
            let message = format!("too old resource version: {} ({})", watch.revision, self.store.revision());
            watch.ended = true;
            events.push(json!({ "type": "ERROR", "object": Refusal::gone(&message).body }));
            return events;
        }
        let changes = self.store.since(watch.revision).filter(|change| change.plural == watch.kind.plural);
        events.extend(changes.filter_map(|change| watch.event(change)));
        watch.revision = self.store.revision();
        if watch.until_ms.is_some_and(|until| self.now_ms >= until) {
            watch.ended = true;
            if watch.bookmarks {
                let object = json!({ "kind": watch.kind.name, "apiVersion": watch.kind.api_version(),
                    "metadata": { "resourceVersion": watch.revision.to_string() } });
                events.push(json!({ "type": "BOOKMARK", "object": object }));
            }
        }
        events
    }
}

/// The pods on a node.
pub(super) fn is_on(pod: &Value, node: &str) -> bool {
    text(pod, "/spec/nodeName") == node
}
