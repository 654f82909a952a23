use std::collections::{BTreeMap, BTreeSet};

use super::super::rules::{Rule, Rules};
use super::{Alert, Alerts, Condition, Key, Notice, NoticeKind, Phase, tell};

/// What was seen in one look.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// All that is wrong, or nearly.
    pub conditions: BTreeMap<Key, Condition>,
    /// What could not be looked at: alerts of this rule and subject stay as they are.
    pub blind: BTreeSet<(Rule, String)>,
}

/// The time: the core's milliseconds, and the wall clock's since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Goes on across restarts, never jumps.
    pub ms: u64,
    /// For people.
    pub wall_ms: i64,
}

/// What became of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It fires.
    Fired,
    /// It fires, and is worse than it was.
    Worsened,
    /// It is over.
    Resolved,
}

/// A turn in an alert's life.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Which.
    pub kind: ChangeKind,
    /// The alert as it is now.
    pub alert: Alert,
}

/// What one look has led to. It is written down before anything is told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Alerts that are to be stored.
    pub kept: Vec<Alert>,
    /// Alerts that are to be forgotten.
    pub gone: Vec<Key>,
    /// What has turned.
    pub changes: Vec<Change>,
    /// What is to be told, worst first.
    pub notices: Vec<Notice>,
    /// Silences that are over.
    pub silences_over: Vec<u64>,
}

impl Alerts {
    /// Takes in what was seen.
    pub fn step(&mut self, mut scan: Scan, rules: &Rules, now: Now) -> Outcome {
        let mut outcome = Outcome::default();
        self.silences.retain(|silence| {
            let over = silence.until_unix_ms <= now.wall_ms;
            if over {
                outcome.silences_over.push(silence.id);
            }
            !over
        });
        let before = std::mem::take(&mut self.alerts);
        for (key, old) in before {
            let condition = scan.conditions.remove(&key);
            let blind = condition.is_none() && scan.blind.contains(&(key.rule, key.subject.clone()));
            let mut alert = old.clone();
            if !blind {
                alert.look(condition, rules, now, &mut outcome.changes);
            }
            if alert.is_forgettable(rules, now.ms) {
                outcome.gone.push(key);
                continue;
            }
            self.tell(&mut alert, rules, now, &mut outcome.notices);
            if differs(&old, &alert) {
                outcome.kept.push(alert.clone());
            }
            self.alerts.insert(key, alert);
        }
        for (key, condition) in scan.conditions {
            if condition.reached.raise.is_none() || self.alerts.len() >= Self::MOST {
                continue;
            }
            let mut alert = Alert::new(&condition, now);
            alert.look(Some(condition), rules, now, &mut outcome.changes);
            self.tell(&mut alert, rules, now, &mut outcome.notices);
            outcome.kept.push(alert.clone());
            self.alerts.insert(key, alert);
        }
        outcome.notices.sort_by_key(|notice| (!notice.urgent, std::cmp::Reverse(notice.alert.severity)));
        outcome
    }

    fn tell(&self, alert: &mut Alert, rules: &Rules, now: Now, notices: &mut Vec<Notice>) {
        let silenced = self.is_silenced(alert, now.wall_ms);
        let kind = match alert.phase {
            Phase::Firing if !silenced => tell::due(alert, rules, now.ms),
            // What ends while nobody is to be told is over without a word.
            Phase::Resolved if alert.open => {
                alert.open = false;
                (!silenced && !alert.key.rule.shipped().once).then_some(NoticeKind::Resolved)
            }
            Phase::Pending | Phase::Firing | Phase::Resolved => None,
        };
        let Some(kind) = kind else { return };
        if kind != NoticeKind::Resolved {
            tell::note(alert, rules, now.ms);
        }
        let critical = alert.severity == rackhaven_proto::model::Severity::Critical;
        let urgent = critical || alert.key.rule.shipped().urgent;
        notices.push(Notice { kind, alert: alert.clone(), urgent });
    }
}

impl Alert {
    fn new(condition: &Condition, now: Now) -> Self {
        Self {
            key: condition.key.clone(),
            phase: Phase::Pending,
            severity: condition.reached.raise.unwrap_or(condition.reached.hold),
            value: None,
            text: String::new(),
            node: None,
            labels: BTreeMap::new(),
            pending_ms: now.ms,
            fired_ms: now.ms,
            since_unix_ms: now.wall_ms,
            clear_ms: None,
            ended_unix_ms: None,
            open: false,
            tells: Vec::new(),
            acked: None,
        }
    }

    /// Goes on to the next phase where it is time.
    fn look(&mut self, condition: Option<Condition>, rules: &Rules, now: Now, changes: &mut Vec<Change>) {
        let setting = rules.get(self.key.rule);
        let raise = condition.as_ref().and_then(|condition| condition.reached.raise);
        let hold = condition.as_ref().map(|condition| condition.reached.hold);
        if let Some(condition) = condition.filter(|_| raise.is_some() || self.phase == Phase::Firing) {
            (self.value, self.text) = (condition.value, condition.text);
            (self.node, self.labels) = (condition.node, condition.labels);
        }
        match (self.phase, raise, hold) {
            (Phase::Resolved, Some(_), _) => {
                (self.phase, self.pending_ms, self.since_unix_ms) = (Phase::Pending, now.ms, now.wall_ms);
                (self.ended_unix_ms, self.acked) = (None, None);
            }
            (Phase::Pending, None, _) => self.phase = Phase::Resolved,
            (Phase::Firing, _, None) => {
                let clear_ms = *self.clear_ms.get_or_insert(now.ms);
                if now.ms.saturating_sub(clear_ms) >= setting.resolve_ms {
                    (self.phase, self.ended_unix_ms) = (Phase::Resolved, Some(now.wall_ms));
                    (self.clear_ms, self.acked) = (None, None);
                    changes.push(Change { kind: ChangeKind::Resolved, alert: self.clone() });
                }
            }
            (Phase::Firing, _, Some(hold)) => {
                self.clear_ms = None;
                let severity = raise.filter(|raise| *raise > self.severity).unwrap_or(hold.min(self.severity));
                let worse = severity > self.severity;
                self.severity = severity;
                if worse {
                    changes.push(Change { kind: ChangeKind::Worsened, alert: self.clone() });
                }
            }
            (Phase::Pending, Some(_), _) | (Phase::Resolved, None, _) => {}
        }
        if self.phase == Phase::Pending
            && let Some(raise) = raise
        {
            self.severity = raise;
            if now.ms.saturating_sub(self.pending_ms) >= setting.for_ms {
                (self.phase, self.fired_ms) = (Phase::Firing, now.ms);
                changes.push(Change { kind: ChangeKind::Fired, alert: self.clone() });
            }
        }
    }

    /// Over, told to be so, and long enough ago that it may be told anew.
    fn is_forgettable(&self, rules: &Rules, now_ms: u64) -> bool {
        let kept_ms = rules.repeat_warning_ms.max(rules.repeat_critical_ms);
        let counts = self.tells.iter().any(|tell| now_ms.saturating_sub(tell.at_ms) < kept_ms);
        self.phase == Phase::Resolved && !self.open && !counts
    }
}

/// Whether it must be stored: a value or text that has moved a little need not.
fn differs(old: &Alert, new: &Alert) -> bool {
    let turn = |alert: &Alert| (alert.phase, alert.severity, alert.clear_ms, alert.open, alert.tells.len());
    turn(old) != turn(new) || old.tells.last() != new.tells.last() || old.acked != new.acked
}
