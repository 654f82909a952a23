//! How an object is looked at.

use serde_json::Value;

/// The text at a place; empty if there is none.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a place.
pub(super) fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

/// The list at a place; empty if there is none.
pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

pub(super) fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

pub(super) fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(key)?.as_str()
}

/// Whether it is on its way out.
pub(super) fn is_leaving(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

/// The status of one of its conditions.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let found = list(object, "/status/conditions").iter().find(|condition| condition["type"] == kind);
    found.map_or("", |condition| text(condition, "/status"))
}

/// Who owns it and sees to it: kind and uid.
pub(super) fn owner(object: &Value) -> Option<(&str, &str)> {
    let owner = list(object, "/metadata/ownerReferences").iter().find(|owner| owner["controller"] == true)?;
    Some((text(owner, "/kind"), text(owner, "/uid")))
}

/// Milliseconds since 1970 as the API writes times.
pub(super) fn timestamp(unix_ms: i64) -> String {
    let seconds = jiff::Timestamp::from_second(unix_ms.div_euclid(1000)).unwrap_or_default();
    seconds.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The same, backwards.
pub(super) fn unix_ms(timestamp: &str) -> Option<i64> {
    timestamp.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}
