//! All objects, with their versions and what has happened to them.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::kinds::Kind;
use super::object::{name, namespace, timestamp};

/// So many changes are remembered for watches; who is further behind starts anew.
const MOST_CHANGES: usize = 20_000;

/// Where an object is: its kind's plural, its namespace, its name.
pub(super) type Place = (&'static str, String, String);

/// What has happened to an object.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) revision: u64,
    pub(super) plural: &'static str,
    /// As it was before; none if it is new.
    pub(super) before: Option<Value>,
    /// As it is now, or was last.
    pub(super) object: Value,
    pub(super) gone: bool,
}

/// The objects.
#[derive(Debug, Default, Clone)]
pub(super) struct Store {
    objects: BTreeMap<Place, Value>,
    changes: VecDeque<Change>,
    revision: u64,
    /// Changes up to this one are no longer known.
    forgotten: u64,
    made: u64,
}

impl Store {
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Forgets all changes, as a compaction does.
    pub(super) fn forget(&mut self) {
        self.forgotten = self.revision;
        self.changes.clear();
    }

    /// Another number, never the same.
    pub(super) fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// Everything as it can be taken in again.
    pub(super) fn saved(&self) -> Value {
        let objects: Vec<&Value> = self.objects.values().collect();
        json!({ "revision": self.revision, "made": self.made, "objects": objects })
    }

    /// Takes in everything again, as it was; nothing of what happened before is known any more.
    pub(super) fn restore(&mut self, saved: &Value) {
        let number = |field: &str| saved[field].as_u64().unwrap_or_default();
        *self = Self {
            revision: number("revision"),
            forgotten: number("revision"),
            made: number("made"),
            ..Self::default()
        };
        for object in saved["objects"].as_array().into_iter().flatten() {
            let kind = super::kinds::KINDS.iter().find(|kind| object["kind"] == kind.name);
            if let Some(kind) = kind {
                let place = (kind.plural, namespace(object).to_owned(), name(object).to_owned());
                self.objects.insert(place, object.clone());
            }
        }
    }

    pub(super) fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Option<&Value> {
        self.objects.get(&(kind.plural, namespace.to_owned(), name.to_owned()))
    }

    /// All of a kind, by namespace and name.
    pub(super) fn all(&self, plural: &'static str) -> impl Iterator<Item = &Value> {
        let first = (plural, String::new(), String::new());
        self.objects.range(first..).take_while(move |((of, ..), _)| *of == plural).map(|(_, object)| object)
    }

    /// The same as copies, for who changes them.
    pub(super) fn copies(&self, plural: &'static str) -> Vec<Value> {
        self.all(plural).cloned().collect()
    }

    /// What has happened since, oldest first.
    pub(super) fn since(&self, revision: u64) -> impl Iterator<Item = &Change> {
        let first = self.changes.partition_point(|change| change.revision <= revision);
        self.changes.range(first..)
    }

    /// Takes in a new object.
    pub(super) fn create(&mut self, kind: &Kind, mut object: Value, now_ms: i64) -> Value {
        let uid = self.number();
        let metadata = &mut object["metadata"];
        metadata["uid"] = format!("00000000-0000-4000-8000-{uid:012x}").into();
        metadata["creationTimestamp"] = timestamp(now_ms).into();
        if object.get("spec").is_some() {
            object["metadata"]["generation"] = 1.into();
        }
        self.put(kind, None, object)
    }

    /// Takes in a changed object; what did not change stays the same version.
    pub(super) fn update(&mut self, kind: &Kind, mut object: Value) -> Value {
        let Some(before) = self.get(kind, namespace(&object), name(&object)).cloned() else { return object };
        object["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
        if object.get("spec") != before.get("spec") {
            let generation = before["metadata"]["generation"].as_i64().unwrap_or_default();
            object["metadata"]["generation"] = (generation + 1).into();
        }
        if without_times(&object) == without_times(&before) {
            return before;
        }
        self.put(kind, Some(before), object)
    }

    /// Lets go of an object.
    pub(super) fn remove(&mut self, kind: &Kind, namespace: &str, name: &str) -> Option<Value> {
        let mut object = self.objects.remove(&(kind.plural, namespace.to_owned(), name.to_owned()))?;
        let before = Some(object.clone());
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        self.remember(Change {
            revision: self.revision,
            plural: kind.plural,
            before,
            object: object.clone(),
            gone: true,
        });
        Some(object)
    }

    fn put(&mut self, kind: &Kind, before: Option<Value>, mut object: Value) -> Value {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let place = (kind.plural, namespace(&object).to_owned(), name(&object).to_owned());
        self.objects.insert(place, object.clone());
        let change =
            Change { revision: self.revision, plural: kind.plural, before, object: object.clone(), gone: false };
        self.remember(change);
        object
    }

    fn remember(&mut self, change: Change) {
        self.changes.push_back(change);
        while self.changes.len() > MOST_CHANGES {
            if let Some(oldest) = self.changes.pop_front() {
                self.forgotten = oldest.revision;
            }
        }
    }
}

/// An object as far as it counts when it is asked whether it has changed: not when who set a field.
fn without_times(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(entries) = object.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut) {
        entries.iter_mut().for_each(|entry| entry["time"] = json!(null));
    }
    object
}
