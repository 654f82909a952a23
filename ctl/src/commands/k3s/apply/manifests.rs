//! Objects in YAML, as kubectl reads them.

use std::fs::File;
use std::io::{BufRead, Read};
use std::path::Path;

use serde_json::Value;

use crate::error::CtlError;

/// The longest file, bytes: what the controller takes at once.
const MAX_BYTES: u64 = 3 * 1024 * 1024;

/// Reads a file, or standard input for `-`.
pub(super) fn read(path: &Path, input: &mut dyn BufRead) -> Result<String, CtlError> {
    let failed = |reason: String| CtlError::failed(format!("{}: {reason}", path.display()));
    let mut text = String::new();
    let read = if path == Path::new("-") {
        input.take(MAX_BYTES + 1).read_to_string(&mut text)
    } else {
        let file = File::open(path).map_err(|error| failed(error.to_string()))?;
        file.take(MAX_BYTES + 1).read_to_string(&mut text)
    };
    read.map_err(|error| failed(error.to_string()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(failed(format!("it has more than {MAX_BYTES} bytes")));
    }
    Ok(text)
}

/// All objects of a text: documents apart by `---`, lists taken apart.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(text: &str) -> Result<Vec<Value>, String> {
    // As kubectl does: a mode such as 0644 is octal.
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| error.to_string())?;
    let mut objects = Vec::new();
    for (number, mut document) in documents.into_iter().enumerate() {
        match document["kind"].as_str() {
            Some("List") => match document["items"].take() {
                Value::Array(items) => objects.extend(items),
                _ => return Err(format!("document {} is a List without items", number + 1)),
            },
            Some(_) => objects.push(document),
            None => return Err(format!("document {} is no object: it has no kind", number + 1)),
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parse;

    #[test]
    fn manifests_golden() {
        let text = "# a comment\n---\nkind: ConfigMap\ndata: {a: 'yes', mode: \"0644\"}\nmode: 0644\n---\n---\n\
                    kind: List\nitems:\n- kind: Pod\n  x: &a [1, 2]\n  y: *a\n- {kind: Service, port: 8080}\n";
        assert_eq!(
            parse(text).unwrap(),
            [
                json!({ "kind": "ConfigMap", "data": { "a": "yes", "mode": "0644" }, "mode": 420 }),
                json!({ "kind": "Pod", "x": [1, 2], "y": [1, 2] }),
                json!({ "kind": "Service", "port": 8080 }),
            ]
        );
        assert_eq!(parse("{\"kind\": \"Pod\"}").unwrap(), [json!({ "kind": "Pod" })]);
        assert_eq!(parse("").unwrap(), Vec::<serde_json::Value>::new());
        assert_eq!(parse("kind: Pod\n---\na: 1\n").unwrap_err(), "document 2 is no object: it has no kind");
        for wrong in ["kind: [", "- a\n- b", "kind: Pod\nkind: Pod\n", "kind: List"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
