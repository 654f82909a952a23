//! Runs the policy core: collects what happens, lets the core decide, keeps its state on the disk, and only then
//! performs what it decided.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rackhaven_proto::model::{NodeName, PowerNotice, Severity};
use tokio::sync::{broadcast, mpsc, watch};

use super::config::PowerConfig;
use super::core::state::State;
use super::core::supply::RackSupply;
use super::core::{Action, Context, Core, Event};
use super::memory::{Memory, Moment, PowerClock, Saved};
use super::notices::Told;
use super::policy::Roster;
use super::probes::Probes;
use super::record::{Record, Recorder};
use super::saver::Saver;
use super::served::Served;
use super::{Ask, FEED_LENGTH, Input, Power, QUEUE_LENGTH, Shared, UpsView, WitnessView, moment, roster, sources};
use crate::clock::Clock;
use crate::core::Core as Parts;
use crate::k3s::drain::PowerDrains;
use crate::nut::UpsReport;
use crate::store::{Store, StoreError, TimelineRow};

/// How often time passes for the core while nothing goes on, and while something does.
const TICK: Duration = Duration::from_secs(1);
const FAST_TICK: Duration = Duration::from_millis(100);
/// How often the fleet is sorted into stages anew, milliseconds.
const ROSTER_EVERY_MS: u64 = 1000;
/// Between two looks at a witness while no UPS can be read, milliseconds.
const WITNESS_FAST_MS: u64 = 1000;
/// Inputs that are taken together.
const BATCH: usize = 1024;

/// What the driver begins with.
pub struct Started {
    /// The way to it, for all others.
    pub power: Power,
    inputs: mpsc::Receiver<Input>,
    memory: Memory,
    resumed: Option<bool>,
    /// What was wrong with the state on the disk.
    pub complaint: Option<String>,
}

/// Reads what was known of power before.
///
/// # Errors
/// When the store cannot be read.
pub async fn start(
    folder: &Path,
    config: &PowerConfig,
    clock: &Clock,
    store: &Store,
    boot_id: String,
) -> Result<Started, StoreError> {
    let memory = Memory::new(folder);
    let (saved, complaint) = memory.load();
    let now = moment(clock, &boot_id);
    let (power_clock, resumed) = match &saved {
        Some(saved) => {
            let (clock, same_boot) = PowerClock::resumed(saved, &now);
            (clock, Some(same_boot))
        }
        None => (PowerClock::new(now.boot_ms), None),
    };
    let now_ms = power_clock.now_ms(now.boot_ms);
    let names: Vec<String> = config.upses.iter().map(|ups| ups.address.to_string()).collect();
    let mut state = match saved {
        None => State::new(config.policy.ups_count, now_ms),
        Some(saved) if saved.upses == names => saved.state,
        // What one UPS said is not another's.
        Some(saved) => State { upses: State::new(config.policy.ups_count, now_ms).upses, ..saved.state },
    };
    // The count survives the loss of either record.
    state.next_number = state.next_number.max(store.last_outage().await? + 1);
    let timeline = match &state.outage {
        Some(outage) => store.timeline(outage.number).await?,
        None => Vec::new(),
    };
    let (inputs, queue) = mpsc::channel(QUEUE_LENGTH);
    let shared = Shared {
        core: Core::new(state, &config.policy, now_ms),
        roster: Roster::default(),
        upses: vec![UpsView::default(); config.upses.len()],
        witnesses: vec![WitnessView::default(); config.witnesses.len()],
        timeline,
        unsaved: false,
    };
    let power = Power {
        inputs,
        shared: Mutex::new(shared),
        feed: broadcast::Sender::new(FEED_LENGTH),
        changes: watch::Sender::new(0),
        clock: power_clock,
        boot_id,
    };
    Ok(Started { power, inputs: queue, memory, resumed, complaint })
}

/// The driver's own side of [`Started`].
pub struct Drive {
    inputs: mpsc::Receiver<Input>,
    memory: Memory,
    resumed: Option<bool>,
}

impl Started {
    /// Parts it into what is shared and what the driver keeps to itself.
    pub fn split(self) -> (Power, Drive) {
        (self.power, Drive { inputs: self.inputs, memory: self.memory, resumed: self.resumed })
    }
}

pub(super) struct Driver {
    pub(super) parts: Arc<Parts>,
    pub(super) drains: PowerDrains,
    saver: Saver,
    pace: watch::Sender<Duration>,
    witness_pace: watch::Sender<Duration>,
    pub(super) probes: Probes,
    pub(super) told: Told,
    pub(super) recorder: Recorder,
    roster_ms: Option<u64>,
    pub(super) probed_ms: u64,
    served: Option<Served>,
    saved_well: bool,
    /// When the outages of this run began, the core's milliseconds.
    pub(super) begun: BTreeMap<u64, u64>,
}

/// Runs until the controller ends.
pub async fn drive(parts: Arc<Parts>, own: Drive) {
    let Drive { mut inputs, memory, resumed } = own;
    let config = parts.config.load_full();
    let recorder = Recorder::start(Arc::clone(&parts));
    let saver = Saver::start(memory);
    let (pace, paces) = watch::channel(Duration::from_millis(config.power.poll_ms.0));
    sources::watch_upses(&config.power, &paces, &parts.power.inputs);
    let (witness_pace, witness_paces) = watch::channel(Duration::from_millis(config.power.witness_every_ms));
    sources::watch_witnesses(&config.power, &witness_paces, &parts.power.inputs);
    let served = match &config.power.facade {
        None => None,
        Some(settings) => match Served::start(settings, Arc::clone(&parts.clock)) {
            Ok(served) => Some(served),
            Err(error) => {
                // The fleet's own way down matters more than those who listen.
                let message = format!("the UPS is not served to others: {error}");
                recorder.put(Record::Event { node: None, kind: "power.facade", severity: Severity::Critical, message });
                None
            }
        },
    };
    let mut driver = Driver {
        drains: PowerDrains::new(Arc::clone(&parts)),
        parts,
        saver,
        pace,
        witness_pace,
        probes: Probes::default(),
        told: Told::new(),
        recorder,
        roster_ms: None,
        probed_ms: 0,
        served,
        saved_well: true,
        begun: BTreeMap::new(),
    };
    let open = driver.parts.power.look(|shared| shared.core.state().outage.as_ref().map(|it| (it.number, it.begun_ms)));
    driver.begun.extend(open);
    if let Some(same_boot) = resumed {
        driver.round(vec![Input::Event(Event::Restarted { same_boot })]).await;
    }
    let mut batch = Vec::with_capacity(64);
    loop {
        let busy = driver.parts.power.look(|shared| shared.core.state().outage.is_some());
        let pause = if busy { FAST_TICK } else { TICK };
        tokio::select! {
            count = inputs.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    return;
                }
                driver.round(std::mem::take(&mut batch)).await;
            }
            () = tokio::time::sleep(pause) => driver.round(Vec::new()).await,
        }
    }
}

/// What came out of one round.
struct Outcome {
    actions: Vec<Action>,
    save: Option<State>,
    notices: Vec<(NodeName, PowerNotice)>,
    to_probe: Vec<NodeName>,
    drains: bool,
    /// Whether the supply is known from a UPS.
    known: bool,
}

impl Driver {
    fn now(&self) -> (u64, Moment) {
        let power = &self.parts.power;
        let moment = moment(&self.parts.clock, &power.boot_id);
        (power.now_ms(moment.boot_ms), moment)
    }

    /// Takes in a batch, decides, remembers, performs.
    async fn round(&mut self, batch: Vec<Input>) {
        let (now_ms, moment) = self.now();
        let outcome = self.decide(batch, now_ms, moment.wall_ms);
        if let Some(state) = outcome.save {
            let config = self.parts.config.load();
            let upses = config.power.upses.iter().map(|ups| ups.address.to_string()).collect();
            self.save(Saved { now_ms, moment: moment.clone(), upses, state }).await;
        }
        self.perform(outcome.actions, now_ms, moment.wall_ms);
        self.tell_nodes(outcome.notices, now_ms);
        self.probe(outcome.to_probe, now_ms);
        let (calm_ms, fast_ms) = self.parts.config.load().power.poll_ms;
        let pace = Duration::from_millis(if outcome.drains { fast_ms } else { calm_ms });
        self.pace.send_if_modified(|old| std::mem::replace(old, pace) != pace);
        let witness_every_ms = self.parts.config.load().power.witness_every_ms;
        let fast_ms = if outcome.known { witness_every_ms } else { witness_every_ms.min(WITNESS_FAST_MS) };
        let pace = Duration::from_millis(fast_ms);
        self.witness_pace.send_if_modified(|old| std::mem::replace(old, pace) != pace);
        self.parts.power.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn decide(&mut self, batch: Vec<Input>, now_ms: u64, wall_ms: i64) -> Outcome {
        let config = self.parts.config.load_full();
        if batch.iter().any(|input| matches!(input, Input::Up(..))) {
            // It may have enrolled a moment ago.
            self.roster_ms = None;
        }
        let fresh = self.fresh_roster(&config.power, now_ms);
        let mut shared = self.parts.power.lock();
        if let Some(fresh) = fresh {
            shared.roster = fresh;
        }
        let mut events = Vec::with_capacity(batch.len());
        let mut asks = Vec::new();
        events.extend(self.served.as_mut().map(Served::changes).unwrap_or_default());
        for input in batch {
            match input {
                Input::Event(event) => {
                    if let Event::NodeGone { node } = &event {
                        self.told.remove(node);
                    }
                    events.push(event);
                }
                Input::Up(node, boot_id, address) => {
                    self.told.remove(&node);
                    self.probes.up(&node, address);
                    events.push(Event::NodeUp { node, boot_id });
                }
                Input::Report(index, report) => events.extend(take_report(&mut shared, index.0, report, now_ms)),
                Input::Witness(index, answering, heard) => {
                    if let Some(witness) = shared.witnesses.get_mut(index) {
                        witness.answering = Some(answering);
                        witness.heard_ms = if heard { Some(now_ms) } else { witness.heard_ms };
                    }
                    let all = !shared.witnesses.is_empty();
                    let silent = all && shared.witnesses.iter().all(|witness| witness.answering == Some(false));
                    events.push(Event::Witnesses { silent });
                }
                Input::Probed(node, answers) => {
                    if self.probes.answered(&node, answers) {
                        events.push(Event::NodeSilent { node });
                    }
                }
                Input::Ask(ask) => asks.push(ask),
            }
        }
        let Shared { core, roster, .. } = &mut *shared;
        let context = Context { policy: &config.power.policy, roster, now_ms, wall_ms };
        let mut actions = core.step(&context, events);
        for ask in asks {
            actions.extend(answer(core, &context, ask));
        }
        let outcome = outcome(core, &context, actions);
        if let Some(served) = &self.served {
            served.tell(&shared);
        }
        outcome
    }

    /// The fleet in its stages, if it is time to look again.
    fn fresh_roster(&mut self, config: &PowerConfig, now_ms: u64) -> Option<Roster> {
        if self.roster_ms.is_some_and(|last| now_ms.saturating_sub(last) < ROSTER_EVERY_MS) {
            return None;
        }
        self.roster_ms = Some(now_ms);
        let views = self.parts.registry.views(self.parts.clock.monotonic_ms(), self.parts.clock.wall_ms());
        Some(roster(config, &views, &self.parts.power.boot_id))
    }

    /// Writes the state down. A disk that refuses or hangs must not keep the fleet from going down: it is said, and all
    /// goes on.
    async fn save(&mut self, saved: Saved) {
        let error = self.saver.save(saved).await.err();
        if let Some(error) = &error
            && self.saved_well
        {
            let message = format!("the state of power cannot be written down: {error}; a restart would forget it");
            self.recorder.put(Record::Event {
                node: None,
                kind: "power.unsaved",
                severity: Severity::Critical,
                message,
            });
        }
        self.saved_well = error.is_none();
        self.parts.power.lock().unsaved = error.is_some();
    }

    /// Adds a line to the timeline.
    pub(super) fn line(&self, row: TimelineRow) {
        let mut shared = self.parts.power.lock();
        if shared.timeline.first().is_some_and(|first| first.outage != row.outage) {
            shared.timeline.clear();
        }
        shared.timeline.push(row.clone());
        drop(shared);
        // Nobody may be following.
        let _ = self.parts.power.feed.send(row);
    }
}

fn outcome(core: &mut Core, context: &Context<'_>, actions: Vec<Action>) -> Outcome {
    let state = core.state();
    let drains = state.supply.drains() || state.outage.is_some();
    Outcome {
        actions,
        notices: core.notices(context),
        to_probe: core.to_probe(),
        save: core.take_dirty().then(|| core.state().clone()),
        drains,
        known: matches!(core.state().supply, RackSupply::Mains | RackSupply::Battery),
    }
}

fn take_report(shared: &mut Shared, index: usize, report: UpsReport, now_ms: u64) -> Option<Event> {
    let view = shared.upses.get_mut(index)?;
    Some(match report {
        UpsReport::Reading(reading, vars) => {
            let seen = sources::observation(&reading);
            *view = UpsView { reading: Some(*reading), vars: Arc::new(vars), read_ms: now_ms, problem: String::new() };
            Event::Read { ups: index, seen }
        }
        UpsReport::Lost { reason } => {
            view.problem = reason;
            Event::Lost { ups: index }
        }
    })
}

/// Does what somebody asks. Whoever asked may have gone.
fn answer(core: &mut Core, context: &Context<'_>, ask: Ask) -> Vec<Action> {
    let (answered, actions) = match ask {
        Ask::Shutdown(targets, cause, reply) => match core.shutdown(context, &targets, cause) {
            Ok((number, actions)) => (reply.send(Ok(number)).is_ok(), actions),
            Err(refused) => (reply.send(Err(refused)).is_ok(), Vec::new()),
        },
        Ask::Drill(targets, cause, reply) => match core.drill(context, &targets, cause) {
            Ok((number, actions)) => (reply.send(Ok(number)).is_ok(), actions),
            Err(refused) => (reply.send(Err(refused)).is_ok(), Vec::new()),
        },
        Ask::Abort(reply) => match core.abort(context) {
            Ok(mut done) => {
                let actions = std::mem::take(&mut done.actions);
                (reply.send(Ok(done)).is_ok(), actions)
            }
            Err(refused) => (reply.send(Err(refused)).is_ok(), Vec::new()),
        },
    };
    if !answered {
        tracing::debug!("nobody waits for the answer any more");
    }
    actions
}
