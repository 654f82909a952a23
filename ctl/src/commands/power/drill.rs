//! `ctl power drill`.

use clap::Args;
use rackhaven_proto::model::{NodeName, StepKind};
use rackhaven_proto::v1::DrillRequest;
use serde::Serialize;

use super::follow::{End, Following};
use super::plan::{self, PlanNodeReport, Targets};
use super::summary::{StepTaken, last_shade, steps_taken};
use super::timeline::Shade;
use crate::confirm::{Confirmation, place};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report, as_word};
use crate::screen::Signals;
use crate::style::Style;
use crate::table::{Cell, Column, Table};
use crate::text::Text;
use crate::units::{count, spoken, spoken_ms};

/// Options of `ctl power drill`.
#[derive(Debug, Args)]
pub(crate) struct DrillArgs {
    /// The nodes; all but the master without any
    #[arg(value_name = "NODE")]
    nodes: Vec<NodeName>,
    /// Why, for the timeline and the audit log
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
}

/// What `ctl power drill` tells at its end; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct DrillReport {
    outage: Option<u64>,
    outcome: &'static str,
    nodes: Vec<DrilledNode>,
}

/// One node of it.
#[derive(Debug, Serialize)]
struct DrilledNode {
    name: Text,
    state: &'static str,
    total_seconds: f64,
    expected_seconds: f64,
    learnt: bool,
    steps: Vec<DrilledStep>,
}

/// One step of it.
#[derive(Debug, Serialize)]
struct DrilledStep {
    #[serde(serialize_with = "as_word")]
    step: StepKind,
    outcome: Option<&'static str>,
    duration_seconds: f64,
}

/// Rehearses the shutdown.
pub(super) async fn run(args: DrillArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let confirmation = Confirmation::possible(invocation)?;
    let mut target = invocation.target()?;
    let connection = invocation.connect_to(&mut target).await?;
    let names: Vec<_> = args.nodes.iter().map(ToString::to_string).collect();
    let plan = plan::fetch(&connection).await?;
    if let Some(unknown) = plan.unknown(&Targets { nodes: names.clone(), ..Targets::default() }) {
        return Err(CtlError::failed(format!("there is no {unknown} in the plan; nothing was done"))
            .hint("`ctl power plan` shows which there are"));
    }
    let meant = |node: &&PlanNodeReport| match names.is_empty() {
        true => !node.master,
        false => names.iter().any(|name| name == node.name.as_str()),
    };
    let planned: Vec<_> = plan.nodes().filter(meant).cloned().collect();
    let listed: Vec<_> = planned.iter().map(|node| node.name.to_string()).collect();
    let harm = format!(
        "Will rehearse the shutdown of {}: {}.\nServices on them are really stopped, and started again; nothing is \
         switched off.",
        count(listed.len(), "node"),
        listed.join(", ")
    );
    let place = place(&connection).await?;
    confirmation.ask(invocation, &harm, &place)?;

    let request = DrillRequest { nodes: names, reason: args.reason };
    let signals = Signals::listen()?;
    let stream = connection.answer(connection.power().drill(request)).await?;
    let mut following = Following::new(listed, None, &target);
    if let End::Left = following.run(stream, connection, signals, invocation).await? {
        invocation.console.note("You no longer follow it. The drill goes on; to end it: ctl power abort");
        return Ok(ExitStatus::Fine);
    }
    let report = DrillReport::new(&planned, &following);
    invocation.show_one(&report)?;
    Ok(if report.outcome == "passed" { ExitStatus::Fine } else { ExitStatus::Failed })
}

impl DrillReport {
    fn new(planned: &[PlanNodeReport], following: &Following<'_>) -> Self {
        let nodes: Vec<_> = planned.iter().map(|node| DrilledNode::new(node, following)).collect();
        let outcome = if nodes.iter().all(|node| node.state == "passed") { "passed" } else { "failed" };
        Self { outage: following.number(), outcome, nodes }
    }
}

impl DrilledNode {
    fn new(planned: &PlanNodeReport, following: &Following<'_>) -> Self {
        let name = planned.name.as_str();
        let taken = steps_taken(name, &following.events);
        let well = |taken: &StepTaken| matches!(taken.outcome, "done" | "skipped");
        let state = match last_shade(name, &following.events) {
            Shade::Running => "not-drilled",
            Shade::Failed | Shade::Missing => "failed",
            _ if taken.iter().all(well) => "passed",
            _ => "failed",
        };
        let total_ms: u64 = taken.iter().map(|taken| taken.duration_ms).fold(0, u64::saturating_add);
        Self {
            name: planned.name.clone(),
            state,
            total_seconds: total_ms as f64 / 1000.0,
            expected_seconds: planned.expected_seconds,
            learnt: planned.learnt,
            steps: taken
                .iter()
                .map(|taken| DrilledStep {
                    step: taken.step,
                    outcome: Some(taken.outcome).filter(|outcome| !outcome.is_empty()),
                    duration_seconds: taken.duration_ms as f64 / 1000.0,
                })
                .collect(),
        }
    }

    fn cell(&self, step: StepKind) -> Cell {
        let Some(taken) = self.steps.iter().find(|taken| taken.step == step) else { return Cell::optional(None) };
        let time = spoken_ms((taken.duration_seconds * 1000.0) as u64);
        match taken.outcome {
            Some("done") => Cell::plain(time),
            Some("skipped") => Cell::styled("skipped", Style::Dim),
            Some(other) => Cell::styled(other.to_uppercase(), Style::Bad),
            None => Cell::styled("NO END", Style::Bad),
        }
    }
}

impl Report for DrillReport {
    fn render(&self, page: &Page) -> String {
        let taken = |step: &StepKind| self.nodes.iter().flat_map(|node| &node.steps).any(|taken| taken.step == *step);
        let steps: Vec<_> = StepKind::ALL.into_iter().filter(taken).collect();
        let mut columns = vec![Column::left("NODE").shrinks_to(8)];
        columns.extend(steps.iter().map(|step| Column::right(title(*step)).importance(1)));
        columns.extend([Column::right("TOTAL"), Column::right("PLAN"), Column::left("")]);
        let mut table = Table::new(columns);
        for node in &self.nodes {
            let mut cells = vec![Cell::plain(node.name.as_str())];
            cells.extend(steps.iter().map(|step| node.cell(*step)));
            let style = match node.steps.is_empty() {
                true => Style::Dim,
                false if node.total_seconds <= node.expected_seconds => Style::Good,
                false => Style::Warn,
            };
            let total = spoken_ms((node.total_seconds * 1000.0) as u64);
            cells.push(Cell::styled(if node.steps.is_empty() { "-".to_owned() } else { total }, style));
            cells.push(Cell::plain(spoken(node.expected_seconds as u64)));
            cells.push(match (node.state, node.learnt) {
                ("passed", true) => Cell::plain(""),
                ("passed", false) => Cell::styled("*", Style::Dim),
                ("failed", _) => Cell::styled("FAILED", Style::Bad),
                _ => Cell::styled("NOT DRILLED", Style::Bad),
            });
            table.row(cells);
        }
        let mut lines = table.lines(page.columns, page.colour);
        if self.nodes.iter().any(|node| !node.learnt) {
            let note = "* the plan had a start value; from now on it has what was measured";
            lines.push(Style::Dim.paint(&page.fit(note), page.colour));
        }
        let number = self.outage.map(|number| format!(" {number}")).unwrap_or_default();
        let failed = self.nodes.iter().filter(|node| node.state != "passed").count();
        let all = count(self.nodes.len(), "node");
        lines.push(match failed {
            0 => Style::Good.paint(&format!("Drill{number}: {all} through."), page.colour),
            failed => Style::Bad.paint(&format!("Drill{number}: {failed} of {all} did not get through."), page.colour),
        });
        format!("\n{}\n", lines.join("\n"))
    }
}

/// A step's column.
fn title(step: StepKind) -> &'static str {
    match step {
        StepKind::Drain => "DRAIN",
        StepKind::StopK3s => "K3S",
        StepKind::StopBackups => "BACKUPS",
        StepKind::Hooks => "HOOKS",
        StepKind::Unmount => "UNMOUNT",
        StepKind::Sync => "SYNC",
        StepKind::PowerOff => "POWER-OFF",
    }
}
