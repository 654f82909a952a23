//! Configuration files, key by key.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::Context;

/// The keys of a configuration file that differ from the defaults, by their tables.
#[derive(Debug, Clone, Default)]
pub struct Settings(BTreeMap<String, BTreeMap<String, String>>);

impl Settings {
    /// Sets a key; `path` is `KEY` or `TABLE.KEY`, `value` is TOML.
    pub fn set(&mut self, path: &str, value: impl ToString) {
        let (table, key) = path.rsplit_once('.').unwrap_or(("", path));
        self.0.entry(table.to_owned()).or_default().insert(key.to_owned(), value.to_string());
    }

    /// The file's form.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for (table, keys) in &self.0 {
            if !table.is_empty() {
                let _ = writeln!(text, "[{table}]");
            }
            for (key, value) in keys {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        text
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, self.to_toml()).with_context(|| format!("writing {}", path.display()))
    }
}

/// A list of texts as TOML.
pub fn toml_list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    // JSON's texts and lists are TOML's too.
    serde_json::Value::from(items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>()).to_string()
}
