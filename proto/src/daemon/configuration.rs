use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::Invalid;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The file cannot be read.
    #[error("reading {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is not TOML, or a key is unknown or of the wrong type.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// What and where, with the nearest known key where one is unknown.
        message: String,
    },
    /// A value that cannot be.
    #[error("{}: {invalid}", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// Which key, and why.
        invalid: Invalid,
    },
}

/// Reads a TOML file into a type that refuses unknown fields (`deny_unknown_fields`), then checks its values. A file
/// that is not there is empty if `may_be_absent`.
///
/// # Errors
/// [`ConfigurationError`], naming the file, the key and the place.
pub fn read_toml<Raw, T>(path: &Path, may_be_absent: bool) -> Result<T, ConfigurationError>
where
    Raw: DeserializeOwned,
    T: TryFrom<Raw, Error = Invalid>,
{
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if may_be_absent && error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(ConfigurationError::Read { path: path.to_owned(), source }),
    };
    parse_toml(&text, path)
}

/// The same from text; `path` is for the messages.
///
/// # Errors
/// [`ConfigurationError::Syntax`] or [`ConfigurationError::Invalid`].
pub fn parse_toml<Raw, T>(text: &str, path: &Path) -> Result<T, ConfigurationError>
where
    Raw: DeserializeOwned,
    T: TryFrom<Raw, Error = Invalid>,
{
    let raw: Raw = toml::from_str(text)
        .map_err(|error| ConfigurationError::Syntax { path: path.to_owned(), message: explain(text, &error) })?;
    T::try_from(raw).map_err(|invalid| ConfigurationError::Invalid { path: path.to_owned(), invalid })
}

fn explain(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
    let place = line.map_or_else(String::new, |line| format!("line {line}: "));
    let message = error.message();
    match nearest_known(message) {
        Some(nearest) => format!("{place}{message}; did you mean `{nearest}`?"),
        None => format!("{place}{message}"),
    }
}

/// From serde's "unknown field `x`, expected one of `a`, `b`" the known one that is most like `x`.
fn nearest_known(message: &str) -> Option<&str> {
    let mut quoted = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    quoted
        .map(|known| (strsim::jaro_winkler(unknown, known), known))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde::Deserialize;

    use super::{Invalid, parse_toml};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Raw {
        listen: Option<String>,
    }

    #[derive(Debug)]
    struct Checked;

    impl TryFrom<Raw> for Checked {
        type Error = Invalid;

        fn try_from(raw: Raw) -> Result<Self, Invalid> {
            match raw.listen.as_deref() {
                Some("") => Err(Invalid::new("listen", "is empty")),
                _ => Ok(Self),
            }
        }
    }

    fn refusal(text: &str) -> String {
        parse_toml::<Raw, Checked>(text, Path::new("c.toml")).unwrap_err().to_string()
    }

    #[test]
    fn names_file_line_key_and_the_nearest_known() {
        assert_eq!(
            refusal("\nlisten = \"x\"\nlisen = 1\n"),
            "c.toml: line 3: unknown field `lisen`, expected `listen`; did you mean `listen`?"
        );
        assert_eq!(refusal("zzz = 1"), "c.toml: line 1: unknown field `zzz`, expected `listen`");
        assert_eq!(refusal("listen = 1"), "c.toml: line 1: invalid type: integer `1`, expected a string");
        assert_eq!(refusal("listen = \"\""), "c.toml: listen: is empty");
    }
}
