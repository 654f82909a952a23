//! Selectors of labels and fields.

use serde_json::{Map, Value};

use super::object::text;
use super::status::Refusal;

/// One condition of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

/// What is asked for in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Selector {
    labels: Vec<Term>,
    fields: Vec<(String, String, bool)>,
}

impl Selector {
    /// From the query of a request.
    pub(super) fn parse(labels: &str, fields: &str) -> Result<Self, Refusal> {
        let mut selector = Self::default();
        for term in split(labels) {
            selector.labels.push(parse_term(&term).ok_or_else(|| {
                Refusal::bad(format!("unable to parse requirement: found '{term}', expected a label selector"))
            })?);
        }
        for term in fields.split(',').filter(|term| !term.is_empty()) {
            let (field, value, equal) = match (term.split_once("!="), term.split_once('=')) {
                (Some((field, value)), _) => (field, value, false),
                (None, Some((field, value))) => (field, value.trim_start_matches('='), true),
                (None, None) => return Err(Refusal::bad(format!("invalid selector: '{term}'; can't understand"))),
            };
            const KNOWN: [&str; 6] =
                ["metadata.name", "metadata.namespace", "spec.nodeName", "status.phase", "type", "involvedObject.name"];
            if !KNOWN.contains(&field) {
                return Err(Refusal::bad(format!("field label not supported: {field}")));
            }
            selector.fields.push((field.to_owned(), value.to_owned(), equal));
        }
        Ok(selector)
    }

    /// Whether an object is asked for.
    pub(super) fn matches(&self, object: &Value) -> bool {
        let none = Map::new();
        let labels = object.pointer("/metadata/labels").and_then(Value::as_object).unwrap_or(&none);
        let label = |key: &str| labels.get(key).and_then(Value::as_str);
        self.labels.iter().all(|term| match term {
            Term::In(key, values) => label(key).is_some_and(|label| values.iter().any(|value| value == label)),
            Term::NotIn(key, values) => !label(key).is_some_and(|label| values.iter().any(|value| value == label)),
            Term::Exists(key) => label(key).is_some(),
            Term::Missing(key) => label(key).is_none(),
        }) && self.fields.iter().all(|(field, value, equal)| {
            let found = text(object, &format!("/{}", field.replace('.', "/")));
            (found == value) == *equal
        })
    }
}

/// At commas that are not within brackets.
fn split(selector: &str) -> Vec<String> {
    let (mut terms, mut depth) = (vec![String::new()], 0);
    for character in selector.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                terms.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(term) = terms.last_mut() {
            term.push(character);
        }
    }
    terms.retain(|term| !term.trim().is_empty());
    terms
}

fn parse_term(term: &str) -> Option<Term> {
    let term = term.trim();
    let values = |list: &str| -> Option<Vec<String>> {
        let inner = list.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inner.split(',').map(|value| value.trim().to_owned()).collect())
    };
    if let Some((key, list)) = term.split_once(" notin ") {
        return Some(Term::NotIn(key.trim().to_owned(), values(list)?));
    }
    if let Some((key, list)) = term.split_once(" in ") {
        return Some(Term::In(key.trim().to_owned(), values(list)?));
    }
    if let Some((key, value)) = term.split_once("!=") {
        return Some(Term::NotIn(key.trim().to_owned(), vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = term.split_once('=') {
        return Some(Term::In(key.trim().to_owned(), vec![value.trim_start_matches('=').trim().to_owned()]));
    }
    let plain = |key: &str| !key.is_empty() && !key.contains([' ', '(', ')']);
    match term.strip_prefix('!') {
        Some(key) => plain(key).then(|| Term::Missing(key.to_owned())),
        None => plain(term).then(|| Term::Exists(term.to_owned())),
    }
}

/// Whether labels fit a selector that stands in an object: matchLabels and matchExpressions.
pub(super) fn label_selector(selector: &Value, labels: &Value) -> bool {
    let none = Map::new();
    let wanted = selector["matchLabels"].as_object().unwrap_or(&none);
    let expressions = selector["matchExpressions"].as_array().map(Vec::as_slice).unwrap_or_default();
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
        && expressions.iter().all(|expression| {
            let label = labels.get(text(expression, "/key"));
            let within = label.is_some_and(|label| {
                expression["values"].as_array().is_some_and(|values| values.iter().any(|value| value == label))
            });
            match text(expression, "/operator") {
                "In" => within,
                "NotIn" => !within,
                "Exists" => label.is_some(),
                _ => label.is_none(),
            }
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Selector;

    #[test]
    fn selectors_golden() {
        let pod = json!({ "metadata": { "name": "a", "labels": { "app": "web", "tier": "x" } },
            "spec": { "nodeName": "pi-1" } });
        for (labels, fields, matches) in [
            ("", "", true),
            ("app=web,tier", "", true),
            ("app==web", "spec.nodeName=pi-1", true),
            ("app!=web", "", false),
            ("app in (db, web),!gone", "metadata.name!=b", true),
            ("app notin (db,web)", "", false),
            ("", "spec.nodeName=pi-2", false),
        ] {
            assert_eq!(Selector::parse(labels, fields).unwrap().matches(&pod), matches, "{labels} {fields}");
        }
        assert_eq!(Selector::parse("", "spec.nose=1").unwrap_err().code, 400);
        assert_eq!(Selector::parse("a b", "").unwrap_err().code, 400);
    }
}
