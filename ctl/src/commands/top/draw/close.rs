//! One node, looked at closely.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{hint, put, put_painted, titled};
use crate::commands::node::{Graph, LiveNode};
use crate::commands::top::ink;
use crate::commands::top::view::{Close, View};
use crate::output::Page;
use crate::style::Style;

/// How high a graph is, rows: where there are few, and where there are many.
const HEIGHT: (u16, u16) = (3, 8);
/// From so many rows on there are many.
const MANY_ROWS: u16 = 34;
/// The eighths of a cell.
const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

pub(super) fn node(view: &View, close: &Close, area: Rect, buffer: &mut Buffer) {
    let node = match &close.node {
        Some(Ok(node)) => node,
        Some(Err(reason)) => {
            let inner = titled(buffer, area, close.name.as_str(), true, "");
            return put(buffer, inner, Style::Warn, reason);
        }
        None => {
            let inner = titled(buffer, area, close.name.as_str(), true, "");
            return put(buffer, inner, Style::Dim, "asking …");
        }
    };
    let lines = node.lines(&page(view, area));
    let text_rows = usize::from(text_area(area).height);
    let first = close.scroll;
    let rest = match lines.len() > text_rows {
        true => {
            format!("lines {}-{} of {}, j/k scroll", first + 1, (first + text_rows).min(lines.len()), lines.len())
        }
        false => String::new(),
    };
    let inner = titled(buffer, area, close.name.as_str(), true, &rest);
    graphs(node, Rect { height: graph_rows(area), ..inner }, buffer);
    let below = text_area(area);
    for (row, line) in lines.iter().skip(first).enumerate() {
        put_painted(buffer, below, row, line);
    }
}

/// How far one can scroll: until the last line is in sight.
pub(in crate::commands::top) fn most_scroll(view: &View, close: &Close, area: Rect) -> usize {
    let Some(Ok(node)) = &close.node else { return 0 };
    node.lines(&page(view, area)).len().saturating_sub(text_area(area).height.into())
}

fn page(view: &View, area: Rect) -> Page {
    Page { columns: Some(area.width.into()), rows: None, ..view.page.clone() }
}

/// With a title each.
fn graph_rows(area: Rect) -> u16 {
    1 + if area.height >= MANY_ROWS { HEIGHT.1 } else { HEIGHT.0 }
}

/// What is below the rule, the graphs and a blank line.
fn text_area(area: Rect) -> Rect {
    let above = (graph_rows(area) + 2).min(area.height);
    Rect { y: area.y + above, height: area.height - above, ..area }
}

/// Side by side.
fn graphs(node: &LiveNode, area: Rect, buffer: &mut Buffer) {
    let graphs = node.graphs();
    let each = area.width / 3;
    for (place, graph) in (0_u16..).zip(graphs) {
        let room = Rect { x: area.x + place * each, width: each.saturating_sub(2), ..area };
        let title = format!("{} {}", graph.title, graph.now.as_deref().unwrap_or("-"));
        put(buffer, room, Style::Bold, &title);
        hint(buffer, room, node.period());
        let drawn = Rect { y: room.y + 1, height: room.height.saturating_sub(1), ..room };
        draw(&graph, drawn, buffer);
    }
}

/// One column for each value, the newest at the right; peaks are kept where there are more values than columns.
fn draw(graph: &Graph, area: Rect, buffer: &mut Buffer) {
    let columns = graph.values.len().min(area.width.into());
    let (low, high) = graph.bounds;
    let start = area.right() - u16::try_from(columns).unwrap_or(area.width);
    for column in 0..columns {
        let group = column * graph.values.len() / columns..(column + 1) * graph.values.len() / columns;
        let Some(value) = graph.values[group].iter().flatten().copied().max_by(f32::total_cmp) else { continue };
        let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
        // What was measured is seen, however little it is.
        let eighths = ((share * f32::from(area.height) * 8.0).round() as usize).max(1);
        for row in 0..area.height {
            let below = usize::from(area.height - 1 - row) * 8;
            let sign = EIGHTHS[eighths.saturating_sub(below).min(8)];
            let x = start + u16::try_from(column).unwrap_or(0);
            buffer.set_string(x, area.y + row, sign, ink::look(Style::Returning));
        }
    }
}
