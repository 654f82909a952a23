use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Text from outside that is safe to show: without anything that moves a cursor, changes colours or turns the writing
/// direction. A report holds no other kind of text, so that no form of output can let a hostile node paint on the
/// screen.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(crate) struct Text(String);

impl Text {
    /// Takes up `outside`. White space becomes a blank; whatever else steers a terminal becomes U+FFFD, so that the
    /// attempt is seen.
    pub(crate) fn new(outside: &str) -> Self {
        // Nearly all text is this; a thousand nodes are shown in a few milliseconds.
        if outside.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Self(outside.to_owned());
        }
        let shown = |c: char| match c {
            '\t' | '\n' | '\r' => ' ',
            _ if steers(c) => char::REPLACEMENT_CHARACTER,
            _ => c,
        };
        Self(outside.chars().map(shown).collect())
    }

    /// The same, or none for the empty text.
    pub(crate) fn given(outside: &str) -> Option<Self> {
        (!outside.is_empty()).then(|| Self::new(outside))
    }

    /// As a string slice.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// C0, DEL and C1 (ECMA-48), and the invisible characters that reorder, split or join what stands around them.
pub(crate) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// How many columns of a terminal `text` takes.
pub(crate) fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.width() }
}

/// `text` in at most `columns` columns, with `…` in place of what was cut.
pub(crate) fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut kept = String::new();
    let mut left = columns.saturating_sub(1);
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if wide > left {
            break;
        }
        left -= wide;
        kept.push(c);
    }
    if columns > 0 {
        kept.push('…');
    }
    Cow::Owned(kept)
}

/// `drawn` with the signs that ctl draws with in ASCII, each as wide as before; other text stays as it is.
pub(crate) fn in_ascii(drawn: &str) -> String {
    let plain = |c: char| match c {
        '·' | '▂' | '▃' => '.',
        '…' => '~',
        '—' | '─' | '▄' => '-',
        '→' => '>',
        '°' => '\'',
        '╷' | '│' => '|',
        '└' | '┬' => '+',
        '╱' => '/',
        '▁' => '_',
        '▅' | '▒' => '=',
        '▆' => '+',
        '▇' => '*',
        '█' => '#',
        '▓' => '%',
        '░' => ':',
        _ => c,
    };
    drawn.chars().map(plain).collect()
}

/// Breaks `text` at blanks into lines of at most `columns` columns; a longer word is broken where it must be.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let wide = width(word);
        if used > 0 && used + 1 + wide <= columns {
            push(&mut lines, ' ', &mut used, columns);
        } else if used > 0 {
            lines.push(String::new());
            used = 0;
        }
        for c in word.chars() {
            push(&mut lines, c, &mut used, columns);
        }
    }
    lines
}

fn push(lines: &mut Vec<String>, c: char, used: &mut usize, columns: usize) {
    let wide = c.width().unwrap_or(0);
    if *used + wide > columns {
        lines.push(String::new());
        *used = 0;
    }
    if let Some(line) = lines.last_mut() {
        line.push(c);
        *used += wide;
    }
}

#[cfg(test)]
mod tests {
    use super::{Text, cut, in_ascii, steers, width, wrap};

    #[test]
    fn nothing_that_steers_a_terminal_gets_through() {
        for c in (0..=0x10_ffff_u32).filter_map(char::from_u32) {
            let hostile = format!("a{c}b{c}");
            let text = Text::new(&hostile);
            assert!(!text.as_str().chars().any(|c| c.is_control() || steers(c)), "{c:?} got through");
            assert_eq!(text.as_str().chars().count(), 4);
            if !c.is_control() && !steers(c) {
                assert_eq!(text.as_str(), hostile);
            }
        }
        let painted = Text::new("\u{1b}[2J\u{9b}31mOK: 6 nodes up\r\n\u{202e}drowssap\u{7}");
        assert_eq!(painted.as_str(), "\u{fffd}[2J\u{fffd}31mOK: 6 nodes up  \u{fffd}drowssap\u{fffd}");
    }

    #[test]
    fn cutting_never_exceeds_and_never_splits() {
        let text = "Zürich 日本 データ 12°C";
        for columns in 0..30 {
            let short = cut(text, columns);
            assert!(width(&short) <= columns, "{short:?} is wider than {columns}");
            assert_eq!(short == text, columns >= width(text));
        }
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("日本語", 4), "日…");
    }

    #[test]
    fn drawings_keep_their_width_in_ascii() {
        let drawn = "pi-1 ──▒▒▓▓██░░──╱╱ ╷30s · 52°C … ▁▂▃▄▅▆▇█ — a → b │└─┬";
        let plain = in_ascii(drawn);
        assert_eq!(plain, "pi-1 --==%%##::--// |30s . 52'C ~ _..-=+*# - a > b |+-+");
        assert!(plain.is_ascii() && width(&plain) == width(drawn));
        assert_eq!(in_ascii("Zürich"), "Zürich");
    }

    #[test]
    fn wrapping_keeps_all_words() {
        let text = "the file system / is 96% full and somethingverylongwithoutblanks follows";
        for columns in 1..90 {
            let lines = wrap(text, columns);
            assert!(lines.iter().all(|line| width(line) <= columns), "{columns}: {lines:?}");
            assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        }
        assert_eq!(wrap("a bb ccc", 4), ["a bb", "ccc"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
