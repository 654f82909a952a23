//! The controller: the core as it ships, and a driver as thin as the real one.

use std::collections::BTreeMap;

use rackhaven_controller::power::core::state::State;
use rackhaven_controller::power::core::supply::Cause;
use rackhaven_controller::power::core::{Action, Context, Core, Event, Targets};
use rackhaven_controller::power::policy::Wake;
use rackhaven_proto::model::{NodeName, PowerNotice};

use super::host::{Host, Machine};
use super::scenario::{Ask, Who};
use super::wire::{ToControl, ToHost};
use super::world::{Happens, World};

/// A node is told a new deadline if it has moved by so much, milliseconds.
const DEADLINE_MOVED_MS: u64 = 2000;
/// So many probes in a row must stay without an answer.
const SILENT_PROBES: u32 = 2;
/// Of so many writes one is read again, to see that it is the same.
const READ_AGAIN: u64 = 16;

/// The controller's process, while it runs.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) core: Core,
    told: BTreeMap<NodeName, (PowerNotice, Option<u64>)>,
    silent: BTreeMap<NodeName, u32>,
    /// As it was written last, as far as it must be on the disk before anything is done.
    written: Option<State>,
    probed_ms: u64,
}

/// What is on its disk.
#[derive(Debug)]
pub(super) struct Disk {
    bytes: Vec<u8>,
    boot: u32,
}

impl World<'_> {
    fn master_boot(&self) -> u32 {
        self.master.map_or(1, |at| self.hosts[at].boot)
    }

    /// It begins, with what is on its disk.
    pub(super) fn start_control(&mut self) {
        let host_up = self.master.is_none_or(|at| self.hosts[at].machine == Machine::Up);
        if self.control.is_some() || !host_up {
            return;
        }
        self.trace(|| "the controller begins".to_owned());
        let boot = self.master_boot();
        let policy = &self.scenario.policy;
        let kept = self.disk.as_ref().map(|disk| (serde_json::from_slice::<State>(&disk.bytes), disk.boot));
        let (state, resumed) = match kept {
            Some((Ok(state), kept_boot)) => (state, Some(kept_boot == boot)),
            Some((Err(error), _)) => {
                return self.fail(format!("the state on the disk cannot be read: {error}"));
            }
            None => (State::new(policy.ups_count, self.now_ms), None),
        };
        self.control = Some(Control {
            core: Core::new(state, policy, self.now_ms),
            told: BTreeMap::new(),
            silent: BTreeMap::new(),
            written: None,
            probed_ms: 0,
        });
        if let Some(same_boot) = resumed {
            self.round(vec![Event::Restarted { same_boot }]);
        }
    }

    /// It is gone, with all sessions.
    pub(super) fn stop_control(&mut self) {
        if self.control.take().is_none() {
            return;
        }
        self.trace(|| "the controller is gone".to_owned());
        for at in 0..self.hosts.len() {
            self.wires[at].control_has = false;
            self.break_session(at);
        }
    }

    pub(super) fn kill_control(&mut self) {
        if self.control.is_some() {
            self.stop_control();
            let again_ms = self.dice.between(300, 4000);
            self.after(again_ms, Happens::ControlStarts);
        }
    }

    pub(super) fn control_hears(&mut self, at: usize, body: ToControl) {
        let node = self.hosts[at].plan.name.clone();
        let event = match body {
            ToControl::Up { boot } => {
                self.wires[at].control_has = true;
                if let Some(control) = &mut self.control {
                    control.told.remove(&node);
                    control.silent.remove(&node);
                }
                Event::NodeUp { node, boot_id: Host::boot_id(boot) }
            }
            ToControl::Progress(progress) => Event::Progress { node, progress },
        };
        self.round(vec![event]);
    }

    pub(super) fn node_gone(&mut self, at: usize) {
        self.wires[at].control_has = false;
        let node = self.hosts[at].plan.name.clone();
        if let Some(control) = &mut self.control {
            control.told.remove(&node);
        }
        self.round(vec![Event::NodeGone { node }]);
    }

    /// Takes in what happened, writes it down, does what was decided.
    pub(super) fn round(&mut self, events: Vec<Event>) {
        let Some(control) = &mut self.control else { return };
        let scenario = self.scenario;
        let context = Context {
            policy: &scenario.policy,
            roster: &scenario.roster,
            now_ms: self.now_ms,
            wall_ms: 1_767_225_600_000 + i64::try_from(self.now_ms).unwrap_or_default(),
        };
        let actions = control.core.step(&context, events);
        self.keep_and_perform(actions);
    }

    pub(super) fn ask(&mut self, ask: &Ask) {
        let Some(control) = &mut self.control else { return };
        let scenario = self.scenario;
        let context = Context {
            policy: &scenario.policy,
            roster: &scenario.roster,
            now_ms: self.now_ms,
            wall_ms: 1_767_225_600_000 + i64::try_from(self.now_ms).unwrap_or_default(),
        };
        let cause = Cause::Asked { who: "ann".to_owned(), reason: "a test".to_owned() };
        let targets = |nodes: &[NodeName]| Targets { all: nodes.is_empty(), nodes: nodes.iter().cloned().collect() };
        let actions = match ask {
            Ask::Down(nodes) => match control.core.shutdown(&context, &targets(nodes), cause) {
                Ok((_, actions)) => {
                    self.checks.asked(nodes, &self.hosts);
                    actions
                }
                Err(_) => return,
            },
            Ask::Drill(nodes) => match control.core.drill(&context, &targets(nodes), cause) {
                Ok((_, actions)) => actions,
                Err(_) => return,
            },
            Ask::Abort => match control.core.abort(&context) {
                Ok(done) => done.actions,
                Err(_) => return,
            },
        };
        self.trace(|| format!("somebody asks: {ask:?}"));
        self.keep_and_perform(actions);
    }

    fn keep_and_perform(&mut self, actions: Vec<Action>) {
        let Some(control) = &mut self.control else { return };
        if control.core.take_dirty() {
            let bytes = match serde_json::to_vec(control.core.state()) {
                Ok(bytes) => bytes,
                Err(error) => return self.fail(format!("the state cannot be written: {error}")),
            };
            self.control_writes += 1;
            if self.control_writes.is_multiple_of(READ_AGAIN)
                && serde_json::from_slice::<State>(&bytes).ok().as_ref() != Some(control.core.state())
            {
                return self.fail("the state on the disk is not the state".to_owned());
            }
            control.written = Some(durable(control.core.state()));
            self.disk = Some(Disk { bytes, boot: self.master_boot() });
            let luck = self.scenario.luck.kill_controller;
            let now = self.scenario.kill_at == Some((Who::Controller, self.control_writes));
            if now || (luck > 0 && self.dice.one_in(luck)) {
                self.trace(|| "the controller is killed between writing and doing".to_owned());
                self.checks.lost(&actions);
                return self.kill_control();
            }
        } else if !actions.is_empty() && control.written.as_ref() != Some(&durable(control.core.state())) {
            return self.fail("something is done that was not written down".to_owned());
        }
        self.check_state();
        for action in actions {
            self.perform(action);
        }
        self.tell_nodes();
        self.probe();
    }

    fn perform(&mut self, action: Action) {
        self.trace(|| format!("{action:?}"));
        self.check_action(&action);
        match action {
            Action::Order { node, order } => self.send(&node, ToHost::Order(order)),
            Action::Abort { node, order_id } => self.send(&node, ToHost::Abort(order_id)),
            Action::Drain { node, order_id } => {
                self.cordoned.insert(node.clone());
                let Some(at) = self.index(&node) else { return };
                use rackhaven_proto::model::StepKind::Drain;
                if let Some(takes_ms) = self.hosts[at].plan.step_ms.get(&Drain).copied().flatten() {
                    self.after(takes_ms, Happens::Drained { host: at, order_id });
                }
            }
            Action::Uncordon { node } => drop(self.cordoned.remove(&node)),
            Action::Wake { node } => {
                let lost = self.scenario.luck.wake_lost;
                let Some(at) = self.index(&node) else { return };
                let wakes = self.scenario.roster.members.get(&node).is_some_and(|it| it.wake == Wake::WakeOnLan);
                if wakes && !(lost > 0 && self.dice.one_in(lost)) {
                    self.start_host(at);
                }
            }
            Action::Cut { delay_s } => {
                let told = self.ups.cut(self.now_ms, delay_s);
                self.checks.cut_told |= told;
                self.after(300, Happens::CutEnded { told });
            }
            Action::Heard { .. } | Action::Tell { .. } | Action::Begun { .. } | Action::Ended { .. } => {}
        }
    }

    pub(super) fn send(&mut self, node: &NodeName, body: ToHost) {
        if let Some(at) = self.index(node).filter(|at| self.wires[*at].control_has) {
            self.send_to_host(at, body);
        }
    }

    fn tell_nodes(&mut self) {
        let Some(control) = &mut self.control else { return };
        let scenario = self.scenario;
        let now_ms = self.now_ms;
        let context = Context { policy: &scenario.policy, roster: &scenario.roster, now_ms, wall_ms: 0 };
        let mut news = Vec::new();
        for (node, notice) in control.core.notices(&context) {
            let deadline = notice.alone.as_ref().map(|alone| now_ms.saturating_add(alone.begin_in_ms));
            if control.told.get(&node).is_some_and(|told| same(told, &notice, deadline)) {
                continue;
            }
            control.told.insert(node.clone(), (notice.clone(), deadline));
            news.push((node, notice));
        }
        for (node, notice) in news {
            self.send(&node, ToHost::Notice(notice));
        }
    }

    fn probe(&mut self) {
        let Some(control) = &mut self.control else { return };
        if self.now_ms.saturating_sub(control.probed_ms) < 500 {
            return;
        }
        let nodes = control.core.to_probe();
        if nodes.is_empty() {
            return;
        }
        control.probed_ms = self.now_ms;
        for node in nodes {
            let Some(at) = self.index(&node) else { continue };
            let answers = self.hosts[at].draws_power() && self.wires[at].reach;
            let Some(control) = &mut self.control else { return };
            let count = control.silent.entry(node.clone()).or_default();
            *count = if answers { 0 } else { *count + 1 };
            if *count >= SILENT_PROBES {
                self.after(5, Happens::Silent { host: at });
            }
        }
    }
}

/// What must be on the disk before anything is done: not what is said again, and when, and what UPSes said.
fn durable(state: &State) -> State {
    let mut durable = state.clone();
    durable.upses.clear();
    durable.to_wake.values_mut().for_each(|sent_ms| *sent_ms = 0);
    for track in durable.outage.iter_mut().flat_map(|outage| outage.nodes.values_mut()) {
        (track.sent_ms, track.wakes) = (0, track.wakes.min(1));
    }
    durable
}

/// Whether a node knows this already.
fn same((old, old_deadline): &(PowerNotice, Option<u64>), new: &PowerNotice, deadline: Option<u64>) -> bool {
    let near = match (old_deadline, deadline) {
        (Some(old), Some(new)) => old.abs_diff(new) <= DEADLINE_MOVED_MS,
        (None, None) => true,
        _ => false,
    };
    let order = |notice: &PowerNotice| notice.alone.as_ref().map(|alone| alone.order_id.clone());
    near && old.supply == new.supply && old.hold_k3s == new.hold_k3s && order(old) == order(new)
}
