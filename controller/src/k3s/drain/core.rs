//! What is to be done next. Pure: time comes in as an argument, the API's answers as events.

use std::collections::{BTreeMap, BTreeSet};

use super::budgets::Budgets;
use super::pod::{Fate, PodFacts};
use super::{Action, Answer, Ended, Event, Left, Refusal, Rules, Trouble};

/// Evictions that are asked for at the same time.
pub(super) const AT_ONCE: usize = 16;
/// Before a refused eviction is asked for again: the first time, and the longest, milliseconds.
const BACK_OFF_MS: (u64, u64) = (250, 3000);

/// How long to wait after so many refusals, milliseconds.
pub(super) fn back_off_ms(tries: u32) -> u64 {
    BACK_OFF_MS.0.saturating_mul(1 << tries.min(16)).min(BACK_OFF_MS.1)
}

/// The system's pods go after the others, but not later than with this share of the time left.
const SYSTEM_SHARE: u64 = 4;
/// Kept free between a pod's end and the deadline, seconds.
const GRACE_RESERVE_S: u64 = 1;

/// The drain of one node.
#[derive(Debug, Clone)]
pub struct Drain {
    rules: Rules,
    begun_ms: u64,
    heard_ms: u64,
    silence: String,
    listed: bool,
    pods: BTreeMap<String, Tracked>,
    /// Evictions without an answer yet, of pods that may have gone meanwhile.
    asked: BTreeSet<String>,
    budgets: Budgets,
    gone: u32,
    ended: Option<Ended>,
}

#[derive(Debug, Clone)]
struct Tracked {
    facts: PodFacts,
    /// The budget that it is under, if one was heard of.
    budget: Option<String>,
    state: State,
    tries: u32,
    trouble: Trouble,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waits { until_ms: u64 },
    Asked,
    Ends,
}

impl Drain {
    /// Begins.
    pub fn new(rules: Rules, now_ms: u64) -> Self {
        Self {
            rules,
            begun_ms: now_ms,
            heard_ms: now_ms,
            silence: String::new(),
            listed: false,
            pods: BTreeMap::new(),
            asked: BTreeSet::new(),
            budgets: Budgets::default(),
            gone: 0,
            ended: None,
        }
    }

    /// Takes in what was said; what is to be done. Each eviction is answered by one event, unless it ends before.
    pub fn step(&mut self, event: Event, now_ms: u64) -> Vec<Action> {
        match event {
            Event::Listed(pods) => self.listed(pods, now_ms),
            Event::Unlisted(why) => self.silence = why,
            Event::Answered(uid, answer) => self.answered(&uid, answer, now_ms),
            Event::Tick => {}
        }
        self.end_if_over(now_ms);
        if self.ended.is_some() { Vec::new() } else { self.evict(now_ms) }
    }

    /// How it ended; none as long as it goes on.
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// How many have gone, and how many there were.
    pub fn far(&self) -> (u32, u32) {
        let left = u32::try_from(self.pods.len()).unwrap_or(u32::MAX);
        (self.gone, self.gone.saturating_add(left))
    }

    /// What it waits for, in a few words; empty as long as all gets on.
    pub fn held_up(&self) -> String {
        let budgets = self.pods.values().filter(|pod| matches!(pod.trouble, Trouble::Budget(_))).count();
        let refused = self.pods.values().find(|pod| matches!(pod.trouble, Trouble::Refused(_)));
        match (budgets, refused) {
            (0, None) => String::new(),
            (0, Some(pod)) => format!("{} was refused", pod.facts.full_name()),
            (count, _) => format!("{count} kept back by disruption budgets"),
        }
    }

    /// What is left now.
    pub fn left(&self) -> Vec<Left> {
        let left = |pod: &Tracked| Left { pod: pod.facts.full_name(), trouble: pod.trouble.clone() };
        let mut all: Vec<Left> = self.pods.values().map(left).collect();
        all.sort_by(|one, other| one.pod.cmp(&other.pod));
        all
    }

    /// When it wants to be told that time has passed. Who is due already waits for an answer to another.
    pub fn wakes_ms(&self, now_ms: u64) -> u64 {
        let waiting = self.pods.values().filter_map(|pod| {
            let State::Waits { until_ms } = pod.state else { return None };
            let until_ms = pod.budget.as_ref().map_or(until_ms, |budget| self.budgets.until_ms(budget).max(until_ms));
            Some(if pod.facts.critical { until_ms.max(self.system_from_ms()) } else { until_ms })
        });
        let over_ms = self.rules.deadline_ms.min(self.heard_ms.saturating_add(self.rules.silence_ms));
        waiting.filter(|until_ms| *until_ms > now_ms).min().unwrap_or(over_ms).min(over_ms)
    }

    fn listed(&mut self, pods: Vec<PodFacts>, now_ms: u64) {
        self.heard_ms = now_ms;
        self.listed = true;
        let mut before = std::mem::take(&mut self.pods);
        let mut refusals = Vec::new();
        for facts in pods {
            match facts.fate(&self.rules) {
                Fate::Stays => {}
                Fate::Goes => {
                    let tracked = Tracked::seen(before.remove(&facts.uid), facts, now_ms);
                    self.pods.insert(tracked.facts.uid.clone(), tracked);
                }
                fate => refusals.push(Refusal { pod: facts.full_name(), fate }),
            }
        }
        self.gone = self.gone.saturating_add(u32::try_from(before.len()).unwrap_or(u32::MAX));
        if !refusals.is_empty() {
            refusals.sort_by(|one, other| one.pod.cmp(&other.pod));
            self.ended = Some(Ended::Kept(refusals));
        }
    }

    fn answered(&mut self, uid: &str, answer: Answer, now_ms: u64) {
        self.asked.remove(uid);
        if let Answer::Silent(why) = &answer {
            self.silence.clone_from(why);
        } else {
            self.heard_ms = now_ms;
        }
        let Some(pod) = self.pods.get_mut(uid).filter(|pod| pod.state == State::Asked) else { return };
        if let Some(budget) = &pod.budget {
            self.budgets.answered(budget);
        }
        let wait_ms = match answer {
            Answer::Taken => {
                pod.state = State::Ends;
                pod.trouble = Trouble::Ends(now_ms);
                if let Some(budget) = &pod.budget {
                    self.budgets.allows(budget, now_ms);
                }
                return;
            }
            Answer::Gone => {
                self.pods.remove(uid);
                self.gone = self.gone.saturating_add(1);
                return;
            }
            Answer::Budget(which) => {
                let budget = Budgets::name(&pod.facts.namespace, &which);
                self.budgets.refuses(&budget, now_ms);
                pod.budget = Some(budget);
                pod.trouble = Trouble::Budget(which);
                0
            }
            Answer::Refused(why) | Answer::Silent(why) => {
                pod.trouble = Trouble::Refused(why);
                back_off_ms(pod.tries)
            }
        };
        pod.tries = pod.tries.saturating_add(1);
        pod.state = State::Waits { until_ms: now_ms.saturating_add(wait_ms) };
    }

    fn end_if_over(&mut self, now_ms: u64) {
        if self.ended.is_some() {
        } else if self.listed && self.pods.is_empty() {
            self.ended = Some(Ended::Drained(self.gone));
        } else if now_ms >= self.heard_ms.saturating_add(self.rules.silence_ms) || !self.listed && self.is_late(now_ms)
        {
            let why = if self.silence.is_empty() { "no answer".to_owned() } else { self.silence.clone() };
            self.ended = Some(Ended::Silent(why, self.left()));
        } else if self.is_late(now_ms) {
            self.ended = Some(Ended::Late(self.left()));
        }
    }

    fn is_late(&self, now_ms: u64) -> bool {
        now_ms >= self.rules.deadline_ms
    }

    /// From when on the system's pods go whatever the others do.
    fn system_from_ms(&self) -> u64 {
        let whole_ms = self.rules.deadline_ms.saturating_sub(self.begun_ms);
        self.rules.deadline_ms.saturating_sub(whole_ms / SYSTEM_SHARE)
    }

    fn evict(&mut self, now_ms: u64) -> Vec<Action> {
        let others = self.pods.values().any(|pod| !pod.facts.critical);
        let system = !others || now_ms >= self.system_from_ms();
        let room = AT_ONCE.saturating_sub(self.asked.len());
        let left_s = self.rules.deadline_ms.saturating_sub(now_ms) / 1000;
        let rules = self.rules;
        let due = |pod: &&mut Tracked| match pod.state {
            State::Waits { until_ms } => until_ms <= now_ms && (system || !pod.facts.critical),
            State::Asked | State::Ends => false,
        };
        let mut due: Vec<&mut Tracked> = self.pods.values_mut().filter(due).collect();
        // Whoever was refused lets the others pass.
        due.sort_by_key(|pod| (pod.facts.critical, pod.tries));
        let mut actions = Vec::new();
        for pod in due {
            let may = actions.len() < room && pod.budget.as_ref().is_none_or(|budget| self.budgets.ask(budget, now_ms));
            if may {
                self.asked.insert(pod.facts.uid.clone());
                actions.push(pod.ask(&rules, left_s));
            }
        }
        actions
    }
}

impl Tracked {
    /// A pod as it is now, with what was known of it.
    fn seen(before: Option<Self>, facts: PodFacts, now_ms: u64) -> Self {
        let ends = facts.ends;
        let fresh = State::Waits { until_ms: now_ms };
        let mut pod = match before {
            Some(before) => Self { facts, ..before },
            None => Self { facts, budget: None, state: fresh, tries: 0, trouble: Trouble::Untried },
        };
        if ends && pod.state != State::Ends {
            pod.state = State::Ends;
            pod.trouble = Trouble::Ends(now_ms);
        }
        pod
    }

    fn ask(&mut self, rules: &Rules, left_s: u64) -> Action {
        self.state = State::Asked;
        let wanted_s = rules.grace_s.unwrap_or(self.facts.grace_s);
        let most_s = u32::try_from(left_s.saturating_sub(GRACE_RESERVE_S).max(1)).unwrap_or(u32::MAX);
        let given_s = wanted_s.min(most_s);
        Action::Evict {
            namespace: self.facts.namespace.clone(),
            name: self.facts.name.clone(),
            uid: self.facts.uid.clone(),
            grace_s: (rules.grace_s.is_some() || given_s != self.facts.grace_s).then_some(given_s),
        }
    }
}
