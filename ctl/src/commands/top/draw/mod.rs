//! The screen. Pure: a view and a moment in, cells out.

pub(super) mod close;
mod head;
mod help;
mod nodes;
mod panels;
#[cfg(test)]
mod tests;

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::Line;

use super::ink;
use super::plan::{LEAST, Panel};
use super::view::{Link, Mode, View};
use crate::commands::status::verdict_text;
use crate::style::Style;
use crate::text::{cut, width};

/// Draws all of it.
pub(super) fn frame(view: &View, now_ms: u64) -> Buffer {
    let (columns, rows) = view.size;
    let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
    let Some(plan) = view.plan() else {
        too_small(view, &mut buffer);
        return buffer;
    };
    match &view.mode {
        Mode::Node(close) => close::node(view, close, plan.body, &mut buffer),
        _ => {
            head::power(view, plan.power, now_ms, &mut buffer);
            head::backups(view, plan.backups, &mut buffer);
            nodes::table(view, plan.nodes, now_ms, &mut buffer);
            nodes::wrong(view, plan.wrong, &mut buffer);
            panels::alerts(view, plan.alerts, now_ms, &mut buffer);
            match view.below {
                Panel::Power => panels::power(view, plan.other, now_ms, &mut buffer),
                _ => panels::events(view, plan.other, &mut buffer),
            }
        }
    }
    if view.link != Link::Answers {
        // The last picture is of the past.
        buffer.set_style(plan.body, ratatui::style::Style::new().add_modifier(Modifier::DIM));
    }
    head::verdict(view, plan.verdict, now_ms, &mut buffer);
    head::age(view, plan.age, now_ms, &mut buffer);
    if view.help {
        help::keys(plan.body, &mut buffer);
    }
    foot(view, plan.foot, now_ms, &mut buffer);
    buffer
}

/// The interval of the looks, for people.
pub(super) fn interval(every: Duration) -> String {
    match every.subsec_millis() {
        0 => format!("{} s", every.as_secs()),
        _ => format!("{:.1} s", every.as_secs_f64()),
    }
}

/// What is wrong must be seen even here.
fn too_small(view: &View, buffer: &mut Buffer) {
    let (columns, rows) = view.size;
    let lines = [
        (Style::Bad, verdict_text(&view.report)),
        (Style::Plain, format!("This screen of {columns}x{rows} is too small:")),
        (Style::Plain, format!("top wants {}x{} at least.", LEAST.0, LEAST.1)),
        (Style::Plain, "q quits.".to_owned()),
    ];
    for (row, (style, text)) in (0..rows).zip(lines) {
        let style = if row == 0 { head::verdict_style(view) } else { style };
        put(buffer, Rect::new(0, row, columns, 1), style, &text);
    }
}

/// The last line: a question, what is typed, what was said, or the keys.
fn foot(view: &View, area: Rect, now_ms: u64, buffer: &mut Buffer) {
    match &view.mode {
        Mode::Filter(_) => {
            put(buffer, area, Style::Bold, &format!("filter: {}_", view.filter));
            hint(buffer, area, "Enter keeps it · Esc does not");
            return;
        }
        Mode::Confirm(alert) => {
            return put(buffer, area, Style::Warn, &format!("Acknowledge {alert}? It is not repeated then. y/n"));
        }
        _ => {}
    }
    if let Some((style, text)) = view.said(now_ms) {
        return put(buffer, area, style, text);
    }
    let keys: &[(&str, &str)] = match view.mode {
        _ if view.help => &[("any key", "back")],
        Mode::Node(_) => {
            &[("Esc", "back"), ("j/k", "scroll"), ("p", "pause"), ("+/-", "interval"), ("?", "help"), ("q", "quit")]
        }
        _ => &[
            ("q", "quit"),
            ("?", "help"),
            ("j/k", "move"),
            ("Enter", "node"),
            ("/", "filter"),
            ("s", "sort"),
            ("Tab", "panel"),
            ("a", "ack"),
            ("p", "pause"),
        ],
    };
    let mut x = area.x;
    for (key, what) in keys {
        let left = area.right().saturating_sub(x);
        if usize::from(left) < width(key) + width(what) + 1 {
            break;
        }
        let (next, _) = buffer.set_stringn(x, area.y, key, left.into(), ink::look(Style::Bold));
        let (next, _) = buffer.set_stringn(next + 1, area.y, what, left.into(), ink::look(Style::Dim));
        x = next + 3;
    }
}

/// Text at the right end of a line, where there is room for it; how many columns it took, with the blank before it.
fn hint(buffer: &mut Buffer, area: Rect, text: &str) -> u16 {
    let wide = u16::try_from(width(text)).unwrap_or(u16::MAX);
    if area.width / 2 <= wide {
        return 0;
    }
    put(buffer, Rect { x: area.right() - wide, width: wide, ..area }, Style::Dim, text);
    wide + 1
}

/// One line of one style, cut to the area's width.
fn put(buffer: &mut Buffer, area: Rect, style: Style, text: &str) {
    if area.height > 0 {
        buffer.set_stringn(area.x, area.y, cut(text, area.width.into()), area.width.into(), ink::look(style));
    }
}

/// One line that ctl's own drawing has painted.
fn put_painted(buffer: &mut Buffer, area: Rect, row: usize, painted: &str) {
    if let Ok(row) = u16::try_from(row)
        && row < area.height
    {
        buffer.set_line(area.x, area.y + row, &ink::line(painted), area.width);
    }
}

/// The title of a panel, on a rule; what is in the area below it.
fn titled(buffer: &mut Buffer, area: Rect, title: &str, focused: bool, rest: &str) -> Rect {
    if area.height == 0 {
        return area;
    }
    let rule = "─".repeat(area.width.into());
    put(buffer, Rect { height: 1, ..area }, Style::Dim, &rule);
    let mark = if focused { ">" } else { " " };
    let style = ink::look(if focused { Style::Bold } else { Style::Plain });
    let title = Line::styled(format!("{mark}{title} "), style);
    let inner = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let (next, _) = buffer.set_line(inner.x, area.y, &title, inner.width);
    if !rest.is_empty() {
        let room = usize::from(inner.right().saturating_sub(next));
        buffer.set_stringn(next, area.y, cut(&format!("{rest} "), room), room, ink::look(Style::Dim));
    }
    Rect { y: area.y + 1, height: area.height - 1, ..area }
}
