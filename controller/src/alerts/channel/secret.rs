use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What a file's path begins with that names one of the service manager's credentials.
const CREDENTIAL: &str = "credential:";
/// The longest file that is read, bytes.
const LIMIT_BYTES: u64 = 4096;

/// Where a secret is kept. It is read for each attempt, so that a changed one needs no restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretSource {
    /// The first line of a file.
    File(PathBuf),
    /// The first line of a credential that the service manager hands over.
    Credential(String),
}

/// A secret that shows itself only to who asks for it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl SecretSource {
    /// From a path, or from `credential:NAME`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix(CREDENTIAL) {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
                return Err(format!("{name:?} is not a credential's name"));
            }
            return Ok(Self::Credential(name.to_owned()));
        }
        if !Path::new(text).is_absolute() {
            return Err(format!("{text:?} is neither an absolute path nor {CREDENTIAL}NAME"));
        }
        Ok(Self::File(PathBuf::from(text)))
    }

    /// Reads it.
    ///
    /// # Errors
    /// Why there is none, without a word of what the file holds.
    pub(crate) fn read(&self) -> Result<Secret, String> {
        let path = match self {
            Self::File(path) => path.clone(),
            Self::Credential(name) => {
                let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    format!("reading the credential {name}: the service manager handed none over (LoadCredential=)")
                })?;
                Path::new(&folder).join(name)
            }
        };
        let wrong = |reason: &dyn fmt::Display| format!("reading {}: {reason}", path.display());
        let mut text = String::new();
        let file = std::fs::File::open(&path).map_err(|error| wrong(&error))?;
        file.take(LIMIT_BYTES).read_to_string(&mut text).map_err(|error| wrong(&error))?;
        let line = text.lines().next().unwrap_or_default().trim();
        if line.is_empty() {
            return Err(wrong(&"its first line is empty"));
        }
        if line.chars().any(char::is_control) {
            return Err(wrong(&"its first line holds a control character"));
        }
        Ok(Secret(line.to_owned()))
    }
}

impl Secret {
    /// The secret itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::SecretSource;

    #[test]
    fn forms() {
        assert_eq!(SecretSource::parse("/etc/x"), Ok(SecretSource::File("/etc/x".into())));
        assert_eq!(SecretSource::parse("credential:ntfy"), Ok(SecretSource::Credential("ntfy".to_owned())));
        for wrong in ["x", "", "credential:", "credential:../x", "credential:a/b"] {
            SecretSource::parse(wrong).unwrap_err();
        }
    }

    #[test]
    fn the_first_line_counts_and_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let source = SecretSource::File(path.clone());
        assert!(source.read().unwrap_err().starts_with("reading /"));
        std::fs::write(&path, "hunter2 \n# the second\n").unwrap();
        let secret = source.read().unwrap();
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        for (text, reason) in
            [("\nx", "its first line is empty"), ("a\u{1b}b", "its first line holds a control character")]
        {
            std::fs::write(&path, text).unwrap();
            let error = source.read().unwrap_err();
            assert!(error.ends_with(reason), "{error}");
        }
    }
}
