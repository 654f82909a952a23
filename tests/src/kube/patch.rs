//! Patches: merge (RFC 7386), strategic merge, JSON (RFC 6902).

use serde_json::{Map, Value};

use super::lists::{keys, same};
use super::status::Refusal;

/// Lays a merge patch over an object.
pub(super) fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    let mut fields = taken(object);
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
    *object = Value::Object(fields);
}

/// The fields of an object; none of what is no object.
fn taken(value: &mut Value) -> Map<String, Value> {
    match value.take() {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// The same, but lists of things with a key are merged thing by thing.
pub(super) fn strategic(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if patch.get("$patch").is_some_and(|how| how == "replace") {
        *object = patch.iter().filter(|(name, _)| *name != "$patch").map(|(k, v)| (k.clone(), v.clone())).collect();
        return;
    }
    let mut fields = taken(object);
    for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        match value {
            Value::Null => drop(fields.remove(name)),
            Value::Array(things) => {
                let list = fields.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
                match (keys(name, things), list.as_array_mut()) {
                    (Some(keys), Some(list)) => merge_things(list, things, keys.get(..1).unwrap_or(keys)),
                    _ => *list = value.clone(),
                }
            }
            _ => strategic(fields.entry(name.clone()).or_insert(Value::Null), value),
        }
    }
    *object = Value::Object(fields);
}

fn merge_things(list: &mut Vec<Value>, things: &[Value], keys: &[&str]) {
    for thing in things {
        if thing["$patch"] == "delete" {
            list.retain(|known| !same(known, thing, keys));
        } else if let Some(known) = list.iter_mut().find(|known| same(known, thing, keys)) {
            strategic(known, thing);
        } else {
            list.push(thing.clone());
        }
    }
}

/// Carries out the operations of a JSON patch.
pub(super) fn json(object: &mut Value, operations: &Value) -> Result<(), Refusal> {
    let Some(operations) = operations.as_array() else { return Err(Refusal::bad("a JSON patch is a list")) };
    for operation in operations {
        let path = operation["path"].as_str().unwrap_or_default();
        operate(object, operation, path).ok_or_else(|| {
            let message = format!("the server rejected our request due to an error in our request: {operation}");
            Refusal::new(422, "Invalid", message)
        })?;
    }
    Ok(())
}

fn operate(object: &mut Value, operation: &Value, path: &str) -> Option<()> {
    match operation["op"].as_str()? {
        "test" => (object.pointer(path)? == &operation["value"]).then_some(()),
        "replace" => {
            *object.pointer_mut(path)? = operation["value"].clone();
            Some(())
        }
        "add" => {
            let (parent, last) = path.rsplit_once('/')?;
            match object.pointer_mut(parent)? {
                Value::Object(fields) => drop(fields.insert(unescape(last), operation["value"].clone())),
                Value::Array(list) if last == "-" => list.push(operation["value"].clone()),
                Value::Array(list) => {
                    let number = last.parse().ok().filter(|number| *number <= list.len())?;
                    list.insert(number, operation["value"].clone());
                }
                _ => return None,
            }
            Some(())
        }
        "remove" => {
            let (parent, last) = path.rsplit_once('/')?;
            match object.pointer_mut(parent)? {
                Value::Object(fields) => fields.remove(&unescape(last)).map(drop),
                Value::Array(list) => {
                    let number = last.parse().ok().filter(|number| *number < list.len())?;
                    list.remove(number);
                    Some(())
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{json, merge, strategic};

    #[test]
    fn patches_golden() {
        let pod = json!({ "a": { "b": 1, "c": 2 }, "containers": [{ "name": "x", "image": "1" }, { "name": "y" }] });
        let mut merged = pod.clone();
        merge(&mut merged, &json!({ "a": { "b": null }, "containers": [{ "name": "z" }] }));
        assert_eq!(merged, json!({ "a": { "c": 2 }, "containers": [{ "name": "z" }] }));
        let mut merged = pod.clone();
        let patch = json!({ "containers": [{ "name": "x", "image": "2" }, { "name": "y", "$patch": "delete" }] });
        strategic(&mut merged, &patch);
        assert_eq!(merged["containers"], json!([{ "name": "x", "image": "2" }]));
        let mut patched = pod;
        let operations = json!([{ "op": "test", "path": "/a/b", "value": 1 }, { "op": "remove", "path": "/a/b" },
            { "op": "add", "path": "/containers/-", "value": { "name": "z" } }]);
        json(&mut patched, &operations).unwrap();
        assert_eq!((patched["a"].clone(), patched["containers"].as_array().unwrap().len()), (json!({ "c": 2 }), 3));
        assert_eq!(json(&mut patched, &json!([{ "op": "test", "path": "/a/c", "value": 9 }])).unwrap_err().code, 422);
    }
}
