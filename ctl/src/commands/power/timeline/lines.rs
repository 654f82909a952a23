//! A timeline as lines for people.

use super::super::outage::TimelineEvent;
use super::axis::moment;
use crate::output::Page;
use crate::style::Style;
use crate::table::{Cell, Column, Growing, Table};
use crate::text::Text;

/// Events as they come, aligned.
pub(crate) struct EventLines(Growing);

impl EventLines {
    /// No events yet.
    pub(crate) fn new() -> Self {
        Self(Growing::new(columns()))
    }

    /// The titles, with the line's end.
    pub(crate) fn titles(&self, page: &Page) -> String {
        self.0.titles(page.columns, page.colour) + "\n"
    }

    /// One event, with the line's end.
    pub(crate) fn line(&mut self, event: &TimelineEvent, page: &Page) -> String {
        self.0.line(&cells(event, page), page.columns, page.colour) + "\n"
    }
}

/// Them under their titles, each a line without its end. That a step has begun, or was not
/// needed, goes without saying, but on a wide page.
pub(crate) fn event_table(events: &[TimelineEvent], page: &Page) -> Vec<String> {
    let mut table = Table::new(columns());
    for event in events.iter().filter(|event| page.wide || !event.is_minor()) {
        table.row(cells(event, page));
    }
    table.lines(page.columns, page.colour)
}

fn columns() -> Vec<Column> {
    vec![
        Column::right("AFTER").expects(6),
        Column::left("TIME").importance(1).expects(8),
        Column::left("NODE").shrinks_to(8).expects(8),
        Column::left("WHAT").shrinks_to(36).expects(36),
    ]
}

fn cells(event: &TimelineEvent, page: &Page) -> Vec<Cell> {
    let node = event.node.as_ref().map_or("", Text::as_str);
    let (text, style) = sentence(node, event.kind.as_str(), event.message.as_str());
    vec![
        Cell::styled(after(event.at_ms), Style::Dim),
        Cell::styled(event.time.as_ref().map_or_else(|| "-".to_owned(), |time| page.zone.clock(time)), Style::Dim),
        Cell::optional(event.node.as_ref().map(ToString::to_string)),
        Cell::styled(text, style),
    ]
}

/// How long after the outage's begin: to the tenth while that matters.
fn after(ms: u64) -> String {
    match ms {
        0..60_000 => format!("{:.1}s", ms as f64 / 1000.0),
        _ => moment(ms),
    }
}

/// An event in plain words, and its colour: what the controller says of it, less the node's name, which has a column of
/// its own; or, where it says nothing, what the kind means. A kind that is not known to this version is shown as it is.
fn sentence(node: &str, kind: &str, message: &str) -> (String, Style) {
    let (words, style) = match kind {
        "outage.on-battery" => ("on battery", Style::Warn),
        "outage.mains-back" => ("mains is back", Style::Good),
        "outage.lost-ups" => ("the UPS cannot be read", Style::Bad),
        "outage.trigger" => ("the shutdown begins", Style::Warn),
        "outage.ended" => ("the outage is over", end_style(message)),
        "stage.begun" => ("a stage begins", Style::Bold),
        "stage.ended" => ("a stage is down", Style::Bold),
        "node.ordered" => ("told to go", Style::Plain),
        "node.step" => ("a step", step_style(message)),
        "node.powering-off" => ("switches off", Style::Leaving),
        "node.off" => ("off", Style::Asleep),
        "node.missing" => ("not confirmed to be off in its time", Style::Bad),
        "node.aborted" => ("stays", Style::Good),
        "node.waking" => ("being woken", Style::Returning),
        "node.returning" => ("up again", Style::Returning),
        "node.held" => ("waits for what it needs", Style::Returning),
        "node.back" => ("back", Style::Good),
        "node.failed" => ("cannot be switched off", Style::Bad),
        "ups.cut" => ("the UPS is told to cut the load", Style::Warn),
        "master.ordered" => ("told to go, and the controller with it", Style::Warn),
        "controller.restarted" => ("the controller was restarted", Style::Warn),
        unknown => {
            let text = if message.is_empty() { unknown.to_owned() } else { format!("{unknown}: {message}") };
            return (text, Style::Plain);
        }
    };
    let said = without_subject(node, message);
    (if said.is_empty() { words } else { said }.to_owned(), style)
}

/// `pi-1 is off after 3 s` as `off after 3 s`.
fn without_subject<'a>(node: &str, message: &'a str) -> &'a str {
    match message.strip_prefix(node).and_then(|rest| rest.strip_prefix(' ')) {
        Some(rest) if !node.is_empty() => rest.strip_prefix("is ").unwrap_or(rest),
        _ => message,
    }
}

/// The colour of an outage's end, by what became of the nodes.
fn end_style(message: &str) -> Style {
    if message.contains("not back") { Style::Bad } else { Style::Good }
}

/// The colour of a step's line, by what became of it.
fn step_style(message: &str) -> Style {
    match ["timed out", "failed", "abandoned"].iter().any(|word| message.contains(word)) {
        true => Style::Warn,
        false => Style::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::{after, sentence};

    #[test]
    fn golden() {
        for (node, kind, message, text) in [
            ("", "outage.on-battery", "", "on battery"),
            ("", "outage.trigger", "shutting down: the battery is low", "shutting down: the battery is low"),
            ("pi-1", "node.step", "drain done in 1.2 s", "drain done in 1.2 s"),
            ("pi-1", "node.step", "", "a step"),
            ("pi-1", "node.ordered", "pi-1 is told to go", "told to go"),
            ("pi-1", "node.off", "pi-1 is off after 1.2 s", "off after 1.2 s"),
            ("pi-1", "node.powering-off", "pi-1 switches off", "switches off"),
            ("pi-1", "node.off", "", "off"),
            ("pi-1", "node.missing", "pi-10 is away", "pi-10 is away"),
            ("pi-1", "node.painted", "in blue", "node.painted: in blue"),
            ("pi-1", "node.painted", "", "node.painted"),
        ] {
            assert_eq!(sentence(node, kind, message).0, text);
        }
        assert_eq!([0, 1_234, 59_949, 130_000, 7_301_000].map(after), ["0.0s", "1.2s", "59.9s", "2m10s", "2h01m41s"]);
    }
}
