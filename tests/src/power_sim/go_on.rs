//! A state of any contents, and a core that goes on from it.

use std::collections::BTreeSet;

use rackhaven_controller::power::core::state::State;
use rackhaven_controller::power::core::supply::{Cause, CutDelay, Observation};
use rackhaven_controller::power::core::{Context, Core, Event, Targets};
use rackhaven_controller::power::policy::{Need, Policy, Roster, Shed};
use rackhaven_proto::model::{NodeName, OrderId, ProgressState, ShutdownProgress, StepKind};

use super::Scenario;

/// Of the nodes that only the state knows, so many take part.
const MOST_NODES: usize = 4;

/// Goes on from a state at moments long before and long after what is in it, with whatever can happen.
pub fn go_on_from(state: &State) {
    let Scenario { mut policy, mut roster, .. } = Scenario::plain();
    policy.charge_percent = Some(20.0);
    policy.time_ms = Some(1000);
    if let Some(stage) = roster.stages.first_mut() {
        stage.shed = Some(Shed { charge_percent: Some(50.0), time_ms: Some(1), runtime_ms: Some(1) });
        stage.clients_ms = Some(5000);
        stage.needs = vec![Need::Mount("/mnt".to_owned())];
    }
    let mut nodes: BTreeSet<NodeName> = roster.members.keys().cloned().collect();
    nodes.extend(state.outage.iter().flat_map(|outage| outage.nodes.keys().take(MOST_NODES).cloned()));
    let moments = [(0, false), (state.supply_since_ms, true), (u64::MAX - 10_000_000, true)];
    for (now_ms, same_boot) in moments {
        story(state, &policy, &roster, &nodes, now_ms, same_boot);
    }
}

fn story(state: &State, policy: &Policy, roster: &Roster, nodes: &BTreeSet<NodeName>, from_ms: u64, same_boot: bool) {
    let mut core = Core::new(state.clone(), policy, from_ms);
    let mut now_ms = from_ms;
    let step = |core: &mut Core, now_ms: u64, event: Event| {
        let context = Context { policy, roster, now_ms, wall_ms: i64::MIN };
        let _ = core.step(&context, [event]);
    };
    let look = |core: &Core, now_ms: u64| {
        let context = Context { policy, roster, now_ms, wall_ms: i64::MIN };
        let _ = (core.notices(&context), core.to_probe(), core.stages_down());
        let _ = (core.critical_path_ms(&context), core.begins_in_ms(&context), core.runtime_left_ms(&context));
        for ups in &core.state().upses {
            let _ = core.cut_delay_s(&context, ups);
        }
    };
    step(&mut core, now_ms, Event::Restarted { same_boot });
    for seen in readings() {
        look(&core, now_ms);
        for node in nodes {
            let order = core.state().outage.as_ref().and_then(|outage| outage.nodes.get(node)?.order.clone());
            step(&mut core, now_ms, Event::NodeUp { node: node.clone(), boot_id: "b".to_owned() });
            for progress in order.into_iter().flat_map(progresses) {
                step(&mut core, now_ms, Event::Progress { node: node.clone(), progress });
            }
            step(&mut core, now_ms, Event::NodeGone { node: node.clone() });
            step(&mut core, now_ms, Event::NodeSilent { node: node.clone() });
        }
        step(&mut core, now_ms, Event::Read { ups: 0, seen });
        step(&mut core, now_ms, Event::Lost { ups: 7 });
        step(&mut core, now_ms, Event::Witnesses { silent: seen.low });
        step(&mut core, now_ms, Event::Clients { stage: "workers".to_owned(), present: seen.on_line });
        step(&mut core, now_ms, Event::CutEnded { told: seen.low, message: String::new() });
        now_ms = now_ms.saturating_add(1_000_000);
        step(&mut core, now_ms, Event::Tick);
        look(&core, now_ms);
    }
    asks(&mut core, &Context { policy, roster, now_ms, wall_ms: 0 });
    let again = serde_json::to_vec(core.state()).ok().and_then(|bytes| serde_json::from_slice::<State>(&bytes).ok());
    assert!(again.is_some(), "what the core made of a state cannot be read again");
}

fn asks(core: &mut Core, context: &Context<'_>) {
    let cause = Cause::Asked { who: String::new(), reason: String::new() };
    let all = Targets { all: true, nodes: BTreeSet::new() };
    let _ = core.abort(context);
    let _ = core.drill(context, &all, cause.clone());
    let _ = core.abort(context);
    let _ = core.shutdown(context, &all, cause);
    let _ = core.abort(context);
}

fn readings() -> [Observation; 5] {
    let low = Observation {
        on_battery: true,
        low: true,
        charge_percent: Some(f32::NAN),
        charge_low_percent: Some(f32::INFINITY),
        runtime_ms: Some(u64::MAX),
        cut: Some(CutDelay { delay_s: Some(u32::MAX), settable: true }),
        ..Observation::default()
    };
    let mains = Observation { on_line: true, charge_percent: Some(-1.0), ..Observation::default() };
    let forced = Observation { forced: true, on_line: true, ..Observation::default() };
    [mains, low, forced, Observation::default(), mains]
}

fn progresses(order_id: OrderId) -> impl Iterator<Item = ShutdownProgress> {
    use ProgressState::{Aborted, Drilled, Failed, PoweringOff, Running};
    [Running, Failed, PoweringOff, Drilled, Aborted].into_iter().map(move |state| ShutdownProgress {
        order_id: order_id.clone(),
        state,
        steps: Vec::new(),
        current: Some(StepKind::Drain),
        alone: true,
        message: String::new(),
    })
}
