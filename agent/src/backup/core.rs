//! When a job runs, and when it does not. Pure: time, chance and ids come in with the events.

use std::collections::{BTreeMap, VecDeque};

use rackhaven_proto::model::JobName;
use rackhaven_proto::model::backup::{BackupAction, BackupOrder, BackupOutcome, BackupRunId, BackupTrigger};
use serde::{Deserialize, Serialize};

/// So many ids are remembered of runs that were begun by order.
const MAX_REMEMBERED: usize = 200;
/// So many runs wait for the one that is under way.
const MAX_WAITING: usize = 64;
/// Two runs of a job by its schedule never begin closer together, milliseconds.
const MIN_GAP_MS: i64 = 60_000;

/// A job, as far as its times go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed {
    /// When it is to be saved next, milliseconds since 1970-01-01 UTC; a moment that has passed was missed.
    pub save_unix_ms: Option<i64>,
    /// When it is to be verified next.
    pub verify_unix_ms: Option<i64>,
    /// How much is read then, percent.
    pub verify_percent: u8,
    /// It begins up to so much later, milliseconds.
    pub random_delay_ms: i64,
    /// It is not begun on battery.
    pub waits_on_battery: bool,
    /// Why it cannot run; empty if it can.
    pub problem: String,
}

/// What is kept across restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The run that is under way.
    pub run: Option<Run>,
    /// Runs that were begun by order, newest last.
    pub begun: VecDeque<BackupRunId>,
    /// When each job was last begun by its schedule, milliseconds since 1970-01-01 UTC.
    pub last: BTreeMap<JobName, Last>,
}

/// When a job was last begun by its schedule, milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Last {
    /// To save.
    pub save: Option<i64>,
    /// To verify.
    pub verify: Option<i64>,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Unique.
    pub id: BackupRunId,
    /// Of which job.
    pub job: JobName,
    /// What it does.
    pub action: BackupAction,
    /// Why it was begun.
    pub trigger: BackupTrigger,
    /// When, milliseconds since 1970-01-01 UTC.
    pub started_unix_ms: i64,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// These are the jobs. `chance` is from 0 to 1,000,000, for the delays.
    Jobs(BTreeMap<JobName, Timed>, u32),
    /// Time has passed.
    Tick,
    /// Somebody asked for a run.
    Order(BackupOrder),
    /// Somebody asked to end one.
    Stop(BackupRunId),
    /// The run that was under way has ended.
    Ended(BackupRunId),
    /// Whether the rack is on battery.
    Battery(bool),
    /// Whether this node is going down: nothing is begun then.
    GoingDown(bool),
}

/// What is to be done, once the record is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Have the engine begin this.
    Begin(Run),
    /// Have it end this.
    End(BackupRunId),
    /// Report that this was not begun, and why.
    Refuse(Run, BackupOutcome, String),
}

/// When it is, for this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970-01-01 UTC.
    pub unix_ms: i64,
    /// Milliseconds on a clock that never jumps.
    pub monotonic_ms: u64,
    /// Whether the first can be believed.
    pub trusted: bool,
}

/// The decisions.
#[derive(Debug)]
pub struct Core {
    record: Record,
    jobs: BTreeMap<JobName, Timed>,
    /// Runs by order that wait, with the moment on the steady clock at which they are too late.
    waiting: VecDeque<(Run, u64)>,
    battery: bool,
    going_down: bool,
}

impl Core {
    /// Goes on with what was kept.
    pub fn new(record: Record) -> Self {
        Self { record, jobs: BTreeMap::new(), waiting: VecDeque::new(), battery: false, going_down: false }
    }

    /// What is to be kept.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Takes in what happened.
    pub fn step(&mut self, now: Now, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Jobs(jobs, chance) => self.take_jobs(jobs, chance),
            Event::Order(order) => self.order(now, order, &mut actions),
            Event::Stop(id) => self.stop(now, &id, &mut actions),
            Event::Ended(id) => drop(self.record.run.take_if(|run| run.id == id)),
            Event::Battery(battery) => self.battery = battery,
            Event::GoingDown(going_down) => self.going_down = going_down,
            Event::Tick => {}
        }
        self.begin_next(now, &mut actions);
        actions
    }

    fn take_jobs(&mut self, jobs: BTreeMap<JobName, Timed>, chance: u32) {
        self.record.last.retain(|name, _| jobs.contains_key(name));
        self.jobs = jobs;
        for timed in self.jobs.values_mut() {
            let delay_ms = timed.random_delay_ms.saturating_mul(chance.into()) / 1_000_000;
            for due in [&mut timed.save_unix_ms, &mut timed.verify_unix_ms] {
                *due = due.map(|due_ms| due_ms.saturating_add(delay_ms));
            }
        }
    }

    fn order(&mut self, now: Now, order: BackupOrder, actions: &mut Vec<Action>) {
        let BackupOrder { run_id: id, job, action, expires_in_ms, .. } = order;
        let known = self.record.begun.contains(&id) || self.waiting.iter().any(|(run, _)| run.id == id);
        if known {
            return;
        }
        let run = Run { id, job, action, trigger: BackupTrigger::Order, started_unix_ms: now.unix_ms };
        let refusal = match self.jobs.get(&run.job) {
            None => Some("this node has no such job".to_owned()),
            Some(timed) if !timed.problem.is_empty() => Some(timed.problem.clone()),
            Some(_) if self.going_down => Some("this node is going down".to_owned()),
            Some(_) if self.waiting.len() >= MAX_WAITING => Some(format!("{MAX_WAITING} runs wait already")),
            Some(_) => None,
        };
        self.remember(&run.id);
        match refusal {
            Some(why) => actions.push(Action::Refuse(run, BackupOutcome::Refused, why)),
            None => self.waiting.push_back((run, now.monotonic_ms.saturating_add(expires_in_ms.into()))),
        }
    }

    fn remember(&mut self, id: &BackupRunId) {
        self.record.begun.push_back(id.clone());
        let surplus = self.record.begun.len().saturating_sub(MAX_REMEMBERED);
        self.record.begun.drain(..surplus);
    }

    fn stop(&mut self, now: Now, id: &BackupRunId, actions: &mut Vec<Action>) {
        if self.record.run.as_ref().is_some_and(|run| run.id == *id) {
            actions.push(Action::End(id.clone()));
        } else if let Some(at) = self.waiting.iter().position(|(run, _)| run.id == *id)
            && let Some((run, _)) = self.waiting.remove(at)
        {
            let run = Run { started_unix_ms: now.unix_ms, ..run };
            actions.push(Action::Refuse(run, BackupOutcome::Stopped, "it had not begun".to_owned()));
        }
    }

    /// Begins what is first in turn: one run at a time, for a board has one disk and little memory.
    fn begin_next(&mut self, now: Now, actions: &mut Vec<Action>) {
        while let Some((run, _)) = self.waiting.pop_front_if(|(_, late_ms)| now.monotonic_ms > *late_ms) {
            actions.push(Action::Refuse(run, BackupOutcome::Refused, "it came to its turn too late".to_owned()));
        }
        if self.record.run.is_some() || self.going_down {
            return;
        }
        let run = match self.waiting.pop_front() {
            Some((run, _)) => Some(Run { started_unix_ms: now.unix_ms, ..run }),
            None => self.due(now),
        };
        if let Some(run) = run {
            self.record.run = Some(run.clone());
            actions.push(Action::Begin(run));
        }
    }

    /// The job that has been due for longest.
    fn due(&mut self, now: Now) -> Option<Run> {
        if !now.trusted {
            return None;
        }
        let battery = self.battery;
        let may_run = |timed: &Timed| timed.problem.is_empty() && !(battery && timed.waits_on_battery);
        let dues = self.jobs.iter().filter(|(_, timed)| may_run(timed)).flat_map(|(name, timed)| {
            let save = timed.save_unix_ms.map(|due_ms| (due_ms, name, false));
            let verify = timed.verify_unix_ms.map(|due_ms| (due_ms, name, true));
            save.into_iter().chain(verify)
        });
        let (due_ms, name, verify) = dues.filter(|(due_ms, ..)| *due_ms <= now.unix_ms).min()?;
        let name = name.clone();
        let timed = self.jobs.get_mut(&name)?;
        let last = self.record.last.entry(name.clone()).or_default();
        let (due, last_ms) = match verify {
            true => (&mut timed.verify_unix_ms, &mut last.verify),
            false => (&mut timed.save_unix_ms, &mut last.save),
        };
        // Until the engine tells the moment after this one, there is none.
        *due = None;
        if let Some(last_ms) = last_ms.filter(|last_ms| (now.unix_ms - MIN_GAP_MS..=now.unix_ms).contains(last_ms)) {
            // Put off, not left out: the engine may not be asked again for long.
            *due = Some(last_ms + MIN_GAP_MS + 1);
            return None;
        }
        *last_ms = Some(now.unix_ms);
        let action = match verify {
            true => BackupAction::Verify { archive: None, percent: timed.verify_percent },
            false => BackupAction::Save { full: false },
        };
        let missed = now.unix_ms - due_ms > MIN_GAP_MS;
        let trigger = if missed { BackupTrigger::CatchUp } else { BackupTrigger::Schedule };
        // Unique by the moment: one run begins at a time.
        let id = format!("{}-{}-{name}", now.unix_ms, action.as_str());
        let id = id.get(..64).unwrap_or(&id).parse().ok()?;
        Some(Run { id, job: name, action, trigger, started_unix_ms: now.unix_ms })
    }

    /// The next moment at which something may be due, milliseconds since 1970-01-01 UTC.
    pub fn next_unix_ms(&self) -> Option<i64> {
        self.jobs.values().flat_map(|timed| [timed.save_unix_ms, timed.verify_unix_ms]).flatten().min()
    }

    /// The run that is under way.
    pub fn running(&self) -> Option<&Run> {
        self.record.run.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Action, Core, Event, Last, Now, Record, Timed};
    use rackhaven_proto::model::backup::{BackupAction, BackupOrder};

    const START_MS: i64 = 1_800_000_000_000;

    fn at(s: i64) -> Now {
        Now { unix_ms: START_MS + s * 1000, monotonic_ms: (s * 1000) as u64, trusted: true }
    }

    /// Due after so many seconds; a negative number was missed.
    fn due(save_s: Option<i64>) -> Timed {
        Timed {
            save_unix_ms: save_s.map(|s| START_MS + s * 1000),
            verify_unix_ms: None,
            verify_percent: 5,
            random_delay_ms: 0,
            waits_on_battery: true,
            problem: String::new(),
        }
    }

    fn jobs(jobs: &[(&str, Timed)]) -> Event {
        let jobs = jobs.iter().map(|(name, timed)| (name.parse().unwrap(), timed.clone()));
        Event::Jobs(jobs.collect::<BTreeMap<_, _>>(), 500_000)
    }

    fn order(id: &str, job: &str) -> Event {
        Event::Order(BackupOrder {
            run_id: id.parse().unwrap(),
            job: job.parse().unwrap(),
            action: BackupAction::Save { full: true },
            expires_in_ms: 60_000,
            requested_by: "user/ann".to_owned(),
        })
    }

    /// What was done, in few words.
    fn words(actions: &[Action]) -> Vec<String> {
        let word = |action: &Action| match action {
            Action::Begin(run) => format!("begin {} {} {}", run.job, run.action.as_str(), run.trigger.as_str()),
            Action::End(id) => format!("end {id}"),
            Action::Refuse(run, outcome, why) => format!("{} {}: {why}", outcome.as_str(), run.id),
        };
        actions.iter().map(word).collect()
    }

    fn ended(core: &Core) -> Event {
        Event::Ended(core.running().unwrap().id.clone())
    }

    #[test]
    fn jobs_run_at_their_time_one_after_the_other_and_missed_ones_are_caught_up() {
        let mut core = Core::new(Record::default());
        assert!(core.step(at(0), jobs(&[("a", due(Some(10))), ("b", due(Some(5))), ("c", due(None))])).is_empty());
        assert_eq!(core.next_unix_ms(), Some(START_MS + 5000));
        assert_eq!(words(&core.step(at(11), Event::Tick)), ["begin b save schedule"]);
        assert!(core.step(at(12), Event::Tick).is_empty());
        let over = ended(&core);
        assert_eq!(words(&core.step(at(120), over)), ["begin a save catch-up"]);
        let over = ended(&core);
        assert!(core.step(at(121), over).is_empty());
        assert_eq!(core.next_unix_ms(), None);
        // What the engine says next must not begin the same run again, whatever its clock says.
        assert!(core.step(at(122), jobs(&[("a", due(Some(120)))])).is_empty());
        assert!(core.step(at(180), Event::Tick).is_empty());
        assert_eq!(core.record().last.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["a"]);
        // One that is due within the minute is put off.
        assert_eq!(words(&core.step(at(181), Event::Tick)), ["begin a save schedule"]);
    }

    #[test]
    fn a_delay_by_chance_is_waited_for() {
        let mut core = Core::new(Record::default());
        let delayed = Timed { random_delay_ms: 20_000, ..due(Some(0)) };
        assert!(core.step(at(9), jobs(&[("a", delayed)])).is_empty());
        assert_eq!(words(&core.step(at(10), Event::Tick)), ["begin a save schedule"]);
    }

    #[test]
    fn nothing_begins_by_a_clock_that_lies_nor_on_battery_nor_on_the_way_down() {
        let mut core = Core::new(Record::default());
        let brave = Timed { waits_on_battery: false, ..due(Some(1)) };
        assert!(core.step(Now { trusted: false, ..at(5) }, jobs(&[("a", due(Some(0))), ("b", brave)])).is_empty());
        assert_eq!(words(&core.step(at(5), Event::Battery(true))), ["begin b save schedule"]);
        let over = ended(&core);
        assert!(core.step(at(6), over).is_empty());
        assert!(core.step(at(6), Event::GoingDown(true)).is_empty());
        assert!(core.step(at(7), Event::Battery(false)).is_empty());
        assert_eq!(words(&core.step(at(7), order("o-1", "a"))), ["refused o-1: this node is going down"]);
        assert_eq!(words(&core.step(at(300), Event::GoingDown(false))), ["begin a save catch-up"]);
    }

    #[test]
    fn an_order_is_carried_out_once_in_its_turn_or_not_at_all() {
        let mut core = Core::new(Record::default());
        let broken = Timed { problem: "sources: nothing is to be saved".to_owned(), ..due(None) };
        core.step(at(0), jobs(&[("a", due(None)), ("broken", broken)]));
        assert_eq!(words(&core.step(at(1), order("o-1", "a"))), ["begin a save order"]);
        for id in ["o-1", "o-2", "o-3", "o-2"] {
            assert!(core.step(at(2), order(id, "a")).is_empty(), "{id}");
        }
        assert_eq!(words(&core.step(at(2), order("o-4", "x"))), ["refused o-4: this node has no such job"]);
        assert_eq!(words(&core.step(at(2), order("o-5", "broken"))), ["refused o-5: sources: nothing is to be saved"]);
        assert_eq!(words(&core.step(at(3), Event::Stop("o-3".parse().unwrap()))), ["stopped o-3: it had not begun"]);
        assert_eq!(words(&core.step(at(3), Event::Stop("o-1".parse().unwrap()))), ["end o-1"]);
        // Killed here, the agent goes on where it was.
        let kept: Record = serde_json::from_slice(&serde_json::to_vec(core.record()).unwrap()).unwrap();
        assert_eq!((&kept, kept.run.as_ref().map(|run| run.id.as_str())), (core.record(), Some("o-1")));
        assert_eq!(words(&core.step(at(90), ended(&core))), ["refused o-2: it came to its turn too late"]);
        assert_eq!(core.record().last.get(&"a".parse().unwrap()), None::<&Last>);
    }
}
