use std::fmt;
use std::str::FromStr;

/// A context's name: also its file's, so it holds nothing that means something in a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ContextName(Box<str>);

impl ContextName {
    /// The nearest name to any text, such as a cluster's name.
    pub(crate) fn resembling(text: &str) -> Self {
        let allowed = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = text.chars().take(60).map(allowed).collect();
        match name.trim_matches('-') {
            "" => Self("controller".into()),
            name => Self(name.into()),
        }
    }

    /// The same with a number behind it.
    pub(crate) fn numbered(&self, number: usize) -> Self {
        Self(format!("{}-{number}", self.0).into())
    }
}

impl FromStr for ContextName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        match text {
            "" => Err("the name of a context is empty".to_owned()),
            _ if text.len() > 64 || text.starts_with(['.', '-']) || !text.chars().all(allowed) => Err(format!(
                "{text:?} cannot name a context: at most 64 letters, digits, '-', '_' and '.', beginning with none of \
                 the last"
            )),
            _ => Ok(Self(text.into())),
        }
    }
}

impl fmt::Display for ContextName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
