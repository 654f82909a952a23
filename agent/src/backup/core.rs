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
/// So often a run by schedule is begun that is cut short each time, before the next moment of its schedule is waited for.
const MAX_TRIES: u8 = 4;

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
    /// What was begun by its schedule and cut short: it is done again when that is possible.
    #[serde(default)]
    pub again: BTreeMap<JobName, Again>,
}

impl Record {
    /// Whether a job was begun so lately that it is not begun by its schedule now.
    fn is_recent(&self, job: &JobName, verify: bool, now_unix_ms: i64) -> bool {
        let last = self.last.get(job).and_then(|last| if verify { last.verify } else { last.save });
        last.is_some_and(|last_ms| (now_unix_ms.saturating_sub(MIN_GAP_MS)..=now_unix_ms).contains(&last_ms))
    }
}

/// A run by schedule that was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Again {
    /// It was to verify, not to save.
    verify: bool,
    /// Since when it is due, milliseconds since 1970-01-01 UTC.
    since_unix_ms: i64,
    /// How often it was begun.
    tries: u8,
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
    /// How often it was begun before, and cut short.
    #[serde(default)]
    pub tries: u8,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It did what it could, or failed.
    ToItsEnd,
    /// It was stopped, or died.
    CutShort,
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
    Ended(BackupRunId, How),
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
    /// Somebody asked to end it.
    unwanted: Option<BackupRunId>,
}

impl Core {
    /// Goes on with what was kept.
    pub fn new(record: Record) -> Self {
        let (jobs, waiting) = (BTreeMap::new(), VecDeque::new());
        Self { record, jobs, waiting, battery: false, going_down: false, unwanted: None }
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
            Event::Ended(id, how) => self.ended(now, &id, how),
            Event::Battery(battery) => self.battery = battery,
            Event::GoingDown(going_down) => self.going_down = going_down,
            Event::Tick => {}
        }
        self.begin_next(now, &mut actions);
        actions
    }

    fn take_jobs(&mut self, jobs: BTreeMap<JobName, Timed>, chance: u32) {
        self.record.last.retain(|name, _| jobs.contains_key(name));
        self.record.again.retain(|name, _| jobs.contains_key(name));
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
        let run = Run { id, job, action, trigger: BackupTrigger::Order, started_unix_ms: now.unix_ms, tries: 0 };
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
            self.unwanted = Some(id.clone());
            actions.push(Action::End(id.clone()));
        } else if let Some(at) = self.waiting.iter().position(|(run, _)| run.id == *id)
            && let Some((run, _)) = self.waiting.remove(at)
        {
            let run = Run { started_unix_ms: now.unix_ms, ..run };
            actions.push(Action::Refuse(run, BackupOutcome::Stopped, "it had not begun".to_owned()));
        }
    }

    fn ended(&mut self, now: Now, id: &BackupRunId, how: How) {
        let Some(run) = self.record.run.take_if(|run| run.id == *id) else { return };
        let wanted = run.trigger != BackupTrigger::Order && self.unwanted.take().is_none_or(|unwanted| unwanted != *id);
        let tries = run.tries.saturating_add(1);
        if how == How::CutShort && wanted && tries < MAX_TRIES {
            let verify = matches!(run.action, BackupAction::Verify { .. });
            self.record.again.insert(run.job, Again { verify, since_unix_ms: now.unix_ms, tries });
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
        // What a shutdown cut short need not wait; what dies by itself must not do so all the time.
        let may_again =
            |name: &JobName, again: &Again| again.tries == 1 || !self.record.is_recent(name, again.verify, now.unix_ms);
        let may_again =
            |name: &JobName, again: &Again| self.jobs.get(name).is_some_and(may_run) && may_again(name, again);
        let again = self.record.again.iter().filter(|(name, again)| may_again(name, again));
        let again = again.map(|(name, again)| (again.since_unix_ms, name, again.verify));
        let (due_ms, name, verify) = dues.chain(again).filter(|(due_ms, ..)| *due_ms <= now.unix_ms).min()?;
        let name = name.clone();
        let too_soon = self.record.is_recent(&name, verify, now.unix_ms);
        let timed = self.jobs.get_mut(&name)?;
        let last = self.record.last.entry(name.clone()).or_default();
        let (due, last_ms) = match verify {
            true => (&mut timed.verify_unix_ms, &mut last.verify),
            false => (&mut timed.save_unix_ms, &mut last.save),
        };
        // Until the engine tells the moment after this one, there is none.
        due.take_if(|due_ms| *due_ms <= now.unix_ms);
        // What is due is done once, whether for the first time or again.
        let again = self.record.again.get(&name).filter(|again| again.verify == verify).copied();
        if too_soon && again.is_none_or(|again| again.tries > 1) {
            // Put off, not left out: the engine may not be asked again for long.
            *due = last_ms.map(|last_ms| last_ms + MIN_GAP_MS + 1);
            return None;
        }
        *last_ms = Some(now.unix_ms);
        let tries = again.map_or(0, |again| again.tries);
        if again.is_some() {
            self.record.again.remove(&name);
        }
        let action = match verify {
            true => BackupAction::Verify { archive: None, percent: timed.verify_percent },
            false => BackupAction::Save { full: false },
        };
        let missed = tries > 0 || now.unix_ms - due_ms > MIN_GAP_MS;
        let trigger = if missed { BackupTrigger::CatchUp } else { BackupTrigger::Schedule };
        // Unique by the moment: one run begins at a time.
        let id = format!("{}-{}-{name}", now.unix_ms, action.as_str());
        let id = id.get(..64).unwrap_or(&id).parse().ok()?;
        Some(Run { id, job: name, action, trigger, started_unix_ms: now.unix_ms, tries })
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
mod tests;
