//! From cells to the bytes that a terminal is sent, and from ctl's painted lines to cells.

use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use ratatui::text::{Line, Span};

use crate::style::Style;
use crate::text::{in_ascii, width};

/// What a terminal can show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ink {
    /// Whether to colour; bold, dim and reversed text is there without it, too.
    pub(super) colour: bool,
    /// Whether it has ASCII only.
    pub(super) ascii: bool,
}

/// A meaning as cells are drawn.
pub(super) fn look(style: Style) -> ratatui::style::Style {
    let plain = ratatui::style::Style::new();
    match style {
        Style::Plain => plain,
        Style::Bold => plain.add_modifier(Modifier::BOLD),
        Style::Dim => plain.add_modifier(Modifier::DIM),
        Style::Good => plain.fg(Color::Green),
        Style::Warn => plain.fg(Color::Yellow),
        Style::Bad => plain.fg(Color::Red).add_modifier(Modifier::BOLD),
        Style::Leaving => plain.fg(Color::Magenta),
        Style::Asleep => plain.fg(Color::LightBlue),
        Style::Returning => plain.fg(Color::Cyan),
    }
}

/// A line that [`Style::paint`] has coloured, as spans.
pub(super) fn line(painted: &str) -> Line<'static> {
    let mut spans = Vec::new();
    let mut style = Style::Plain;
    for (number, part) in painted.split('\u{1b}').enumerate() {
        let text = match part.strip_prefix('[').and_then(|rest| rest.split_once('m')) {
            Some((code, text)) if number > 0 => {
                style = Style::of_code(code);
                text
            }
            _ => part,
        };
        if !text.is_empty() {
            spans.push(Span::styled(text.to_owned(), look(style)));
        }
    }
    Line::from(spans)
}

/// The bytes that turn what the terminal shows into `next` (ECMA-48: CUP, SGR); none if nothing is different. Without
/// `last` all of it is drawn, over a screen that is cleared before.
pub(super) fn changes(last: Option<&Buffer>, next: &Buffer, ink: Ink) -> String {
    let blank = Buffer::empty(next.area);
    let same_size = last.filter(|last| last.area == next.area);
    let mut bytes = String::new();
    if same_size.is_none() {
        bytes.push_str("\u{1b}[0m\u{1b}[2J");
    }
    let mut pen = Pen::default();
    // Where the next character would come without a jump.
    let mut at = None;
    for (x, y, cell) in same_size.unwrap_or(&blank).diff(next) {
        if at != Some((x, y)) {
            // Writing to a string cannot fail.
            let _ = write!(bytes, "\u{1b}[{};{}H", u32::from(y) + 1, u32::from(x) + 1);
        }
        pen.take(Pen::of(cell, ink), &mut bytes);
        let symbol = sign(cell.symbol(), ink.ascii);
        bytes.push_str(&symbol);
        // Behind anything but plain characters terminals differ in where they think to be.
        at = symbol.is_ascii().then(|| (x.saturating_add(1), y));
        at = at.filter(|_| cell.symbol().len() == 1 || width(cell.symbol()) == 1);
    }
    if !bytes.is_empty() {
        bytes.push_str("\u{1b}[0m");
    }
    bytes
}

/// What stands in a cell, in signs that the terminal has; nothing that would steer it.
fn sign(symbol: &str, ascii: bool) -> String {
    if symbol.chars().any(char::is_control) {
        return " ".to_owned();
    }
    if !ascii || symbol.is_ascii() {
        return symbol.to_owned();
    }
    let plain = in_ascii(symbol);
    if plain.is_ascii() { plain } else { "?".repeat(width(symbol).max(1)) }
}

/// How characters are written at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pen {
    colour: Color,
    modifier: Modifier,
}

impl Default for Pen {
    fn default() -> Self {
        Self { colour: Color::Reset, modifier: Modifier::empty() }
    }
}

impl Pen {
    fn of(cell: &Cell, ink: Ink) -> Self {
        let known = Modifier::BOLD | Modifier::DIM | Modifier::REVERSED | Modifier::UNDERLINED;
        Self { colour: if ink.colour { cell.fg } else { Color::Reset }, modifier: cell.modifier & known }
    }

    /// Becomes `next`, by as few bytes as there need be.
    fn take(&mut self, next: Self, bytes: &mut String) {
        if *self == next {
            return;
        }
        let mut codes = vec!["0"];
        let modifiers =
            [(Modifier::BOLD, "1"), (Modifier::DIM, "2"), (Modifier::UNDERLINED, "4"), (Modifier::REVERSED, "7")];
        codes.extend(modifiers.into_iter().filter(|(one, _)| next.modifier.contains(*one)).map(|(_, code)| code));
        codes.extend(match next.colour {
            Color::Red => Some("31"),
            Color::Green => Some("32"),
            Color::Yellow => Some("33"),
            Color::Magenta => Some("35"),
            Color::Cyan => Some("36"),
            Color::LightBlue => Some("94"),
            _ => None,
        });
        bytes.extend(["\u{1b}[", &codes.join(";"), "m"]);
        *self = next;
    }
}

#[cfg(test)]
mod tests {
    use ratatui::buffer::Buffer;
    use ratatui::layout::Rect;
    use ratatui::style::Style as Look;

    use super::{Ink, changes, line, look, sign};
    use crate::style::Style;

    const INK: Ink = Ink { colour: true, ascii: false };

    fn buffer(text: &str, style: Look) -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 2));
        buffer.set_string(0, 0, text, style);
        buffer
    }

    #[test]
    fn only_what_changed_is_sent() {
        let (first, second) = (buffer("pi-1 up", Look::new()), buffer("pi-1 UP", Look::new()));
        assert_eq!(changes(Some(&first), &second, INK), "\u{1b}[1;6HUP\u{1b}[0m");
        assert_eq!(changes(Some(&second), &second, INK), "");
        assert_eq!(changes(None, &buffer("a", Look::new()), INK), "\u{1b}[0m\u{1b}[2J\u{1b}[1;1Ha\u{1b}[0m");
        let mut larger = second.clone();
        larger.resize(Rect::new(0, 0, 13, 2));
        assert!(changes(Some(&second), &larger, INK).starts_with("\u{1b}[0m\u{1b}[2J"));
    }

    #[test]
    fn colours_and_signs_are_those_that_there_are() {
        let drawn = buffer("█ü日", look(Style::Bad));
        let sent = |colour, ascii| changes(Some(&buffer("", Look::new())), &drawn, Ink { colour, ascii });
        assert_eq!(sent(true, false), "\u{1b}[1;1H\u{1b}[0;1;31m█\u{1b}[1;2Hü\u{1b}[1;3H日\u{1b}[0m");
        assert_eq!(sent(false, true), "\u{1b}[1;1H\u{1b}[0;1m#???\u{1b}[0m");
    }

    #[test]
    fn nothing_that_steers_is_sent() {
        let hostile = buffer("a\u{1b}[2J\u{9b}b", Look::new());
        let sent = changes(Some(&buffer("", Look::new())), &hostile, INK);
        assert_eq!(sent, "\u{1b}[1;1Ha[2Jb\u{1b}[0m");
        assert_eq!(["\u{1b}", "\u{9b}", "\u{7}"].map(|symbol| sign(symbol, false)), [" ", " ", " "]);
    }

    #[test]
    fn painted_lines_become_spans() {
        let painted = format!("a{}c", Style::Bad.paint("b", true));
        let spans = line(&painted).spans;
        let told: Vec<_> = spans.iter().map(|span| (span.content.as_ref(), span.style)).collect();
        assert_eq!(told, [("a", look(Style::Plain)), ("b", look(Style::Bad)), ("c", look(Style::Plain))]);
        assert_eq!(line("plain").spans.len(), 1);
        assert!(line("").spans.is_empty());
    }
}
