//! Who has set which fields: server-side apply.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::lists::{key_of, keys, same};

/// The way to a field: `f:name`, `k:{…}` for a thing in a list, `.` for the thing itself.
pub(super) type Path = Vec<String>;
/// Fields.
pub(super) type Fields = BTreeSet<Path>;

/// Who sets a field, as in managedFields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Manager {
    pub(super) name: String,
    /// Apply or Update.
    pub(super) operation: &'static str,
    pub(super) subresource: String,
}

/// Who has set which fields of an object.
pub(super) type Managers = BTreeMap<Manager, Fields>;

/// All fields with a value, but for those that the server sets.
pub(super) fn fields(object: &Value) -> Fields {
    const OF_THE_SERVER: [&str; 8] = [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "generation",
        "managedFields",
        "deletionTimestamp",
    ];
    let mut found = Fields::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            ("apiVersion" | "kind", _) => {}
            ("metadata", Value::Object(metadata)) => {
                for (name, value) in metadata.iter().filter(|(name, _)| !OF_THE_SERVER.contains(&name.as_str())) {
                    collect(name, value, &vec!["f:metadata".to_owned(), format!("f:{name}")], &mut found);
                }
            }
            _ => collect(name, value, &vec![format!("f:{name}")], &mut found),
        }
    }
    found
}

fn collect(name: &str, value: &Value, path: &Path, found: &mut Fields) {
    let child = |part: String| path.iter().cloned().chain([part]).collect::<Path>();
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                collect(name, value, &child(format!("f:{name}")), found);
            }
        }
        Value::Array(things) => match keys(name, things) {
            Some(keys) => {
                for thing in things {
                    let thing_path = child(format!("k:{}", Value::Object(key_of(thing, keys))));
                    found.insert(thing_path.iter().cloned().chain([".".to_owned()]).collect());
                    collect("", thing, &thing_path, found);
                }
            }
            None => drop(found.insert(path.clone())),
        },
        _ => drop(found.insert(path.clone())),
    }
}

/// The value of a field.
pub(super) fn value<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, part| match part.split_once(':') {
        Some(("f", name)) => value.get(name),
        Some(("k", key)) => {
            let (things, key) = (value.as_array()?, serde_json::from_str::<Value>(key).ok()?);
            let keys: Vec<&str> = key.as_object()?.keys().map(String::as_str).collect();
            things.iter().find(|thing| same(thing, &key, &keys))
        }
        _ => Some(value),
    })
}

/// Takes a field out of an object.
pub(super) fn remove(object: &mut Value, path: &[String]) {
    let Some((part, rest)) = path.split_first() else { return };
    let last = rest.is_empty() || rest == [".".to_owned()];
    match (part.split_once(':'), object) {
        (Some(("f", name)), Value::Object(fields)) if last => drop(fields.remove(name)),
        (Some(("f", name)), Value::Object(fields)) => {
            let Some(child) = fields.get_mut(name) else { return };
            remove(child, rest);
            if child.as_object().is_some_and(Map::is_empty) {
                fields.remove(name);
            }
        }
        (Some(("k", key)), Value::Array(things)) => {
            let Ok(Value::Object(key)) = serde_json::from_str(key) else { return };
            let keys: Vec<&str> = key.keys().map(String::as_str).collect();
            let key = Value::Object(key.clone());
            if last {
                things.retain(|thing| !same(thing, &key, &keys));
            } else if let Some(thing) = things.iter_mut().find(|thing| same(thing, &key, &keys)) {
                remove(thing, rest);
            }
        }
        _ => {}
    }
}

/// Lays an applied object over a living one.
pub(super) fn overlay(living: &mut Value, applied: &Value, name: &str) {
    match (living, applied) {
        (Value::Object(living), Value::Object(applied)) => {
            for (name, value) in applied {
                overlay(living.entry(name.clone()).or_insert(Value::Null), value, name);
            }
        }
        (Value::Array(living), Value::Array(applied)) => match keys(name, applied) {
            Some(keys) => {
                for thing in applied {
                    match living.iter_mut().find(|known| same(known, thing, keys)) {
                        Some(known) => overlay(known, thing, ""),
                        None => living.push(thing.clone()),
                    }
                }
            }
            None => living.clone_from(applied),
        },
        (living, applied) => *living = applied.clone(),
    }
}

/// From an object's managedFields.
pub(super) fn managers(object: &Value) -> Managers {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let manager = |entry: &Value| Manager {
        name: entry["manager"].as_str().unwrap_or_default().to_owned(),
        operation: if entry["operation"] == "Apply" { "Apply" } else { "Update" },
        subresource: entry["subresource"].as_str().unwrap_or_default().to_owned(),
    };
    let set = |entry: &Value| {
        let mut found = Fields::new();
        unfold(&entry["fieldsV1"], &Path::new(), &mut found);
        found
    };
    entries.into_iter().flatten().map(|entry| (manager(entry), set(entry))).collect()
}

fn unfold(value: &Value, path: &Path, found: &mut Fields) {
    match value.as_object().filter(|fields| !fields.is_empty()) {
        Some(fields) => {
            for (part, value) in fields {
                unfold(value, &path.iter().cloned().chain([part.clone()]).collect(), found);
            }
        }
        None if path.is_empty() => {}
        None => drop(found.insert(path.clone())),
    }
}

/// As an object's managedFields.
pub(super) fn managed_fields(managers: &Managers, api_version: &str, time: &str) -> Value {
    let entry = |(manager, fields): (&Manager, &Fields)| {
        let mut tree = json!({});
        for path in fields {
            path.iter().fold(&mut tree, |node, part| &mut node[part.as_str()]);
        }
        let mut entry = json!({ "manager": manager.name, "operation": manager.operation, "apiVersion": api_version,
            "time": time, "fieldsType": "FieldsV1", "fieldsV1": filled(tree) });
        if !manager.subresource.is_empty() {
            entry["subresource"] = manager.subresource.as_str().into();
        }
        entry
    };
    managers.iter().filter(|(_, fields)| !fields.is_empty()).map(entry).collect()
}

/// Ends of ways are empty objects there.
fn filled(tree: Value) -> Value {
    match tree {
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, filled(value))).collect(),
        _ => json!({}),
    }
}

/// A path as messages show it: `.spec.template.spec.containers[name="web"].image`.
pub(super) fn shown(path: &[String]) -> String {
    let part = |part: &String| match part.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("k", key)) => {
            let key: Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
            let pairs: Vec<_> = key.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("[{}]", pairs.join(","))
        }
        _ => String::new(),
    };
    path.iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Manager, Managers, fields, managed_fields, managers, overlay, remove, shown, value};

    #[test]
    fn fields_are_told_apart() {
        let object = json!({ "apiVersion": "v1", "metadata": { "name": "a", "labels": { "x": "y" } },
            "spec": { "containers": [{ "name": "web", "image": "1", "args": ["a"] }] } });
        let found = fields(&object);
        let paths: Vec<_> = found.iter().map(|path| shown(path)).collect();
        let web = ".spec.containers[name=\"web\"]";
        assert_eq!(
            paths,
            [".metadata.labels.x", web, &format!("{web}.args"), &format!("{web}.image"), &format!("{web}.name")]
        );
        for path in &found {
            assert!(value(&object, path).is_some(), "{path:?}");
        }
        let manager = Manager { name: "me".into(), operation: "Apply", subresource: String::new() };
        let known: Managers = [(manager, found.clone())].into();
        let with = json!({ "metadata": { "managedFields": managed_fields(&known, "v1", "now") } });
        assert_eq!(managers(&with), known);

        let mut living = object;
        overlay(
            &mut living,
            &json!({ "spec": { "containers": [{ "name": "db" }, { "name": "web", "image": "2" }] } }),
            "",
        );
        assert_eq!(living["spec"]["containers"][0]["image"], "2");
        assert_eq!(living["spec"]["containers"][1]["name"], "db");
        remove(&mut living, found.iter().find(|path| shown(path) == web).unwrap());
        assert_eq!(living["spec"]["containers"], json!([{ "name": "db" }]));
    }
}
