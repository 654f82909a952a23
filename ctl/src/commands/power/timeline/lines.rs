//! A timeline as lines for people.

use super::super::outage::TimelineEvent;
use super::axis::moment;
use crate::output::Page;
use crate::style::Style;
use crate::table::{Cell, Column, Growing, Table};

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

/// Them under their titles, each a line without its end. That a step has begun goes without saying, but on a wide page:
/// how it ended tells how long it took.
pub(crate) fn event_table(events: &[TimelineEvent], page: &Page) -> Vec<String> {
    let mut table = Table::new(columns());
    for event in events.iter().filter(|event| page.wide || !event.is_begin_of_step()) {
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
    let (text, style) = sentence(event.kind.as_str(), event.message.as_str());
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

/// An event in plain words, and its colour. A kind that is not known to this version is shown as it is.
fn sentence(kind: &str, message: &str) -> (String, Style) {
    let (words, style) = match kind {
        "outage.on-battery" => ("on battery", Style::Warn),
        "outage.mains-back" => ("mains is back", Style::Good),
        "outage.lost-ups" => ("the UPS cannot be read", Style::Bad),
        "outage.trigger" => ("the shutdown begins", Style::Warn),
        "outage.ended" => ("the outage is over", Style::Good),
        "stage.begun" => ("stage begun", Style::Bold),
        "stage.ended" => ("stage ended", Style::Bold),
        "node.ordered" => ("told to go", Style::Plain),
        "node.step" if !message.is_empty() => ("", step_style(message)),
        "node.step" => ("a step", Style::Plain),
        "node.powering-off" => ("powering off", Style::Leaving),
        "node.off" => ("off", Style::Asleep),
        "node.missing" => ("not confirmed off in its time", Style::Bad),
        "node.aborted" => ("kept: its shutdown was ended", Style::Good),
        "node.waking" => ("woken", Style::Returning),
        "node.returning" => ("connected again", Style::Returning),
        "node.held" => ("waits for what it needs", Style::Returning),
        "node.back" => ("back", Style::Good),
        "node.failed" => ("could not be switched off", Style::Bad),
        "ups.cut" => ("the UPS was told to cut the load", Style::Warn),
        "master.ordered" => ("the controller's own machine goes", Style::Warn),
        "controller.restarted" => ("the controller was restarted", Style::Warn),
        unknown => (unknown, Style::Plain),
    };
    let text = match (words, message) {
        ("", message) => message.to_owned(),
        (words, "") => words.to_owned(),
        (words, message) => format!("{words}: {message}"),
    };
    (text, style)
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
        for (kind, message, text) in [
            ("outage.on-battery", "", "on battery"),
            ("outage.trigger", "charge below 20 %", "the shutdown begins: charge below 20 %"),
            ("node.step", "drain done in 1.2 s", "drain done in 1.2 s"),
            ("node.step", "", "a step"),
            ("node.painted", "in blue", "node.painted: in blue"),
            ("node.painted", "", "node.painted"),
        ] {
            assert_eq!(sentence(kind, message).0, text);
        }
        assert_eq!([0, 1_234, 59_949, 130_000, 7_301_000].map(after), ["0.0s", "1.2s", "59.9s", "2m10s", "2h01m41s"]);
    }
}
