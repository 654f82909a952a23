//! `ctl k3s status`.

use rackhaven_proto::v1::{GetK3sStatusRequest, K3sNodeStatus, K3sStatus};
use serde::Serialize;

use super::sequence::SequenceReport;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};
use crate::style::Style;
use crate::table::{Cell, Column, Table};
use crate::text::Text;
use crate::times::rfc3339_given;
use crate::units::short_duration;

/// What the API told is old from this age on, seconds.
const OLD_SECONDS: u64 = 60;

/// K3s on the nodes; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
pub(super) struct StatusReport {
    configured: bool,
    problem: Option<Text>,
    age_seconds: Option<f64>,
    nodes: Vec<NodeReport>,
    sequence: Option<SequenceReport>,
}

#[derive(Debug, Serialize)]
struct NodeReport {
    node: Option<Text>,
    name: Option<Text>,
    role: Option<&'static str>,
    etcd: bool,
    ready: Option<bool>,
    reason: Option<Text>,
    ready_changed: Option<String>,
    version: Option<Text>,
    schedulable: Option<bool>,
    cordoned_by: Option<Text>,
    cordoned_since: Option<String>,
    pods: Option<u32>,
    unit: Option<Text>,
    unit_state: Option<Text>,
}

/// Shows the nodes of K3s.
pub(super) async fn run(invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let status = connection.answer(connection.k3s().get_status(GetK3sStatusRequest {})).await?;
    invocation.show(&StatusReport::new(status)?)?;
    Ok(ExitStatus::Fine)
}

impl StatusReport {
    fn new(wire: K3sStatus) -> Result<Self, CtlError> {
        Ok(Self {
            configured: wire.configured,
            problem: Text::given(&wire.problem),
            age_seconds: wire.age_ms.map(|ms| ms as f64 / 1000.0),
            nodes: wire.nodes.into_iter().map(NodeReport::new).collect(),
            sequence: wire.sequence.map(SequenceReport::new).transpose()?,
        })
    }
}

impl NodeReport {
    fn new(wire: K3sNodeStatus) -> Self {
        // Of a node that the API does not know, only its agent tells.
        let known = !wire.name.is_empty();
        Self {
            node: Text::given(&wire.node),
            name: Text::given(&wire.name),
            role: known.then_some(if wire.server { "server" } else { "agent" }),
            etcd: wire.etcd,
            ready: wire.ready,
            reason: Text::given(&wire.reason),
            ready_changed: rfc3339_given(wire.ready_changed_unix_ms),
            version: Text::given(&wire.version),
            schedulable: known.then_some(wire.schedulable),
            cordoned_by: Text::given(&wire.cordoned_by),
            cordoned_since: rfc3339_given(wire.cordoned_unix_ms),
            pods: wire.pods,
            unit: Text::given(&wire.unit),
            unit_state: Text::given(&wire.unit_state),
        }
    }

    fn shown_name(&self) -> &str {
        self.node.as_ref().or(self.name.as_ref()).map_or("-", Text::as_str)
    }

    fn cells(&self) -> Vec<Cell> {
        let role = self.role.map(|role| if self.etcd { format!("{role}, etcd") } else { role.to_owned() });
        let ready = match self.ready {
            Some(true) => Cell::styled("yes", Style::Good),
            Some(false) => Cell::styled("no", Style::Bad),
            None => Cell::optional(None),
        };
        let schedulable = match (self.schedulable, &self.cordoned_by) {
            (Some(true), _) => Cell::plain("yes"),
            (Some(false), Some(by)) => Cell::styled(format!("no: {by}"), Style::Warn),
            (Some(false), None) => Cell::styled("no", Style::Warn),
            (None, _) => Cell::optional(None),
        };
        let unit = self.unit.as_ref().map(|unit| match &self.unit_state {
            Some(state) => format!("{unit} {state}"),
            None => unit.to_string(),
        });
        let failed = self.unit_state.as_ref().is_some_and(|state| state.as_str() == "failed");
        vec![
            Cell::plain(self.shown_name()),
            Cell::optional(role),
            ready,
            Cell::optional(self.version.as_ref().map(ToString::to_string)),
            schedulable,
            Cell::optional(self.pods.map(|pods| pods.to_string())),
            if failed { Cell::styled(unit.unwrap_or_default(), Style::Bad) } else { Cell::optional(unit) },
            Cell::optional(self.name.as_ref().map(ToString::to_string)),
        ]
    }
}

impl Report for StatusReport {
    fn render(&self, page: &Page) -> String {
        let mut drawn = String::new();
        if let Some(sequence) = &self.sequence {
            drawn += &(page.wrapped(&format!("Under way: {}", sequence.line())).join("\n") + "\n");
        }
        if !self.configured && self.nodes.is_empty() {
            return drawn + "No K3s that the controller knows.\n";
        }
        let age = self.age_seconds.map(|age| age as u64);
        let told = match (&self.problem, age) {
            (Some(problem), Some(age)) => {
                Some(format!("The API does not tell ({problem}); as it was {} ago", short_duration(age)))
            }
            (Some(problem), None) => Some(format!("The API does not tell: {problem}")),
            (None, Some(age)) if age >= OLD_SECONDS => Some(format!("As the API told {} ago", short_duration(age))),
            (None, _) if !self.configured => {
                Some("The controller has no way to K3s's API; agents tell this:".to_owned())
            }
            _ => None,
        };
        if let Some(told) = told {
            drawn += &(page.painted(Style::Warn, &told).join("\n") + "\n");
        }
        let mut columns = vec![
            Column::left("NODE").shrinks_to(8),
            Column::left("ROLE").importance(3),
            Column::left("READY"),
            Column::left("VERSION").importance(1).shrinks_to(8),
            Column::left("SCHEDULABLE").shrinks_to(11),
            Column::right("PODS").importance(2),
            Column::left("UNIT").importance(4).shrinks_to(8),
        ];
        if page.wide {
            columns.push(Column::left("NAME"));
        }
        let width = columns.len();
        let mut table = Table::new(columns);
        for node in &self.nodes {
            table.row(node.cells().into_iter().take(width).collect());
        }
        drawn += &table.lines(page.columns, page.colour).join("\n");
        drawn.push('\n');
        for node in self.nodes.iter().filter(|node| node.ready == Some(false)) {
            if let Some(reason) = &node.reason {
                let line = format!("{} is not ready: {reason}", node.shown_name());
                drawn += &(page.wrapped(&line).join("\n") + "\n");
            }
        }
        drawn
    }
}
