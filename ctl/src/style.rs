//! The few colours, all of the terminal's own palette.

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Nothing in particular.
    Plain,
    /// A heading.
    Bold,
    /// Of little interest.
    Dim,
    /// As it should be.
    Good,
    /// Wants looking at.
    Warn,
    /// Must be acted on.
    Bad,
}

impl Style {
    /// `text` with its colour around it (ECMA-48, SGR), or as it is.
    pub(crate) fn paint(self, text: &str, colour: bool) -> String {
        let code = match self {
            _ if !colour || text.is_empty() => return text.to_owned(),
            Self::Plain => return text.to_owned(),
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "1;31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}
