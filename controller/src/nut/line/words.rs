use std::fmt;

use super::{LineError, MAX_LINE_BYTES};

/// How much of a wrong line is repeated in a message, characters.
const SHOWN: usize = 60;

/// A line's words, as NUT's own parser sees them: quotations hold blanks, a backslash takes the next character as it
/// is. Control characters are left out, so that no text of a peer carries any further.
pub(super) fn split(line: &str) -> Result<Vec<String>, LineError> {
    if line.len() > MAX_LINE_BYTES {
        return Err(LineError::TooLong);
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let plain = match c {
            '\\' => chars.next().ok_or_else(|| LineError::Unended(shown(line)))?,
            '"' => {
                quoted = !quoted;
                // Two quotation marks are a word too, an empty one.
                word.get_or_insert_default();
                continue;
            }
            ' ' | '\t' if !quoted => {
                words.extend(word.take());
                continue;
            }
            c => c,
        };
        if !plain.is_control() {
            word.get_or_insert_default().push(plain);
        }
    }
    if quoted {
        return Err(LineError::Unended(shown(line)));
    }
    words.extend(word);
    Ok(words)
}

/// The beginning of a line, for a message.
pub(super) fn shown(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

/// A text in quotation marks, escaped as NUT does.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        escaped(self.0, f)?;
        f.write_str("\"")
    }
}

/// A text that needs no quotation marks as it is, any other in them.
pub(super) struct Word<'a>(pub(super) &'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() || self.0.contains(|c: char| c.is_whitespace() || "\"\\#=".contains(c)) {
            Quoted(self.0).fmt(f)
        } else {
            f.write_str(self.0)
        }
    }
}

fn escaped(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use fmt::Write;
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\' | '#') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LineError, MAX_LINE_BYTES, Quoted, Word, split};

    #[test]
    fn words_are_split_as_nut_splits_them() {
        let unended = |line: &str| Err(LineError::Unended(line.to_owned()));
        for (line, words) in [
            ("", Ok(vec![])),
            ("  \t ", Ok(vec![])),
            ("OK", Ok(vec!["OK"])),
            ("VAR ups ups.status \"OL CHRG\"", Ok(vec!["VAR", "ups", "ups.status", "OL CHRG"])),
            (r#"VAR u v "a \"b\" \\ \# c""#, Ok(vec!["VAR", "u", "v", r#"a "b" \ # c"#])),
            (r"a\ b c", Ok(vec!["a b", "c"])),
            ("\"\"", Ok(vec![""])),
            ("a\"b c\"d", Ok(vec!["ab cd"])),
            ("V \"a\u{1b}[31m\u{7}b\"", Ok(vec!["V", "a[31mb"])),
            ("V \"a\\\u{1b}b\"", Ok(vec!["V", "ab"])),
            ("V \"half", unended("V \"half")),
            ("V \\", unended("V \\")),
            ("V \"half\\\"", unended("V \"half\\\"")),
        ] {
            let words = words.map(|words| words.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(split(line), words, "{line:?}");
        }
    }

    #[test]
    fn a_line_is_bounded() {
        assert!(split(&"x".repeat(MAX_LINE_BYTES)).is_ok());
        assert_eq!(split(&"x".repeat(MAX_LINE_BYTES + 1)), Err(LineError::TooLong));
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_as_the_same(texts in prop::collection::vec("[^\\p{Cc}]{0,40}", 0..6)) {
            let line: Vec<String> =
                texts.iter().flat_map(|text| [Quoted(text).to_string(), Word(text).to_string()]).collect();
            let twice: Vec<String> = texts.iter().flat_map(|text| [text.clone(), text.clone()]).collect();
            prop_assert_eq!(split(&line.join(" ")), Ok(twice));
        }
    }
}
