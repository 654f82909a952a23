//! What must hold of a node's way down whatever comes, with the agent killed at any moment.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rackhaven_agent::shutdown::core::Sequence;
use rackhaven_agent::shutdown::{Action, Event, Record, StepJob};
use rackhaven_proto::model::{
    AlonePlan, Ending, LastRun, OrderId, PowerNotice, ProgressState, ShutdownOrder, Step, StepKind, StepOutcome, Supply,
};

const STEP_MS: u32 = 2_000;
const STEPS: u64 = 7;
/// No two events are further apart, milliseconds; the driver naps no longer.
const NAP_MS: u64 = 1_000;

#[derive(Debug, Clone)]
enum Happens {
    Order(u8),
    Drill(u8),
    Abort(u8),
    Notice(Supply, Option<u8>, bool),
    Drained(u8),
    Opened,
    Lost,
    /// The step that is performed ends so.
    Ended(StepOutcome),
    /// The step that is performed comes to this hook, if it has any.
    Hook(u8),
    HookEnded(u8),
    MachineStops,
    MachineStays,
    Tick,
    /// After it the agent is killed before anything is performed, or after all is, and starts again.
    Killed,
    Rebooted,
}

fn happenings() -> impl Strategy<Value = Vec<(u64, Happens)>> {
    let outcome = prop_oneof![
        6 => Just(StepOutcome::Done), 2 => Just(StepOutcome::Failed), 1 => Just(StepOutcome::Skipped)
    ];
    let supply = prop_oneof![Just(Supply::Mains), Just(Supply::Battery), Just(Supply::Unknown)];
    let one = prop_oneof![
        2 => (0_u8..4).prop_map(Happens::Order),
        1 => (4_u8..6).prop_map(Happens::Drill),
        1 => (0_u8..6).prop_map(Happens::Abort),
        2 => (supply, proptest::option::of(0_u8..4), any::<bool>()).prop_map(|(s, a, h)| Happens::Notice(s, a, h)),
        1 => (0_u8..4).prop_map(Happens::Drained),
        1 => Just(Happens::Opened),
        1 => Just(Happens::Lost),
        10 => outcome.prop_map(Happens::Ended),
        3 => (0_u8..3).prop_map(Happens::Hook),
        2 => (0_u8..3).prop_map(Happens::HookEnded),
        1 => Just(Happens::MachineStops),
        1 => Just(Happens::MachineStays),
        8 => Just(Happens::Tick),
        2 => Just(Happens::Killed),
        1 => Just(Happens::Rebooted),
    ];
    proptest::collection::vec((0..NAP_MS, one), 1..120)
}

fn id(number: u8) -> OrderId {
    format!("o-{number}").parse().unwrap()
}

fn order(number: u8, drill: bool) -> ShutdownOrder {
    let steps: Vec<Step> = StepKind::ALL.iter().map(|kind| Step { kind: *kind, timeout_ms: STEP_MS }).collect();
    let steps = rackhaven_proto::model::Steps::try_from(steps).unwrap();
    let steps = if drill { steps.rehearsal() } else { steps };
    ShutdownOrder { id: id(number), steps, drill, reason: String::new() }
}

/// The world around the core: what it performs, and what it was seen to do.
struct World {
    sequence: Sequence,
    boot: u32,
    now_ms: u64,
    /// The step that is performed.
    job: Option<StepJob>,
    /// By boot and order: how often the power-off was begun since it last failed, timed out, or was interrupted.
    begun: BTreeMap<(u32, String), u32>,
    /// By boot and order: when a power-off that was interrupted may be begun again at the earliest.
    interrupted: BTreeMap<(u32, String), u64>,
    /// By boot, order and hook: how often it was started.
    hooks: BTreeMap<(u32, String, String), u32>,
    /// When the last power-off was begun.
    off_began_ms: u64,
    /// Orders that were told as over.
    over: Vec<String>,
}

impl World {
    fn new() -> Self {
        Self {
            sequence: Sequence::new("boot-0", 60_000),
            boot: 0,
            now_ms: 0,
            job: None,
            begun: BTreeMap::new(),
            interrupted: BTreeMap::new(),
            hooks: BTreeMap::new(),
            off_began_ms: 0,
            over: Vec::new(),
        }
    }

    fn step(&mut self, event: Event) -> Result<(), TestCaseError> {
        let hook = match &event {
            Event::HookNext { name, .. } => Some(name.clone()),
            _ => None,
        };
        let actions = self.sequence.step(self.now_ms, event);
        self.perform(actions, hook)
    }

    fn perform(&mut self, actions: Vec<Action>, hook: Option<String>) -> Result<(), TestCaseError> {
        for action in actions {
            match action {
                Action::RunStep(job) => {
                    prop_assert!(self.job.is_none(), "two steps at once: {:?}, {job:?}", self.job);
                    prop_assert!(job.limit_ms <= u64::from(STEP_MS) || job.order_id.as_str().starts_with("local"));
                    let key = (self.boot, job.order_id.to_string());
                    if job.kind == StepKind::PowerOff {
                        prop_assert!(!job.drill, "a drill switches off");
                        let earliest_ms = self.interrupted.remove(&key);
                        prop_assert!(earliest_ms.is_none_or(|earliest_ms| self.now_ms >= earliest_ms), "too early");
                        let begun = self.begun.entry(key.clone()).or_default();
                        *begun += 1;
                        self.off_began_ms = self.now_ms;
                        prop_assert_eq!(*begun, 1, "the power-off of {} is begun again", &key.1);
                    }
                    self.job = Some(job);
                }
                Action::CancelStep { ticket } => {
                    let job = self.job.take();
                    prop_assert_eq!(job.as_ref().map(|job| job.ticket), Some(ticket), "another step is cancelled");
                    self.failed(job);
                }
                Action::StartHook { .. } => {
                    let order = self.job.as_ref().map(|job| job.order_id.to_string()).unwrap_or_default();
                    let key = (self.boot, order, hook.clone().unwrap_or_default());
                    let count = self.hooks.entry(key.clone()).or_default();
                    *count += 1;
                    prop_assert_eq!(*count, 1, "{:?} is started again", key);
                }
                Action::Tell(told) => {
                    let order = told.order_id.to_string();
                    let local = order.starts_with("local");
                    let ends = matches!(told.state, ProgressState::Aborted | ProgressState::Drilled);
                    prop_assert!(
                        !self.over.contains(&order) || told.state != ProgressState::Running,
                        "{} again",
                        order
                    );
                    if ends && !local {
                        self.over.push(order);
                    }
                    if told.state == ProgressState::Aborted {
                        // All is undone: should somebody stop the machine once more, its hooks have their turn again.
                        self.hooks.retain(|(_, order, _), _| !order.starts_with("local"));
                    }
                    let kinds: Vec<StepKind> = told.steps.iter().map(|step| step.kind).collect();
                    prop_assert!(kinds.windows(2).all(|pair| pair[0] < pair[1]), "{kinds:?}");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A power-off that has not worked may be begun again.
    fn failed(&mut self, job: Option<StepJob>) {
        if let Some(job) = job.filter(|job| job.kind == StepKind::PowerOff) {
            self.begun.remove(&(self.boot, job.order_id.to_string()));
        }
    }

    fn happens(&mut self, happens: &Happens) -> Result<(), TestCaseError> {
        let ticket = self.job.as_ref().map_or(0, |job| job.ticket);
        let in_hooks = self.job.as_ref().is_some_and(|job| job.kind == StepKind::Hooks);
        let event = match happens {
            Happens::Order(number) => Event::Order(order(*number, false)),
            Happens::Drill(number) => Event::Order(order(*number, true)),
            Happens::Abort(number) => Event::Abort(id(*number)),
            Happens::Notice(supply, alone, hold_k3s) => {
                let plan = |number| {
                    let ShutdownOrder { id, steps, .. } = order(number, false);
                    AlonePlan { order_id: id, begin_in_ms: 3_000, steps }
                };
                Event::Notice(PowerNotice { supply: *supply, alone: alone.map(plan), hold_k3s: *hold_k3s })
            }
            Happens::Drained(number) => Event::DrainEnded { order_id: id(*number), failure: String::new() },
            Happens::Opened => Event::SessionOpened,
            Happens::Lost => Event::SessionLost,
            Happens::Ended(outcome) => {
                let Some(job) = self.job.take() else { return Ok(()) };
                if *outcome != StepOutcome::Done {
                    self.failed(Some(job));
                }
                Event::StepEnded { ticket, outcome: *outcome, message: "m".to_owned() }
            }
            Happens::Hook(_) | Happens::HookEnded(_) if !in_hooks => return Ok(()),
            Happens::Hook(number) => Event::HookNext { ticket, name: format!("h-{number}") },
            Happens::HookEnded(number) => {
                Event::HookEnded { ticket, name: format!("h-{number}"), failure: String::new() }
            }
            Happens::MachineStops => Event::MachineStops { budget_ms: 5_000 },
            Happens::MachineStays => {
                // The next stop of the machine is another one, with the same name.
                self.hooks.retain(|(_, order, _), _| !order.starts_with("local"));
                Event::MachineStays
            }
            Happens::Tick => Event::Tick,
            Happens::Killed => return self.start_again(),
            Happens::Rebooted => {
                self.boot += 1;
                self.now_ms = 0;
                return self.start_again();
            }
        };
        self.step(event)
    }

    fn start_again(&mut self) -> Result<(), TestCaseError> {
        let text = serde_json::to_vec(self.sequence.record()).unwrap();
        let record: Record = serde_json::from_slice(&text).unwrap();
        let (boot, last_boot) = (format!("boot-{}", self.boot), format!("boot-{}", self.boot.saturating_sub(1)));
        let last = LastRun { ending: Ending::NodeLost, boot_id: last_boot, reason: String::new() };
        // What was interrupted may be begun again, when its time is over.
        if let Some(job) = self.job.take().filter(|job| job.kind == StepKind::PowerOff) {
            let key = (self.boot, job.order_id.to_string());
            self.interrupted.insert(key, self.off_began_ms + u64::from(STEP_MS));
            self.failed(Some(job));
        }
        let (sequence, actions) = Sequence::restored(Some(record), &boot, Some(&last), false, 60_000, self.now_ms);
        self.sequence = sequence;
        self.perform(actions, None)
    }

    /// Lets time pass as the driver does.
    fn pass(&mut self, until_ms: u64) -> Result<(), TestCaseError> {
        while let Some(due_ms) = self.sequence.next_ms().filter(|due_ms| *due_ms <= until_ms) {
            let earlier = self.now_ms;
            self.now_ms = self.now_ms.max(due_ms);
            self.step(Event::Tick)?;
            let next = self.sequence.next_ms();
            prop_assert!(self.now_ms > earlier || next != Some(due_ms), "nothing comes of what is due at {due_ms}");
        }
        self.now_ms = until_ms;
        Ok(())
    }
}

proptest! {
    #[test]
    fn nothing_is_done_twice_and_nothing_hangs(story in happenings()) {
        let mut world = World::new();
        for (after_ms, happens) in &story {
            world.pass(world.now_ms + after_ms)?;
            world.happens(happens)?;
        }
        // Whatever is under way, by itself it comes to its power-off in the time of its steps.
        world.step(Event::SessionLost)?;
        let active = world.sequence.is_active();
        let going = world.sequence.progress().filter(|_| active).map(|told| told.order_id);
        world.pass(world.now_ms + STEPS * u64::from(STEP_MS) + 1)?;
        if let Some(going) = going.filter(|going| !going.as_str().starts_with("local")) {
            let told = world.sequence.progress().unwrap();
            let ended = told.order_id != going || told.state != ProgressState::Running;
            prop_assert!(ended, "it still runs: {told:?}");
        }
    }
}
