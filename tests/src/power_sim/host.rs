//! A host with its agent: the core as it ships, and what becomes of its steps.

use rackhaven_agent::shutdown::core::Sequence;
use rackhaven_agent::shutdown::{Action, Event, Record, StepJob};
use rackhaven_proto::model::{StepKind, StepOutcome};

use super::scenario::{HostPlan, Who};
use super::wire::{ToControl, ToHost};
use super::world::{Happens, World};

/// K3s is held without a controller for so long at most, milliseconds.
const HOLD_MAX_MS: u64 = 120_000;

/// Whether a host has power and runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    Off,
    Booting,
    Up,
    /// It was told to switch itself off, and does.
    GoingOff,
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) plan: HostPlan,
    pub(super) machine: Machine,
    /// Counts its boots.
    pub(super) boot: u32,
    booted_ms: u64,
    pub(super) agent: Option<Sequence>,
    /// Counts the runs of the agent.
    pub(super) run: u32,
    disk: Option<Vec<u8>>,
    /// How often it was written.
    pub(super) writes: u64,
    /// Attempts to switch it off.
    attempts: u32,
    /// The agent's doings hold K3s.
    pub(super) k3s_held: bool,
    pub(super) off_since_ms: u64,
    /// Boots in which it was switched off.
    pub(super) power_offs: Vec<u32>,
}

impl Host {
    pub(super) fn new(plan: HostPlan) -> Self {
        Self {
            plan,
            machine: Machine::Up,
            boot: 1,
            booted_ms: 0,
            agent: None,
            run: 0,
            disk: None,
            writes: 0,
            attempts: 0,
            k3s_held: false,
            off_since_ms: 0,
            power_offs: Vec::new(),
        }
    }

    pub(super) fn boot_id(boot: u32) -> String {
        format!("boot-{boot}")
    }

    pub(super) fn draws_power(&self) -> bool {
        self.machine != Machine::Off
    }
}

impl World<'_> {
    /// The agent of a host begins, with what is on its disk.
    pub(super) fn start_agent(&mut self, at: usize) {
        let now_ms = self.now_ms;
        let host = &mut self.hosts[at];
        if host.machine != Machine::Up || host.agent.is_some() {
            return;
        }
        let record: Option<Record> = host.disk.as_ref().and_then(|bytes| serde_json::from_slice(bytes).ok());
        let boot_id = Host::boot_id(host.boot);
        let since_ms = now_ms - host.booted_ms;
        let (sequence, actions) = Sequence::restored(record, &boot_id, None, false, HOLD_MAX_MS, since_ms);
        host.agent = Some(sequence);
        host.run += 1;
        self.keep_and_do(at, actions);
        self.dial_in(at, 50);
    }

    /// The agent is gone, and comes again.
    pub(super) fn kill_agent(&mut self, at: usize) {
        if self.hosts[at].agent.take().is_none() {
            return;
        }
        self.trace(|| format!("agent {at} is killed"));
        self.break_session(at);
        self.wires[at].agent_has = false;
        let (boot, again_ms) = (self.hosts[at].boot, self.dice.between(500, 4000));
        self.after(again_ms, Happens::AgentStarts { host: at, boot });
    }

    pub(super) fn tell_agent(&mut self, at: usize, event: Event) {
        let now_ms = self.now_ms;
        let host = &mut self.hosts[at];
        let Some(agent) = host.agent.as_mut() else { return };
        let actions = agent.step(now_ms - host.booted_ms, event);
        self.keep_and_do(at, actions);
    }

    pub(super) fn agent_hears(&mut self, at: usize, body: ToHost) {
        let event = match body {
            ToHost::Opened => {
                self.wires[at].agent_has = true;
                self.wires[at].vain = 0;
                Event::SessionOpened
            }
            ToHost::Notice(notice) => Event::Notice(notice),
            ToHost::Order(order) => Event::Order(order),
            ToHost::Abort(id) => Event::Abort(id),
            ToHost::Drained(order_id) => Event::DrainEnded { order_id, failure: String::new() },
        };
        self.tell_agent(at, event);
    }

    /// Writes the record down, and does what the core decided, unless the agent is killed in between.
    fn keep_and_do(&mut self, at: usize, actions: Vec<Action>) {
        let host = &mut self.hosts[at];
        let Some(agent) = &host.agent else { return };
        let record = serde_json::to_vec(agent.record()).ok();
        if record != host.disk {
            host.disk = record;
            host.writes += 1;
            let writes = host.writes;
            let luck = self.scenario.luck.kill_agent;
            if self.scenario.kill_at == Some((Who::Agent(at), writes)) || (luck > 0 && self.dice.one_in(luck)) {
                return self.kill_agent(at);
            }
        }
        for action in actions {
            self.agent_does(at, action);
        }
        self.hosts[at].agent.as_ref().and_then(Sequence::next_ms).into_iter().for_each(|due_ms| {
            let host = &self.hosts[at];
            let due_ms = (host.booted_ms + due_ms).max(self.now_ms + 1);
            let run = host.run;
            self.at(due_ms, Happens::AgentTick { host: at, run });
        });
    }

    fn agent_does(&mut self, at: usize, action: Action) {
        match action {
            Action::RunStep(job) => self.run_step(at, &job),
            Action::Tell(progress) => {
                if self.wires[at].agent_has {
                    self.send_to_control(at, ToControl::Progress(progress));
                }
            }
            Action::HoldK3s { .. } => self.hosts[at].k3s_held = true,
            Action::ReleaseK3s { .. } => {
                self.hosts[at].k3s_held = false;
                let run = self.hosts[at].run;
                self.after(30, Happens::K3sReleased { host: at, run });
            }
            Action::CancelStep { .. }
            | Action::StartHook { .. }
            | Action::PassHook { .. }
            | Action::Report(_)
            | Action::LetGo
            | Action::Note { .. } => {}
        }
    }

    fn run_step(&mut self, at: usize, job: &StepJob) {
        self.trace(|| format!("host {at} begins {} of {}", job.kind, job.order_id));
        let run = self.hosts[at].run;
        if job.kind == StepKind::PowerOff {
            return self.switch_off(at, job);
        }
        let takes_ms = self.hosts[at].plan.step_ms.get(&job.kind).copied().flatten();
        if let Some(takes_ms) = takes_ms {
            let ended = Happens::StepEnded { host: at, run, ticket: job.ticket, outcome: StepOutcome::Done };
            self.after(takes_ms, ended);
        }
    }

    fn switch_off(&mut self, at: usize, job: &StepJob) {
        let host = &mut self.hosts[at];
        host.attempts += 1;
        let (run, boot) = (host.run, host.boot);
        let Some(takes_ms) = host.plan.step_ms.get(&StepKind::PowerOff).copied().flatten() else { return };
        let fails = host.attempts <= host.plan.power_off_fails;
        let outcome = if fails { StepOutcome::Failed } else { StepOutcome::Done };
        let goes = !fails && host.machine == Machine::Up;
        let off_ms = takes_ms + host.plan.off_ms;
        if goes {
            host.machine = Machine::GoingOff;
            host.power_offs.push(boot);
        }
        self.after(takes_ms, Happens::StepEnded { host: at, run, ticket: job.ticket, outcome });
        if !goes {
            return;
        }
        self.after(off_ms, Happens::HostOff { host: at, boot });
        self.check_power_off(at);
    }

    /// Its power is gone, by its own doing or not.
    pub(super) fn host_off(&mut self, at: usize) {
        self.trace(|| format!("host {at} is off"));
        let host = &mut self.hosts[at];
        host.machine = Machine::Off;
        host.agent = None;
        host.off_since_ms = self.now_ms;
        self.wires[at].agent_has = false;
        self.break_session(at);
        if self.master == Some(at) {
            self.stop_control();
        }
        self.load();
    }

    /// Somebody, or its power, starts it.
    pub(super) fn start_host(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        if host.machine != Machine::Off || !self.ups.output {
            return;
        }
        host.machine = Machine::Booting;
        host.boot += 1;
        let (boot, takes_ms) = (host.boot, host.plan.boot_ms);
        self.after(takes_ms, Happens::HostUp { host: at, boot });
        self.load();
    }

    pub(super) fn host_up(&mut self, at: usize) {
        self.trace(|| format!("host {at} is up"));
        let host = &mut self.hosts[at];
        host.machine = Machine::Up;
        host.booted_ms = self.now_ms;
        host.attempts = 0;
        self.start_agent(at);
        if self.master == Some(at) {
            let takes_ms = self.dice.between(100, 3000);
            self.after(takes_ms, Happens::ControlStarts);
        }
    }
}
