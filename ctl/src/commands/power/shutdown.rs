//! `ctl power shutdown`.

use clap::{ArgGroup, Args};
use rackhaven_proto::model::NodeName;
use rackhaven_proto::v1::PowerShutdownRequest;
use serde::Serialize;

use super::follow::{End, Following};
use super::plan::{self, PlanReport, Targets};
use super::summary::last_shade;
use super::timeline::Shade;
use crate::confirm::{Confirmation, place};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};
use crate::screen::Signals;
use crate::style::Style;
use crate::units::{count, spoken_ms};

/// Options of `ctl power shutdown`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("targets").args(["nodes", "stages", "all"]).required(true).multiple(true)))]
pub(crate) struct ShutdownArgs {
    /// This node; may be repeated
    #[arg(long = "node", value_name = "NAME")]
    nodes: Vec<NodeName>,
    /// All nodes of this stage; may be repeated
    #[arg(long = "stage", value_name = "NAME")]
    stages: Vec<String>,
    /// Everything, the controller's own machine last
    #[arg(long, conflicts_with_all = ["nodes", "stages"])]
    all: bool,
    /// Why, for the timeline and the audit log
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Show the timeline until all are off; this is the default
    #[arg(long, overrides_with = "no_follow")]
    follow: bool,
    /// Return as soon as it has begun
    #[arg(long, overrides_with = "follow")]
    no_follow: bool,
}

/// What `ctl power shutdown` tells at its end; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct ShutdownReport {
    outage: Option<u64>,
    outcome: &'static str,
    took_seconds: f64,
    nodes: Vec<NodeOutcome>,
}

/// One node of it.
#[derive(Debug, Serialize)]
struct NodeOutcome {
    name: String,
    state: &'static str,
}

/// Takes nodes down, in the order of their stages.
pub(super) async fn run(args: ShutdownArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let confirmation = if args.dry_run { None } else { Some(Confirmation::possible(invocation)?) };
    let mut target = invocation.target()?;
    let connection = invocation.connect_to(&mut target).await?;
    let names = args.nodes.iter().map(ToString::to_string).collect();
    let targets = Targets { nodes: names, stages: args.stages, all: args.all };
    let plan = plan::fetch(&connection).await?;
    if let Some(unknown) = plan.unknown(&targets) {
        return Err(CtlError::failed(format!("there is no {unknown} in the plan; nothing was done"))
            .hint("`ctl power plan` shows which there are"));
    }
    let plan = plan.restricted(&targets);
    let Some(confirmation) = confirmation else {
        invocation.show(&plan)?;
        invocation.console.note("Nothing was done: this is what would be.");
        return Ok(ExitStatus::Fine);
    };
    let place = place(&connection).await?;
    confirmation.ask(invocation, &harm(&plan, args.all), &place)?;

    let nodes = plan.nodes().map(|node| node.name.to_string()).collect();
    let master = plan.master().map(|node| node.name.to_string());
    let request =
        PowerShutdownRequest { nodes: targets.nodes, stages: targets.stages, all: args.all, reason: args.reason };
    let signals = Signals::listen()?;
    let mut stream = connection.answer(connection.power().shutdown(request)).await?;
    if args.no_follow {
        let first = connection.answer_of_stream(&mut stream).await?;
        let number = first.map(|event| format!(" {}", event.outage)).unwrap_or_default();
        invocation.console.note(&format!("Shutdown{number} has begun."));
        invocation.console.note("See it: ctl power status --watch. End it: ctl power abort.");
        return Ok(ExitStatus::Fine);
    }
    let mut following = Following::new(nodes, master, &target);
    let end = following.run(stream, connection, signals, invocation).await?;
    if matches!(end, End::Left) {
        invocation.console.note("You no longer follow it. The shutdown goes on; to end it: ctl power abort");
        return Ok(ExitStatus::Fine);
    }
    let report = ShutdownReport::new(&following, &end);
    if matches!(end, End::MasterGone) {
        invocation.console.note("The controller has gone down with its own machine, as it was told to.");
    }
    invocation.show_one(&report)?;
    Ok(if report.outcome == "done" { ExitStatus::Fine } else { ExitStatus::Failed })
}

/// What will be hit.
fn harm(plan: &PlanReport, all: bool) -> String {
    let names: Vec<_> = plan.nodes().map(|node| node.name.to_string()).collect();
    let nodes = count(names.len(), "node");
    let mut lines = vec![match all {
        true => format!("Will shut down ALL {nodes}, in the order of their stages:"),
        false => format!("Will shut down {nodes}, in the order of their stages:"),
    }];
    lines.push(format!("  {}", names.join(", ")));
    if let Some(master) = plan.master() {
        lines.push(format!("{} goes too: it runs the controller, nothing answers after that.", master.name));
    }
    let by_hand: Vec<_> =
        plan.nodes().filter(|node| node.is_woken_by_hand()).map(|node| node.name.to_string()).collect();
    if !by_hand.is_empty() {
        lines.push(format!("Only a hand switches on again: {}", by_hand.join(", ")));
    }
    lines.join("\n")
}

impl ShutdownReport {
    fn new(following: &Following<'_>, end: &End) -> Self {
        let state = |name: &String| match last_shade(name, &following.events) {
            Shade::Off => "off",
            _ if matches!(end, End::MasterGone) && following.master.as_ref() == Some(name) => "going",
            Shade::PoweringOff => "powering-off",
            Shade::Missing => "missing",
            Shade::Failed => "failed",
            Shade::Back | Shade::Returning => "kept",
            Shade::Running | Shade::Stopping => "not-told",
        };
        let nodes: Vec<_> =
            following.nodes.iter().map(|name| NodeOutcome { name: name.clone(), state: state(name) }).collect();
        let outcome = if nodes.iter().all(|node| matches!(node.state, "off" | "going")) {
            "done"
        } else if nodes.iter().any(|node| node.state == "kept") {
            "aborted"
        } else {
            "incomplete"
        };
        let took_ms = following.events.iter().map(|event| event.at_ms).max().unwrap_or(0);
        Self { outage: following.number(), outcome, took_seconds: took_ms as f64 / 1000.0, nodes }
    }
}

impl Report for ShutdownReport {
    fn render(&self, page: &Page) -> String {
        let number = self.outage.map(|number| format!(" {number}")).unwrap_or_default();
        let names = |state: &str| {
            let names = self.nodes.iter().filter(|node| node.state == state).map(|node| node.name.as_str());
            names.collect::<Vec<_>>().join(", ")
        };
        let off = self.nodes.iter().filter(|node| matches!(node.state, "off" | "going")).count();
        let took = spoken_ms((self.took_seconds * 1000.0) as u64);
        let (style, first) = match self.outcome {
            "done" => (Style::Good, format!("Shutdown{number}: {} off in {took}.", count(off, "node"))),
            _ => (
                Style::Bad,
                format!("Shutdown{number}: {off} of {} off after {took}.", count(self.nodes.len(), "node")),
            ),
        };
        let mut lines = vec![style.paint(&page.fit(&first), page.colour)];
        for (state, words) in [
            ("missing", "Not confirmed off in time"),
            ("failed", "Could not be switched off"),
            ("kept", "Kept, because it was aborted"),
            ("powering-off", "Powering off when last heard of"),
            ("not-told", "Nothing was told of"),
        ] {
            let names = names(state);
            if !names.is_empty() {
                lines.push(page.fit(&format!("{words}: {names}")));
            }
        }
        format!("\n{}\n", lines.join("\n"))
    }
}
