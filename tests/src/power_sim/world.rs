//! Time, and what happens in it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use rackhaven_agent::shutdown::Event as AgentEvent;
use rackhaven_controller::power::core::Event;
use rackhaven_proto::model::{NodeName, OrderId, StepOutcome};

use super::checks::{Checks, Outcome};
use super::control::{Control, Disk};
use super::dice::Dice;
use super::host::{Host, Machine};
use super::scenario::{Scenario, Turn};
use super::ups::{Change, Ups};
use super::wire::{ToControl, ToHost, Wire};

/// How often the UPS is read and time passes, milliseconds: while something goes on, and else.
const BEAT_MS: (u64, u64) = (500, 1000);
/// Somebody starts a master that stays off, after so long with power, milliseconds.
const HUMAN_MS: u64 = 90_000;
/// So long after the last that happens from outside all must be well, milliseconds.
const SETTLE_MS: u64 = 1_500_000;
/// And then nothing may be going on for so long.
const QUIET_MS: u64 = 65_000;

/// What happens by itself.
#[derive(Debug)]
pub(super) enum Happens {
    Beat,
    Turn(usize),
    ToHost { host: usize, session: u32, body: ToHost },
    ToControl { host: usize, session: u32, body: ToControl },
    AgentLoses { host: usize, session: u32 },
    ControlLoses { host: usize, session: u32 },
    Dial { host: usize, run: u32 },
    AgentTick { host: usize, run: u32 },
    AgentStarts { host: usize, boot: u32 },
    StepEnded { host: usize, run: u32, ticket: u64, outcome: StepOutcome },
    K3sReleased { host: usize, run: u32 },
    Drained { host: usize, order_id: OrderId },
    HostOff { host: usize, boot: u32 },
    HostUp { host: usize, boot: u32 },
    ControlStarts,
    CutEnded { told: bool },
    Silent { host: usize },
}

pub(super) struct World<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) now_ms: u64,
    pub(super) dice: Dice,
    pub(super) ups: Ups,
    pub(super) hosts: Vec<Host>,
    pub(super) wires: Vec<Wire>,
    pub(super) master: Option<usize>,
    pub(super) control: Option<Control>,
    pub(super) disk: Option<Disk>,
    pub(super) control_writes: u64,
    pub(super) cordoned: BTreeSet<NodeName>,
    pub(super) mains: bool,
    pub(super) mains_since_ms: u64,
    pub(super) checks: Checks,
    pub(super) failure: Option<String>,
    upsd: bool,
    output_since_ms: u64,
    silent: bool,
    names: BTreeMap<NodeName, usize>,
    due: BinaryHeap<Reverse<(u64, u64, usize)>>,
    waiting: Vec<Option<Happens>>,
    free: Vec<usize>,
    count: u64,
    traced: bool,
    quiet_since_ms: Option<u64>,
}

impl<'a> World<'a> {
    pub(super) fn new(scenario: &'a Scenario, traced: bool) -> Self {
        let hosts: Vec<Host> = scenario.hosts.iter().cloned().map(Host::new).collect();
        let names: BTreeMap<_, _> =
            scenario.hosts.iter().enumerate().map(|(at, host)| (host.name.clone(), at)).collect();
        Self {
            scenario,
            now_ms: 0,
            dice: Dice::new(scenario.seed ^ 0x5eed),
            ups: Ups::new(scenario.ups.clone()),
            wires: hosts.iter().map(|_| Wire::new()).collect(),
            hosts,
            master: scenario.roster.master().and_then(|master| names.get(master).copied()),
            control: None,
            disk: None,
            control_writes: 0,
            cordoned: BTreeSet::new(),
            mains: true,
            mains_since_ms: 0,
            checks: Checks::default(),
            failure: None,
            upsd: true,
            output_since_ms: 0,
            silent: false,
            names,
            due: BinaryHeap::new(),
            waiting: Vec::new(),
            free: Vec::new(),
            count: 0,
            traced,
            quiet_since_ms: None,
        }
    }

    pub(super) fn run(mut self) -> Result<Outcome, String> {
        self.load();
        self.start_control();
        (0..self.hosts.len()).for_each(|at| self.start_agent(at));
        self.at(0, Happens::Beat);
        for at in 0..self.scenario.turns.len() {
            self.at(self.scenario.turns[at].0, Happens::Turn(at));
        }
        while let Some(Reverse((at_ms, _, slot))) = self.due.pop() {
            self.now_ms = at_ms;
            self.free.push(slot);
            let Some(happens) = self.waiting[slot].take() else { continue };
            self.happen(happens);
            if let Some(failure) = self.failure {
                return Err(format!("at {at_ms} ms: {failure}"));
            }
            if self.quiet_since_ms.is_some_and(|since_ms| at_ms - since_ms >= QUIET_MS) {
                break;
            }
        }
        self.check_quiet()?;
        Ok(self.outcome())
    }

    pub(super) fn at(&mut self, at_ms: u64, happens: Happens) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.waiting.push(None);
            self.waiting.len() - 1
        });
        self.waiting[slot] = Some(happens);
        self.count += 1;
        self.due.push(Reverse((at_ms, self.count, slot)));
    }

    pub(super) fn after(&mut self, ms: u64, happens: Happens) {
        self.at(self.now_ms + ms, happens);
    }

    pub(super) fn fail(&mut self, why: String) {
        self.trace(|| format!("WRONG: {why}"));
        self.failure.get_or_insert(why);
    }

    #[expect(clippy::print_stderr, reason = "the trace of a seed that is replayed")]
    pub(super) fn trace(&self, text: impl FnOnce() -> String) {
        if self.traced {
            eprintln!("{:>9} {}", self.now_ms, text());
        }
    }

    pub(super) fn index(&self, node: &NodeName) -> Option<usize> {
        self.names.get(node).copied()
    }

    /// The load has changed.
    pub(super) fn load(&mut self) {
        self.pass();
        let on = self.hosts.iter().filter(|host| host.draws_power()).count();
        self.ups.set_load(on, self.hosts.len());
    }

    /// Lets the battery drain or charge until now.
    fn pass(&mut self) {
        match self.ups.pass(self.now_ms) {
            Some(Change::Off) => {
                self.trace(|| "the UPS gives no power any more".to_owned());
                self.check_power_lost();
                (0..self.hosts.len())
                    .filter(|at| self.hosts[*at].draws_power())
                    .collect::<Vec<_>>()
                    .into_iter()
                    .for_each(|at| self.host_off(at));
                if self.master.is_none() {
                    // The controller's host hangs on something else.
                    self.trace(|| "the controller has power all the same".to_owned());
                }
            }
            Some(Change::On) => {
                self.trace(|| "the UPS gives power again".to_owned());
                self.output_since_ms = self.now_ms;
                self.checks.cut_told = false;
                for at in 0..self.hosts.len() {
                    if self.hosts[at].plan.auto_on {
                        self.start_host(at);
                    }
                }
            }
            None => {}
        }
    }

    fn happen(&mut self, happens: Happens) {
        match happens {
            Happens::Beat => self.beat(),
            Happens::Turn(at) => self.turn(at),
            Happens::ToHost { host, session, body } => {
                if self.wires[host].open && self.wires[host].number == session {
                    self.agent_hears(host, body);
                }
            }
            Happens::ToControl { host, session, body } => {
                if self.wires[host].open && self.wires[host].number == session {
                    self.control_hears(host, body);
                }
            }
            Happens::AgentLoses { host, session } => {
                let wire = &mut self.wires[host];
                if wire.number == session {
                    if std::mem::take(&mut wire.agent_has) {
                        self.tell_agent(host, AgentEvent::SessionLost);
                    }
                    self.dial_in(host, 250);
                }
            }
            Happens::ControlLoses { host, session } => {
                if self.wires[host].number == session && self.wires[host].control_has {
                    self.node_gone(host);
                }
            }
            Happens::Dial { host, run } => self.dial(host, run),
            Happens::AgentTick { host, run } => {
                if self.hosts[host].run == run {
                    self.tell_agent(host, AgentEvent::Tick);
                }
            }
            Happens::AgentStarts { host, boot } => {
                if self.hosts[host].boot == boot {
                    self.start_agent(host);
                }
            }
            Happens::StepEnded { host, run, ticket, outcome } => {
                if self.hosts[host].run == run {
                    self.tell_agent(host, AgentEvent::StepEnded { ticket, outcome, message: String::new() });
                }
            }
            Happens::K3sReleased { host, run } => {
                if self.hosts[host].run == run {
                    self.tell_agent(host, AgentEvent::K3sReleased);
                }
            }
            Happens::Drained { host, order_id } => {
                if self.control.is_some() && self.wires[host].control_has {
                    self.send_to_host(host, ToHost::Drained(order_id));
                }
            }
            Happens::HostOff { host, boot } => {
                if self.hosts[host].boot == boot && self.hosts[host].draws_power() {
                    self.host_off(host);
                }
            }
            Happens::HostUp { host, boot } => {
                if self.hosts[host].boot == boot && self.hosts[host].machine == Machine::Booting {
                    self.host_up(host);
                }
            }
            Happens::ControlStarts => self.start_control(),
            Happens::CutEnded { told } => self.round(vec![Event::CutEnded { told, message: "told".to_owned() }]),
            Happens::Silent { host } => {
                let node = self.hosts[host].plan.name.clone();
                self.round(vec![Event::NodeSilent { node }]);
            }
        }
    }

    fn beat(&mut self) {
        self.pass();
        let busy = self.control.as_ref().is_some_and(|control| control.core.state().outage.is_some());
        self.after(if busy || !self.mains { BEAT_MS.0 } else { BEAT_MS.1 }, Happens::Beat);
        if self.control.is_some() {
            let seen = self.ups.observation(&mut self.dice);
            let mut events = vec![if self.upsd { Event::Read { ups: 0, seen } } else { Event::Lost { ups: 0 } }];
            if self.scenario.witnesses && self.silent == self.mains {
                self.silent = !self.mains;
                events.push(Event::Witnesses { silent: self.silent });
            }
            self.round(events);
        }
        self.start_master_by_hand();
        let over = self.scenario.turns.last().is_none_or(|(at_ms, _)| self.now_ms > *at_ms);
        if !over {
            return;
        }
        match self.unsettled() {
            None if self.quiet_since_ms.is_none() => {
                self.quiet_since_ms = Some(self.now_ms);
                self.checks.actions = 0;
            }
            None => {}
            Some(why) if self.now_ms > self.scenario.turns.last().map_or(0, |(at_ms, _)| *at_ms) + SETTLE_MS => {
                self.fail(format!("after all that time {why}"));
            }
            Some(_) => self.quiet_since_ms = None,
        }
    }

    fn start_master_by_hand(&mut self) {
        let Some(at) = self.master else { return };
        let powered = self.mains && self.ups.output;
        let since_ms = self.output_since_ms.max(self.mains_since_ms).max(self.hosts[at].off_since_ms);
        if self.hosts[at].machine == Machine::Off
            && powered
            && !self.ups.will_cut()
            && self.now_ms - since_ms >= HUMAN_MS
        {
            self.trace(|| "somebody starts the master".to_owned());
            self.check_master_left_off();
            self.checks.by_hand += 1;
            self.start_host(at);
        }
    }

    fn turn(&mut self, at: usize) {
        let turn = &self.scenario.turns[at].1;
        self.trace(|| format!("{turn:?}"));
        match turn {
            Turn::Mains(mains) => {
                self.pass();
                (self.mains, self.mains_since_ms) = (*mains, self.now_ms);
                self.ups.set_mains(*mains);
            }
            Turn::Upsd(upsd) => self.upsd = *upsd,
            Turn::Force(forced) => self.ups.forced = *forced,
            Turn::Ask(ask) => self.ask(ask),
            Turn::Reach(host, reach) => {
                self.wires[*host].reach = *reach;
                if !reach {
                    self.break_session(*host);
                }
            }
            Turn::KillController => self.kill_control(),
            Turn::KillAgent(host) => self.kill_agent(*host),
        }
    }

    pub(super) fn send_to_host(&mut self, at: usize, body: ToHost) {
        self.checks.actions += 1;
        if self.wires[at].open {
            let takes_ms = self.dice.between(1, 60);
            let at_ms = self.wires[at].arrives_at_host_ms(self.now_ms, takes_ms);
            self.at(at_ms, Happens::ToHost { host: at, session: self.wires[at].number, body });
            self.tempt_fate(at);
        }
    }

    pub(super) fn send_to_control(&mut self, at: usize, body: ToControl) {
        self.checks.actions += 1;
        if self.wires[at].open {
            let takes_ms = self.dice.between(1, 60);
            let at_ms = self.wires[at].arrives_at_control_ms(self.now_ms, takes_ms);
            self.at(at_ms, Happens::ToControl { host: at, session: self.wires[at].number, body });
            self.tempt_fate(at);
        }
    }

    /// A session breaks now and then, with what is on its way.
    fn tempt_fate(&mut self, at: usize) {
        let luck = self.scenario.luck.breaks;
        if luck > 0 && self.dice.one_in(luck) {
            self.break_session(at);
        }
    }

    pub(super) fn break_session(&mut self, at: usize) {
        if !self.wires[at].open {
            return;
        }
        self.wires[at].open = false;
        let session = self.wires[at].number;
        let most_ms = if self.scenario.honest { 1000 } else { 4000 };
        let (agent_ms, control_ms) = (self.dice.between(1, most_ms), self.dice.between(1, most_ms));
        self.after(agent_ms, Happens::AgentLoses { host: at, session });
        self.after(control_ms, Happens::ControlLoses { host: at, session });
    }

    pub(super) fn dial_in(&mut self, at: usize, ms: u64) {
        let run = self.hosts[at].run;
        self.after(ms, Happens::Dial { host: at, run });
    }

    fn dial(&mut self, at: usize, run: u32) {
        let host = &self.hosts[at];
        if host.run != run || host.agent.is_none() || self.wires[at].agent_has {
            return;
        }
        if self.control.is_none() || !self.wires[at].reach {
            let wire = &mut self.wires[at];
            wire.vain = (wire.vain + 1).min(6);
            let most_ms = (250 << wire.vain).min(15_000);
            let wait_ms = self.dice.between(most_ms / 2, most_ms);
            return self.dial_in(at, wait_ms);
        }
        let boot = host.boot;
        let wire = &mut self.wires[at];
        wire.number += 1;
        wire.open = true;
        let session = wire.number;
        let up_ms = wire.arrives_at_control_ms(self.now_ms, 5);
        let opened_ms = wire.arrives_at_host_ms(self.now_ms, 5);
        self.at(opened_ms, Happens::ToHost { host: at, session, body: ToHost::Opened });
        self.at(up_ms, Happens::ToControl { host: at, session, body: ToControl::Up { boot } });
    }
}
