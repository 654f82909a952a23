//! Bars under an axis, in the room that there is.

use super::super::outage::{OutageNodeReport, OutageReport};
use super::axis::{Axis, Column};
use super::bars::{Segment, Shade, bar, quiet, shade_between};
use super::span::{Span, bars_of};
use crate::output::Page;
use crate::style::Style;
use crate::text::{cut, width};

/// How wide bars are where a line has no limit.
const FREE_COLUMNS: usize = 60;
/// Bars narrower than this give way to nothing else.
const LEAST_COLUMNS: usize = 12;
/// Longest name of a node or a stage beside its bar.
const MOST_NAME_COLUMNS: usize = 14;
/// How wide the word for a state may be: `not confirmed` is cut, all others fit.
const MOST_STATE_COLUMNS: usize = 12;
/// Blanks between two parts of a row.
const GAP: usize = 2;

/// The marks, a row for each node in the order of stages (at most `rows`, the busiest), and the legend.
pub(crate) fn drawing(outage: &OutageReport, span: Span, page: &Page, rows: Option<usize>) -> Vec<String> {
    let nodes = in_order(outage);
    let (shown, missing) = choose(&nodes, rows.unwrap_or(usize::MAX));
    let bars: Vec<_> = shown.iter().map(|node| bar(node.name.as_str(), &outage.events)).collect();
    let layout = Layout::new(&shown, page);
    let quiet = quiet(&bars_of(outage), span.from_ms, span.until_ms);
    let axis = Axis::new(&quiet, span.from_ms, span.to_ms, layout.bar);
    let mut lines = vec![Style::Dim.paint(&format!("{:1$}{2}", "", layout.before(), axis.marks()), page.colour)];
    let mut stage = "";
    for (node, bar) in shown.iter().zip(&bars) {
        let title = if node.stage.as_str() == stage { "" } else { node.stage.as_str() };
        stage = node.stage.as_str();
        lines.push(layout.row(title, node, &filled(bar, &axis, span.until_ms), page));
    }
    if let Some(missing) = missing {
        lines.push(Style::Dim.paint(&page.fit(&missing), page.colour));
    }
    lines.extend(legend(outage, &bars, page));
    lines
}

/// The nodes in the order in which their stages go.
fn in_order(outage: &OutageReport) -> Vec<&OutageNodeReport> {
    let ordered_at = |node: &OutageNodeReport| {
        let own = outage.events.iter().filter(|event| event.node.as_ref() == Some(&node.name));
        own.filter(|event| event.kind.as_str() == "node.ordered").map(|event| event.at_ms).min()
    };
    let place = |node: &OutageNodeReport| {
        let stage = outage.nodes.iter().filter(|other| other.stage == node.stage);
        let first = outage.nodes.iter().position(|other| other.stage == node.stage);
        (stage.filter_map(ordered_at).min().unwrap_or(u64::MAX), first)
    };
    let mut nodes: Vec<_> = outage.nodes.iter().collect();
    nodes.sort_by_key(|node| place(node));
    nodes
}

/// The busiest where not all have room, in the old order, and what is said of the others.
fn choose<'a>(nodes: &[&'a OutageNodeReport], rows: usize) -> (Vec<&'a OutageNodeReport>, Option<String>) {
    if nodes.len() <= rows {
        return (nodes.to_vec(), None);
    }
    let mut places: Vec<usize> = (0..nodes.len()).collect();
    places.sort_by_key(|place| (rest(nodes[*place].state.as_str()), *place));
    let (kept, left) = places.split_at(rows.saturating_sub(1));
    let mut states: Vec<(&str, usize)> = Vec::new();
    for place in left {
        let state = nodes[*place].state.as_str();
        match states.iter_mut().find(|(known, _)| *known == state) {
            Some((_, count)) => *count += 1,
            None => states.push((state, 1)),
        }
    }
    let told: Vec<_> = states.iter().map(|(state, count)| format!("{count} {}", spaced(state))).collect();
    let mut kept = kept.to_vec();
    kept.sort_unstable();
    (kept.into_iter().map(|place| nodes[place]).collect(), Some(format!("… {} more: {}", left.len(), told.join(", "))))
}

/// How little there is to see of a node: what is wrong or under way comes first.
fn rest(state: &str) -> u8 {
    match state {
        "missing" => 0,
        "ordered" | "stopping" | "powering-off" | "returning" => 1,
        "running" => 3,
        "off" | "back" => 2,
        // Not known to this version.
        _ => 1,
    }
}

/// What one column of a bar holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fill {
    /// What the node did then.
    Shade(Shade),
    /// Time that is left out.
    LeftOut,
    /// Time that is not over.
    ToCome,
}

/// The columns of a bar.
fn filled(bar: &[Segment], axis: &Axis, until_ms: u64) -> Vec<Fill> {
    let fill = |column: &Column| match *column {
        Column::Break => Fill::LeftOut,
        Column::Time(from, to) if from < until_ms => {
            Fill::Shade(shade_between(bar, from, to.min(until_ms.saturating_add(1))))
        }
        Column::Time(..) => Fill::ToCome,
    };
    axis.columns().iter().map(fill).collect()
}

/// How the width is shared out.
#[derive(Debug, Clone, Copy)]
struct Layout {
    stage: usize,
    name: usize,
    bar: usize,
    state: usize,
}

impl Layout {
    fn new(nodes: &[&OutageNodeReport], page: &Page) -> Self {
        let widest = |text: fn(&OutageNodeReport) -> &str| {
            nodes.iter().map(|node| width(text(node))).max().unwrap_or(0).min(MOST_NAME_COLUMNS)
        };
        let (stage, name) = (widest(|node| node.stage.as_str()), widest(|node| node.name.as_str()));
        let state = MOST_STATE_COLUMNS;
        let Some(columns) = page.columns else { return Self { stage, name, state, bar: FREE_COLUMNS } };
        // What a narrow screen goes without, in this order.
        let layouts = [(stage, name, state), (0, name, state), (0, name, 0), (0, 0, 0)].map(|(stage, name, state)| {
            let layout = Self { stage, name, state, bar: 0 };
            Self { bar: columns.saturating_sub(layout.before() + layout.after()), ..layout }
        });
        let [.., bare] = layouts;
        layouts.into_iter().find(|layout| layout.bar >= LEAST_COLUMNS).unwrap_or(bare)
    }

    fn before(&self) -> usize {
        let part = |columns: usize| if columns == 0 { 0 } else { columns + GAP };
        part(self.stage) + part(self.name)
    }

    fn after(&self) -> usize {
        if self.state == 0 { 0 } else { GAP + self.state }
    }

    fn row(&self, stage: &str, node: &OutageNodeReport, cells: &[Fill], page: &Page) -> String {
        let mut line = String::new();
        for (text, columns, style) in [(stage, self.stage, Style::Dim), (node.name.as_str(), self.name, Style::Plain)] {
            if columns > 0 {
                let text = cut(text, columns);
                style.paint_into(&mut line, &text, page.colour);
                line.extend(std::iter::repeat_n(' ', columns - width(&text) + GAP));
            }
        }
        line.push_str(&painted(cells, page));
        if self.state > 0 {
            line.extend(std::iter::repeat_n(' ', self.bar.saturating_sub(cells.len()) + GAP));
            let (word, style) = state(node, cells);
            style.paint_into(&mut line, &cut(&word, self.state), page.colour);
        }
        line.truncate(line.trim_end_matches(' ').len());
        line
    }
}

/// The cells of a bar, neighbours of one shade in one piece; what is left out and what is to come is blank or broken.
fn painted(cells: &[Fill], page: &Page) -> String {
    let mut line = String::new();
    for run in cells.chunk_by(|left, right| left == right) {
        let (sign, style) = match run.first() {
            Some(Fill::Shade(shade)) => (shade.sign(), shade.style()),
            Some(Fill::LeftOut) => ('╱', Style::Dim),
            Some(Fill::ToCome) | None => (' ', Style::Plain),
        };
        style.paint_into(&mut line, &sign.to_string().repeat(run.len()), page.colour);
    }
    line
}

/// What a node does now, in a word: its step where it has one. One that is off and has a wake-up on its way is said to
/// be woken, as its bar shows.
fn state(node: &OutageNodeReport, cells: &[Fill]) -> (String, Style) {
    let last = cells.iter().rfind(|cell| **cell != Fill::ToCome);
    if matches!(node.state.as_str(), "off" | "missing") && last == Some(&Fill::Shade(Shade::Returning)) {
        return ("being woken".to_owned(), Style::Returning);
    }
    let style = match node.state.as_str() {
        "running" => Style::Dim,
        "ordered" | "stopping" => Style::Warn,
        "powering-off" => Style::Leaving,
        "off" => Style::Asleep,
        "missing" => Style::Bad,
        "returning" => Style::Returning,
        "back" => Style::Good,
        _ => Style::Plain,
    };
    match (node.state.as_str(), node.step) {
        ("ordered" | "stopping", Some(step)) => (step.to_string(), style),
        (word, _) => (spaced(word), style),
    }
}

/// A word of several parts for people.
fn spaced(word: &str) -> String {
    word.replace('-', " ")
}

/// What the shades mean: those of a shutdown in any case, so that the legend stays where it is, and what went wrong if it
/// did.
fn legend(outage: &OutageReport, bars: &[Vec<Segment>], page: &Page) -> Vec<String> {
    let seen = |shade: Shade| bars.iter().flatten().any(|segment| segment.shade == shade);
    let told = |shade: Shade| match shade {
        Shade::Running | Shade::Stopping => true,
        Shade::PoweringOff | Shade::Off | Shade::Returning => !outage.is_drill(),
        // Without colours it looks as one that runs.
        Shade::Back => page.colour && seen(shade),
        Shade::Missing | Shade::Failed => seen(shade),
    };
    let mut line = String::new();
    let mut used = 0;
    let mut lines = Vec::new();
    for shade in Shade::ALL.into_iter().filter(|shade| told(*shade)) {
        let text = format!("{} {}", shade.sign(), shade.word());
        if used > 0 && page.columns.is_some_and(|columns| used + GAP + width(&text) > columns) {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push_str("  ");
            used += GAP;
        }
        shade.style().paint_into(&mut line, &shade.sign().to_string(), page.colour);
        line.push(' ');
        line.push_str(shade.word());
        used += width(&text);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::v1::{Outage, OutageEvent, OutageNode};

    use super::super::super::outage::OutageReport;
    use super::{choose, in_order};

    fn outage(nodes: &[(&str, &str, &str)], events: &[(u64, &str, &str)]) -> OutageReport {
        let node = |(name, stage, state): &(&str, &str, &str)| OutageNode {
            name: (*name).to_owned(),
            stage: (*stage).to_owned(),
            state: (*state).to_owned(),
            ..OutageNode::default()
        };
        let event = |(at_s, node, kind): &(u64, &str, &str)| OutageEvent {
            at_ms: at_s * 1000,
            node: (*node).to_owned(),
            kind: (*kind).to_owned(),
            ..OutageEvent::default()
        };
        let (nodes, events) = (nodes.iter().map(node).collect(), events.iter().map(event).collect());
        OutageReport::new(Outage { nodes, events, ..Outage::default() }).unwrap()
    }

    #[test]
    fn the_busiest_are_shown_in_the_order_of_stages() {
        let nodes = [
            ("m", "master", "running"),
            ("a", "workers", "off"),
            ("b", "workers", "stopping"),
            ("n", "storage", "running"),
            ("c", "workers", "missing"),
        ];
        let outage = outage(&nodes, &[(5, "b", "node.ordered"), (9, "n", "node.ordered")]);
        let ordered = in_order(&outage);
        let names =
            |shown: &[&super::OutageNodeReport]| shown.iter().map(|node| node.name.to_string()).collect::<String>();
        assert_eq!(names(&ordered), "abcnm");
        for (rows, shown, rest) in [
            (5, "abcnm", None),
            (4, "abc", Some("… 2 more: 2 running")),
            (3, "bc", Some("… 3 more: 1 off, 2 running")),
            (1, "", Some("… 5 more: 1 missing, 1 stopping, 1 off, 2 running")),
        ] {
            let (kept, told) = choose(&ordered, rows);
            assert_eq!((names(&kept).as_str(), told.as_deref()), (shown, rest), "{rows} rows");
        }
    }
}
