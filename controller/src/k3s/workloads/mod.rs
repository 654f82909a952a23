//! What runs in the cluster, as people ask for it. Pure: objects and times come in as arguments.

mod age;
mod event_row;
mod harm;
mod kinds;
mod pod_row;
mod rollout;
mod rows;

pub use harm::{Denied, may_apply, may_delete};
pub use kinds::{Kind, by_object, by_word};
pub use rollout::{Progress, Revision, progress, revisions, undo};
pub use rows::{Row, State};

use serde_json::Value;

/// The text at a place; empty if there is none.
fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a place; 0 if there is none.
fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The list at a place; empty if there is none.
fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A selector in words, as the API takes it; none where it selects nothing.
pub fn selector_words(selector: &Value) -> Option<String> {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let mut terms: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    for expression in list(selector, "/matchExpressions") {
        let values: Vec<_> = list(expression, "/values").iter().filter_map(Value::as_str).collect();
        let (key, values) = (text(expression, "/key"), values.join(","));
        terms.push(match text(expression, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        });
    }
    (!terms.is_empty()).then(|| terms.join(","))
}
