//! Objects as the API has them.

use serde_json::{Value, json};

use crate::error::CtlError;
use crate::invocation::Invocation;
use crate::output::Format;
use crate::text::steers;

/// What was heard of objects so far.
pub(super) struct Objects {
    form: Format,
    single: bool,
    watch: bool,
    all: Vec<Value>,
}

impl Objects {
    pub(super) fn new(form: Format, single: bool, watch: bool) -> Self {
        Self { form, single, watch, all: Vec::new() }
    }

    /// Takes up objects; while they are watched each is shown at once.
    pub(super) fn take(&mut self, objects: Vec<String>, invocation: &mut Invocation) -> Result<(), CtlError> {
        for text in objects {
            let object: Value = serde_json::from_str(&text)
                .map_err(|error| CtlError::failed(format!("the controller's answer is not understood: {error}")))?;
            if self.watch {
                invocation.console.data(&written(&object, self.form, false)?)?;
            } else {
                self.all.push(object);
            }
        }
        Ok(())
    }

    /// Shows one object as itself, and more as kubectl's list.
    pub(super) fn end(mut self, invocation: &mut Invocation) -> Result<(), CtlError> {
        let whole = match (self.watch, self.single) {
            (true, _) => return Ok(()),
            (false, true) => self.all.pop().unwrap_or_default(),
            (false, false) => json!({ "apiVersion": "v1", "kind": "List", "items": self.all }),
        };
        invocation.console.data(&written(&whole, self.form, true)?)
    }
}

/// An object as text that steers no terminal: what would is escaped in JSON, and replaced in YAML.
fn written(object: &Value, form: Format, alone: bool) -> Result<String, CtlError> {
    let failed = |error: String| CtlError::failed(format!("writing an object: {error}"));
    let text = match (form, alone) {
        (Format::Yaml, alone) => {
            let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
            let text =
                serde_saphyr::to_string_with_options(object, options).map_err(|error| failed(error.to_string()))?;
            let text = if alone { text } else { format!("---\n{text}") };
            let shown = |c: char| if c != '\n' && steers(c) { char::REPLACEMENT_CHARACTER } else { c };
            return Ok(text.chars().map(shown).collect());
        }
        (_, true) => serde_json::to_string_pretty(object),
        (_, false) => serde_json::to_string(object),
    };
    let mut shown = String::new();
    for c in text.map_err(|error| failed(error.to_string()))?.chars() {
        if c != '\n' && steers(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| shown.push_str(&format!("\\u{unit:04x}")));
        } else {
            shown.push(c);
        }
    }
    shown.push('\n');
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Format, written};

    #[test]
    fn an_object_steers_no_terminal() {
        let object = json!({ "data": { "a": "x\u{1b}[2J\u{202e}\u{9b}y\nz", "b": "\u{e0001}" } });
        for alone in [true, false] {
            let text = written(&object, Format::Json, alone).unwrap();
            assert!(!text.chars().any(|c| c != '\n' && super::steers(c)), "{text}");
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), object);
            let text = written(&object, Format::Yaml, alone).unwrap();
            assert!(!text.chars().any(|c| c != '\n' && super::steers(c)), "{text}");
        }
    }
}
