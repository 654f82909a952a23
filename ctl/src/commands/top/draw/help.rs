use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

use super::titled;
use crate::commands::top::ink;
use crate::style::Style;

/// The keys, and what they do.
const KEYS: [(&str, &str); 16] = [
    ("q  F10  Ctrl-C", "quit"),
    ("j k  arrows  PgUp PgDn  Home End", "move, scroll"),
    ("Enter", "look closely at the node"),
    ("Esc", "back; end the filter"),
    ("/  F3  F4", "filter by name, state, label or problem"),
    ("s  >  F6", "sort by the next column"),
    ("<", "sort by the column before"),
    ("N  P  M  T  D", "sort by name, cpu, mem, temp, disk"),
    ("I", "invert the order"),
    ("Tab  Shift-Tab", "next panel, the one before"),
    ("1  2  3  4", "nodes, alerts, events, power"),
    ("a", "acknowledge the chosen alert; asks first"),
    ("p", "pause, go on"),
    ("r  +  -", "ask now; ask less often, more often"),
    ("Ctrl-Z  Ctrl-L", "stop, to be continued with fg; draw anew"),
    ("?  h  F1", "this"),
];

/// The keys over all else.
pub(super) fn keys(area: Rect, buffer: &mut Buffer) {
    Clear.render(area, buffer);
    let inner = titled(buffer, area, "KEYS", true, "top changes nothing but what you acknowledge");
    let first = KEYS.iter().map(|(keys, _)| keys.len()).max().unwrap_or(0);
    for (row, (keys, what)) in (0..inner.height).zip(KEYS) {
        let width = usize::from(inner.width.saturating_sub(1));
        let (next, _) =
            buffer.set_stringn(inner.x + 1, inner.y + row, format!("{keys:<first$}  "), width, ink::look(Style::Bold));
        let left = usize::from(inner.right().saturating_sub(next));
        buffer.set_stringn(next, inner.y + row, what, left, ink::look(Style::Plain));
    }
}
