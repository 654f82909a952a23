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
    /// A machine at the end of its way down.
    Leaving,
    /// A machine that is off, as it should be.
    Asleep,
    /// A machine on its way up.
    Returning,
}

impl Style {
    /// `text` with its colour around it (ECMA-48, SGR), or as it is.
    pub(crate) fn paint(self, text: &str, colour: bool) -> String {
        let mut painted = String::new();
        self.paint_into(&mut painted, text, colour);
        painted
    }

    /// The same at the end of `line`.
    pub(crate) fn paint_into(self, line: &mut String, text: &str, colour: bool) {
        let code = match self {
            Self::Plain => "",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "1;31",
            Self::Leaving => "35",
            Self::Asleep => "94",
            Self::Returning => "36",
        };
        if !colour || code.is_empty() || text.is_empty() {
            return line.push_str(text);
        }
        line.extend(["\u{1b}[", code, "m", text, "\u{1b}[0m"]);
    }
}
