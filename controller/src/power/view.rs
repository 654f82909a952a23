//! What people see: the status, the plan, outages. Pure.

use rackhaven_proto::model::{NodeName, Step};
use rackhaven_proto::v1;

use super::Shared;
use super::config::PowerConfig;
use super::core::state::{Direction, Phase};
use super::core::supply::{Feed, RackSupply, UpsTrack};
use super::core::{Context, Core, Wait};
use super::policy::{Need, Policy, Shed, Stage, Wake};
use crate::store::TimelineRow;

/// How the supply is, with the outage that goes on. Its timeline only where it is asked for.
pub fn status(shared: &Shared, config: &PowerConfig, now_ms: u64, wall_ms: i64, timeline: bool) -> v1::PowerStatus {
    let context = Context { policy: &config.policy, roster: &shared.roster, now_ms, wall_ms };
    let core = &shared.core;
    let state = core.state();
    let tracks = state.upses.iter().zip(&shared.upses).zip(&config.upses);
    let upses = tracks.map(|((track, view), ups)| {
        let name = ups.address.to_string();
        ups_status(core, &context, track, view, name)
    });
    let witnesses = shared.witnesses.iter().zip(&config.witnesses).map(|(view, address)| v1::WitnessStatus {
        address: address.to_string(),
        answering: view.answering == Some(true),
        heard_ms_ago: view.heard_ms.map(|heard| now_ms.saturating_sub(heard)),
    });
    v1::PowerStatus {
        phase: phase(shared, config).into(),
        supply: supply(state.supply).into(),
        supply_for_ms: now_ms.saturating_sub(state.supply_since_ms),
        upses: upses.collect(),
        runtime_left_ms: core.runtime_left_ms(&context),
        begins_in_ms: core.begins_in_ms(&context),
        critical_path_ms: core.critical_path_ms(&context),
        margin_ms: config.policy.margin_ms,
        witnesses: witnesses.collect(),
        outage: outage(shared, timeline),
        warnings: warnings(shared, config, &context),
        wall_unix_ms: wall_ms,
    }
}

fn supply(supply: RackSupply) -> v1::Supply {
    match supply {
        RackSupply::Mains => v1::Supply::Mains,
        RackSupply::Battery | RackSupply::Dark => v1::Supply::Battery,
        RackSupply::Unknown => v1::Supply::Unknown,
    }
}

fn phase(shared: &Shared, config: &PowerConfig) -> v1::PowerPhase {
    let state = shared.core.state();
    match state.outage.as_ref().map(|outage| outage.direction) {
        Some(Direction::Watching) => v1::PowerPhase::OnBattery,
        Some(Direction::Down) => v1::PowerPhase::ShuttingDown,
        Some(Direction::Up) => v1::PowerPhase::Restoring,
        None if config.upses.is_empty() => v1::PowerPhase::None,
        None => v1::PowerPhase::Normal,
    }
}

fn ups_status(
    core: &Core,
    context: &Context<'_>,
    track: &UpsTrack,
    view: &super::UpsView,
    name: String,
) -> v1::UpsStatus {
    let reading = view.reading.as_ref();
    let supply = match track.feed {
        Feed::Mains => v1::Supply::Mains,
        Feed::Battery => v1::Supply::Battery,
        Feed::Unknown => v1::Supply::Unknown,
    };
    let cut = reading.and_then(|reading| reading.cut.as_ref());
    let usable = context.policy.cut && core.cut_delay_s(context, track).is_some();
    v1::UpsStatus {
        name,
        supply: supply.into(),
        status: reading.map(|reading| reading.status.to_string()).unwrap_or_default(),
        reading_age_ms: reading.map(|_| context.now_ms.saturating_sub(view.read_ms)),
        problem: view.problem.clone(),
        charge_percent: reading.and_then(|reading| reading.charge_percent),
        runtime_seconds: reading.and_then(|reading| reading.runtime_s),
        load_percent: reading.and_then(|reading| reading.load_percent),
        input_volts: reading.and_then(|reading| reading.input_volts),
        battery_volts: reading.and_then(|reading| reading.battery_volts),
        temperature_celsius: reading.and_then(|reading| reading.temperature_celsius),
        model: reading.map(|reading| reading.model.clone()).unwrap_or_default(),
        cut_command: cut.filter(|_| usable).map(|cut| cut.command.clone()).unwrap_or_default(),
        triggers: triggers(context.policy, core.critical_path_ms(context), reading),
        replace_battery: reading.is_some_and(|reading| reading.status.has("RB")),
    }
}

/// What can start a shutdown, and whether this UPS tells what it takes.
fn triggers(policy: &Policy, path_ms: u64, reading: Option<&crate::nut::UpsReading>) -> Vec<v1::TriggerStatus> {
    let row = |name: &str, fed: bool, detail: String| v1::TriggerStatus { name: name.to_owned(), fed, detail };
    let read = reading.is_some();
    let seconds = |ms: u64| ms.div_ceil(1000);
    let charge = reading.and_then(|reading| reading.charge_percent);
    let runtime = reading.and_then(|reading| reading.runtime_s);
    let need_s = seconds(path_ms.saturating_add(policy.margin_ms));
    vec![
        row("fsd", read, "at once, when the UPS's primary forces it".to_owned()),
        row(
            "low-battery",
            read,
            format!("LB for {:.1} s, or at once if charge or runtime agree", policy.hold_ms as f64 / 1000.0),
        ),
        match (policy.charge_percent, charge) {
            (None, _) => row("charge", false, "switched off".to_owned()),
            (Some(level), Some(charge)) => row("charge", true, format!("at {level:.0} %; now {charge:.0} %")),
            (Some(level), None) => row("charge", false, format!("at {level:.0} %, but this UPS tells no charge")),
        },
        match runtime {
            Some(runtime) => row("budget", true, format!("at {need_s} s of runtime; now {runtime} s")),
            None => {
                let assumed_s = seconds(policy.assumed_runtime_ms);
                row(
                    "budget",
                    false,
                    format!("this UPS tells no runtime: {assumed_s} s are assumed, of which {need_s} s are kept"),
                )
            }
        },
        match policy.time_ms {
            Some(limit) => row("time", read, format!("after {} s on battery", seconds(limit))),
            None => row("time", false, "switched off".to_owned()),
        },
    ]
}

/// What an admin should know.
fn warnings(shared: &Shared, config: &PowerConfig, context: &Context<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let state = shared.core.state();
    if shared.unsaved {
        warnings.push("the state of power cannot be written down: a restart would forget it".to_owned());
    }
    if config.upses.is_empty() {
        return warnings;
    }
    warnings.extend(shared.core.waits_for(context).map(waits));
    let unread = state.upses.iter().any(|ups| ups.feed == Feed::Unknown);
    if unread && config.witnesses.is_empty() {
        warnings
            .push("a loss of mains would not be seen now: a UPS cannot be read, and there are no witnesses".to_owned());
    }
    if shared.roster.master().is_none() && shared.roster.host_safe {
        warnings.push("the controller's own host is said to hang on another supply, and is not shut down".to_owned());
    } else if shared.roster.master().is_none() {
        warnings
            .push("no node is known to be the controller's own host: it is not shut down; set power.master".to_owned());
    }
    let cycled: Vec<&str> = members_by(shared, Wake::PowerCycle);
    let can_cut = state.upses.iter().any(|ups| shared.core.cut_delay_s(context, ups).is_some());
    if !cycled.is_empty() && state.upses.iter().any(|ups| ups.last.is_some()) && !(can_cut && config.policy.cut) {
        let names = cycled.join(", ");
        warnings.push(format!(
            "if mains comes back while they are off, somebody must switch on {names}: the UPS cannot cut and return"
        ));
    }
    let shed = |stage: &Stage| stage.shed.is_some();
    let lost = shared.roster.members.iter().filter(|(_, member)| {
        member.wake == Wake::PowerCycle && shared.roster.stages.get(member.stage).is_some_and(shed)
    });
    let lost: Vec<&str> = lost.map(|(node, _)| node.as_str()).collect();
    if !lost.is_empty() {
        let names = lost.join(", ");
        warnings.push(format!("{names}: shed early, and then back only by a power cycle or by hand"));
    }
    warnings
}

/// Why nobody is woken yet.
fn waits(wait: Wait) -> String {
    let (what, left_ms) = match wait {
        Wait::Stable { left_ms } => ("mains has been stable for a while".to_owned(), left_ms),
        Wait::Known { left_ms } => ("a UPS can be read that tells of mains".to_owned(), left_ms),
        Wait::Cut { left_ms } => ("the UPS has cut its load and brought it back".to_owned(), left_ms),
        Wait::Charge { floor_percent, charge_percent, left_ms } => {
            (format!("the battery is charged to {floor_percent:.0} % (now {charge_percent:.0} %)"), left_ms)
        }
    };
    format!("nodes that are off are not woken before {what}, or {} s from now", left_ms.div_ceil(1000))
}

fn members_by(shared: &Shared, wake: Wake) -> Vec<&str> {
    let members = shared.roster.members.iter().filter(|(_, member)| member.wake == wake && !member.master);
    members.map(|(node, _)| node.as_str()).collect()
}

/// The outage that goes on.
pub fn outage(shared: &Shared, timeline: bool) -> Option<v1::Outage> {
    let outage = shared.core.state().outage.as_ref()?;
    let stage_of = |node: &NodeName| {
        let member = shared.roster.members.get(node)?;
        shared.roster.stages.get(member.stage)
    };
    let nodes = outage.nodes.iter().filter(|(_, track)| track.phase != Phase::Absent).map(|(node, track)| {
        let stage = stage_of(node).map(|stage| stage.name.clone()).unwrap_or_default();
        let step = track.step.filter(|_| track.phase == Phase::Stopping);
        v1::OutageNode {
            name: node.to_string(),
            stage,
            state: track.phase.as_str().to_owned(),
            step: step.map_or(v1::StepKind::Unspecified, Into::into).into(),
        }
    });
    let lines = shared.timeline.iter().filter(|row| timeline && row.outage == outage.number);
    Some(v1::Outage {
        number: outage.number,
        kind: outage.kind.as_str().to_owned(),
        cause: outage.cause.as_ref().map(ToString::to_string).unwrap_or_default(),
        begun_unix_ms: outage.begun_wall_ms,
        ended_unix_ms: None,
        nodes: nodes.collect(),
        events: lines.cloned().map(line).collect(),
    })
}

/// One line of a timeline.
pub fn line(row: TimelineRow) -> v1::OutageEvent {
    v1::OutageEvent {
        outage: row.outage,
        at_ms: row.at_ms,
        wall_unix_ms: row.wall_ms,
        node: row.node,
        kind: row.kind,
        message: row.message,
    }
}

/// The plan as it would be carried out now.
pub fn plan(shared: &Shared, config: &PowerConfig, now_ms: u64, wall_ms: i64) -> v1::PowerPlan {
    let context = Context { policy: &config.policy, roster: &shared.roster, now_ms, wall_ms };
    let core = &shared.core;
    let mut begins_after_ms = 0_u64;
    let mut stages = Vec::new();
    for (index, stage) in shared.roster.stages.iter().enumerate() {
        let nodes = plan_nodes(shared, &context, index);
        if nodes.is_empty() && stage.clients_ms.is_none() {
            continue;
        }
        let expected_ms = core.stage_expected_ms(&context, index);
        stages.push(v1::PlanStage {
            name: stage.name.clone(),
            begins_after_ms,
            expected_ms,
            cap_ms: stage.cap_ms.unwrap_or(u64::MAX).min(config.policy.cap_ms()),
            nodes,
            shed: stage.shed.map(shed_text).unwrap_or_default(),
            needs: stage.needs.iter().map(need_text).collect(),
        });
        begins_after_ms = begins_after_ms.saturating_add(expected_ms);
    }
    let delays = core.state().upses.iter().filter_map(|ups| core.cut_delay_s(&context, ups));
    v1::PowerPlan {
        stages,
        critical_path_ms: begins_after_ms,
        margin_ms: config.policy.margin_ms,
        runtime_left_ms: core.runtime_left_ms(&context).or_else(|| told_runtime_ms(shared)),
        cut_delay_ms: delays
            .max()
            .filter(|_| config.policy.cut && shared.roster.host_safe)
            .map(|s| u64::from(s) * 1000),
        warnings: warnings(shared, config, &context),
    }
}

/// The shortest runtime that the UPSes tell while they are charged.
fn told_runtime_ms(shared: &Shared) -> Option<u64> {
    let told = shared.core.state().upses.iter().filter_map(|ups| ups.last?.runtime_ms);
    told.filter(|runtime| *runtime > 0).min()
}

fn plan_nodes(shared: &Shared, context: &Context<'_>, stage: usize) -> Vec<v1::PlanNode> {
    let present: std::collections::BTreeSet<&NodeName> = shared.core.present().collect();
    let members = shared.roster.members.iter().filter(|(_, member)| member.stage == stage);
    let steps = |steps: &[Step]| {
        let wire =
            |step: &Step| v1::ShutdownStep { kind: v1::StepKind::from(step.kind).into(), timeout_ms: step.timeout_ms };
        steps.iter().map(wire).collect()
    };
    let node = |(node, member): (&NodeName, &super::policy::Member)| {
        let (expected_ms, learnt) = shared.core.expected_ms(context, node);
        v1::PlanNode {
            name: node.to_string(),
            expected_ms,
            learnt,
            cap_ms: context.policy.cap_ms(),
            steps: steps(context.policy.steps.as_slice()),
            wake: member.wake.as_str().to_owned(),
            master: member.master,
            reachable: present.contains(node),
        }
    };
    members.map(node).collect()
}

fn shed_text(shed: Shed) -> String {
    let mut parts = Vec::new();
    parts.extend(shed.charge_percent.map(|level| format!("at {level:.0} %")));
    parts.extend(shed.time_ms.map(|ms| format!("after {} s on battery", ms / 1000)));
    parts.extend(shed.runtime_ms.map(|ms| format!("at {} s of runtime", ms / 1000)));
    parts.join(" or ")
}

fn need_text(need: &Need) -> String {
    match need {
        Need::Node(node) => node.to_string(),
        Need::Mount(path) => format!("mount:{path}"),
    }
}
