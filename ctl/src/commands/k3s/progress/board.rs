//! What is known of each node while something is done to it. Pure.

use super::report::{ProgressReport, StepReport};
use crate::output::Page;
use crate::style::Style;
use crate::text::{cut, width};

/// The widest that a node's name or a step's is drawn, columns.
const WIDEST: usize = 24;

/// The nodes, in the order in which they were heard of first.
#[derive(Debug, Default)]
pub(super) struct Board {
    nodes: Vec<Line>,
    ended: bool,
}

#[derive(Debug)]
struct Line {
    node: String,
    /// Steps that have ended.
    over: usize,
    step: StepReport,
}

impl Board {
    /// Takes up a change.
    pub(super) fn take(&mut self, report: &ProgressReport) {
        let Some(step) = &report.step else { return };
        let node = report.node_name();
        let ended = usize::from(step.state != "running");
        match self.nodes.iter_mut().find(|line| line.node == node) {
            Some(line) => {
                line.over += ended;
                line.step = step.clone();
            }
            None => self.nodes.push(Line { node, over: ended, step: step.clone() }),
        }
    }

    /// Nothing more comes: there is no need of its lines any more.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// One line for each node, in the room that there is: those that get on before those that wait.
    pub(super) fn lines(&self, page: &Page) -> Vec<String> {
        if self.ended {
            return Vec::new();
        }
        let widest =
            |of: fn(&Line) -> &str| self.nodes.iter().map(|line| width(of(line))).max().unwrap_or(0).min(WIDEST);
        let (node_width, step_width) = (widest(|line| line.node.as_str()), widest(|line| line.step.name.as_str()));
        let mut lines: Vec<&Line> = self.nodes.iter().collect();
        let room = page.rows.map_or(usize::MAX, |rows| rows.saturating_sub(2)).max(1);
        let hidden = lines.len().saturating_sub(room);
        if hidden > 0 {
            lines.sort_by_key(|line| line.step.state != "running");
            lines.truncate(room);
        }
        let columns = page.columns.unwrap_or(usize::MAX);
        let mut drawn: Vec<String> = lines
            .into_iter()
            .map(|line| {
                let names = format!(
                    "{:node_width$}  {:step_width$}  ",
                    cut(&line.node, WIDEST),
                    cut(line.step.name.as_str(), WIDEST)
                );
                let state = line.step.style().paint(&format!("{:9}", line.step.state), page.colour);
                // The names and the state are drawn in full; what is left is for the text.
                let left = columns.saturating_sub(width(&names) + 11);
                let text = line.step.what();
                format!("{names}{state}  {}", Style::Dim.paint(&cut(&text, left), page.colour)).trim_end().to_owned()
            })
            .collect();
        if hidden > 0 {
            drawn.push(format!("… {hidden} more"));
        }
        drawn
    }
}
