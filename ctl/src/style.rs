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
        let code = self.code();
        if !colour || code.is_empty() || text.is_empty() {
            return line.push_str(text);
        }
        line.extend(["\u{1b}[", code, "m", text, "\u{1b}[0m"]);
    }

    /// The parameters of its SGR; empty where there is nothing to say.
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "1;31",
            Self::Leaving => "35",
            Self::Asleep => "94",
            Self::Returning => "36",
        }
    }

    /// The meaning that is painted with these parameters; plain for all others.
    pub(crate) fn of_code(code: &str) -> Self {
        let all =
            [Self::Bold, Self::Dim, Self::Good, Self::Warn, Self::Bad, Self::Leaving, Self::Asleep, Self::Returning];
        all.into_iter().find(|style| style.code() == code).unwrap_or(Self::Plain)
    }
}
