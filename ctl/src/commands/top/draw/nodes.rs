use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;

use super::{put, put_painted, titled};
use crate::commands::node::NodeReport;
use crate::commands::top::plan::Panel;
use crate::commands::top::view::View;
use crate::sparkline::sparkline;
use crate::style::Style;
use crate::table::{Cell, Column, Table};
use crate::text::{Text, width};
use crate::units::{celsius, count, percent, short_duration};

/// From so many columns on there is more to see of each node.
const LARGE: u16 = 120;
/// How wide the drawing of the CPU is, columns: on a small screen, and on a large one.
const DRAWING: (usize, usize) = (10, 24);
/// The widest name that is shown in full on a small screen, columns.
const NAME: usize = 24;

/// The nodes in sight.
pub(super) fn table(view: &View, area: Rect, now_ms: u64, buffer: &mut Buffer) {
    let all = view.report.nodes.len();
    let mut rest = format!("by {}", view.sort.as_str());
    if view.inverted {
        rest.push_str(", inverted");
    }
    let shown = match view.filter.is_empty() {
        true => all.to_string(),
        false => {
            rest.push_str(&format!(" · filter {:?}, Esc ends it", view.filter));
            format!("{} of {all}", view.rows.len())
        }
    };
    let rows = area.height.saturating_sub(2).into();
    if view.rows.len() > rows {
        let from = view.nodes.offset + 1;
        rest.push_str(&format!(" · {from}-{} shown", (view.nodes.offset + rows).min(view.rows.len())));
    }
    let inner = titled(buffer, area, &format!("NODES {shown}"), view.panel == Panel::Nodes, &rest);
    if view.rows.is_empty() {
        return put(
            buffer,
            inner,
            Style::Plain,
            match all {
                0 => "No nodes yet. Invite the first: ctl node invite",
                _ => "No node has this in its name, state, labels or problems.",
            },
        );
    }
    let in_sight = view.rows.iter().skip(view.nodes.offset).take(rows);
    let in_sight = in_sight.filter_map(|place| view.report.nodes.get(*place));
    let mut table = Table::new(columns(view, area.width));
    let elapsed = view.age_seconds(now_ms);
    in_sight.for_each(|node| table.row(cells(view, node, elapsed, area.width)));
    for (row, line) in table.lines(Some(area.width.into()), true).iter().enumerate() {
        put_painted(buffer, inner, row, line);
    }
    if view.panel == Panel::Nodes {
        let row = u16::try_from(view.nodes.at - view.nodes.offset).unwrap_or(0);
        let chosen = Rect { y: inner.y + 1 + row, height: 1, ..inner };
        buffer.set_style(chosen.intersection(inner), Modifier::REVERSED);
    }
}

/// Columns do not move when one scrolls: each is as wide as what usually stands in it.
fn columns(view: &View, wide: u16) -> Vec<Column> {
    let names = view.report.nodes.iter().map(|node| width(node.name.as_str())).max().unwrap_or(0);
    let drawing = if wide >= LARGE { DRAWING.1 } else { DRAWING.0 };
    let mut columns = vec![
        Column::left("NAME").shrinks_to(8).expects(names.min(NAME)),
        Column::left("STATE").expects(7),
        Column::right("FOR").importance(7).expects(5),
        Column::left("CPU").importance(6).expects(drawing),
        Column::right("").expects(4),
        Column::right("MEM").importance(9).expects(4),
        Column::right("TEMP").importance(8).expects(4),
        Column::right("LOAD").importance(4).expects(5),
        Column::right("DISK").importance(10).expects(4),
        Column::right("UPTIME").importance(3).expects(6),
    ];
    if wide >= LARGE {
        columns.extend([
            Column::left("FULLEST").importance(1).expects(8).shrinks_to(8),
            Column::right("HEARD").importance(2).expects(5),
            Column::left("ARCH").importance(1).expects(5),
            Column::left("VERSION").importance(1).expects(7),
            Column::left("WHAT IS WRONG").importance(5).shrinks_to(20).expects(wide.into()),
        ]);
    }
    columns
}

fn cells(view: &View, node: &NodeReport, elapsed: f64, wide: u16) -> Vec<Cell> {
    // What was last measured on a node that is gone would be taken for the present.
    let figure = |text: Option<String>| Cell::optional(text.filter(|_| node.is_there()));
    let age = |seconds: f64| short_duration((seconds + elapsed) as u64);
    let drawing = if wide >= LARGE { DRAWING.1 } else { DRAWING.0 };
    let points = view.trails.of(&node.name, drawing);
    let mut cells = vec![
        Cell::plain(node.name.as_str()),
        Cell::styled(node.state.as_str(), node.style()),
        Cell::plain(age(node.state_seconds)),
        Cell::styled(format!("{:>drawing$}", sparkline(&points, 0.0, 100.0, drawing)), Style::Returning),
        figure(node.cpu_percent.map(percent)),
        figure(node.memory_used_percent.map(percent)),
        figure(node.temperature_celsius.map(celsius)),
        figure(node.load_one.map(|load| format!("{load:.2}"))),
        figure(node.disk_used_percent.map(percent)),
        figure(node.uptime_seconds.map(age)),
    ];
    if wide >= LARGE {
        let text = |text: &Option<Text>| text.as_ref().map(ToString::to_string);
        let problems: Vec<_> = problems(node).iter().map(ToString::to_string).collect();
        cells.extend([
            figure(text(&node.disk_mount_point)),
            Cell::optional(node.heard_seconds_ago.map(age)),
            Cell::optional(text(&node.arch)),
            Cell::optional(text(&node.version)),
            Cell::styled(problems.join("; "), node.style()),
        ]);
    }
    cells
}

/// What is wrong with the chosen node, on one line.
pub(super) fn wrong(view: &View, area: Rect, buffer: &mut Buffer) {
    let Some(node) = view.node() else { return };
    let Some((first, others)) = problems(node).split_first().map(|(first, others)| (*first, others.len())) else {
        return;
    };
    let more = match others {
        0 => String::new(),
        more => format!(" (and {} more: Enter)", count(more, "problem")),
    };
    put(buffer, area, node.style(), &format!("{}: {first}{more}", node.name));
}

/// That it is down stands in its row already.
fn problems(node: &NodeReport) -> Vec<&Text> {
    node.problems.iter().filter(|problem| problem.as_str() != node.state.as_str()).collect()
}
