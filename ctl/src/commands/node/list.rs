//! `ctl node list`.

use clap::Args;
use serde::Serialize;

use super::selector::Selector;
use super::summary::NodeReport;
use crate::commands::status;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};
use crate::table::{Cell, Column, Table};

/// Options of `ctl node list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only nodes with these labels: KEY=VALUE, KEY!=VALUE or KEY, several with commas between
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<Selector>,
}

/// What `ctl node list` tells.
#[derive(Debug, Serialize)]
struct NodeListReport {
    nodes: Vec<NodeReport>,
}

/// Shows the nodes.
pub(crate) async fn run(args: ListArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let selector = args.selector.unwrap_or_default();
    let mut nodes = status::fetch(&connection).await?.into_nodes();
    let all = nodes.len();
    nodes.retain(|node| selector.matches(&node.labels));
    if nodes.is_empty() {
        invocation.console.note(match all {
            0 => "No nodes yet. Invite the first: ctl node invite",
            _ => "No node has these labels.",
        });
    }
    invocation.show(&NodeListReport { nodes })?;
    Ok(ExitStatus::Fine)
}

impl Report for NodeListReport {
    fn render(&self, page: &Page) -> String {
        if self.nodes.is_empty() {
            return String::new();
        }
        let mut columns = vec![
            Column::left("NAME").shrinks_to(16),
            Column::left("STATE"),
            Column::right("FOR").importance(3),
            Column::right("HEARD").importance(1),
            Column::left("ARCH").importance(2),
            Column::left("VERSION").importance(4),
            Column::left("LABELS").importance(5).shrinks_to(16),
        ];
        if page.wide {
            columns.extend([Column::right("UPTIME"), Column::right("SKEW"), Column::left("CERT")]);
        }
        let mut table = Table::new(columns);
        for node in &self.nodes {
            let mut cells = vec![
                Cell::plain(node.name.as_str()),
                Cell::styled(node.state.as_str(), node.style()),
                Cell::plain(node.state_for()),
                Cell::optional(node.heard()),
                Cell::optional(node.arch.as_ref().map(ToString::to_string)),
                Cell::optional(node.version.as_ref().map(ToString::to_string)),
                Cell::optional(node.label_list()),
            ];
            if page.wide {
                let until = node.certificate_expires.as_ref().map(|moment| page.zone.date(moment));
                cells.extend([Cell::optional(node.uptime()), Cell::optional(node.skew()), Cell::optional(until)]);
            }
            table.row(cells);
        }
        table.lines(page.columns, page.colour).join("\n") + "\n"
    }
}
