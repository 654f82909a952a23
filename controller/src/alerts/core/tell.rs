//! What is told of an alert, and how often at most.
//!
//! It is told when it fires, when it gets worse, each time its repeat has passed, and when it is over if it was told
//! before. What comes back within its repeat is told only when it has stood for a while, and a few times at most: a
//! sensor that flaps is told once a repeat.

use rackhaven_proto::model::Severity;

use super::super::rules::Rules;
use super::{Alert, Tell};

/// What comes back within its repeat must stand for so long to be told again, milliseconds.
pub(super) const STEADY_MS: u64 = 60_000;
/// An alert is told to fire at most so many times within its repeat.
pub(super) const MOST_WITHIN_REPEAT: usize = 3;

/// What a message says of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// It fires, or has become worse.
    Firing,
    /// It still does.
    Repeated,
    /// It is over.
    Resolved,
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// What of it.
    pub kind: NoticeKind,
    /// The alert as it is.
    pub alert: Alert,
    /// Must not wait for what else may come.
    pub urgent: bool,
}

/// Whether an alert that fires is to be told now, and as what. `changed_ms`: since when it is as bad as it is.
pub(super) fn due(alert: &Alert, rules: &Rules, now_ms: u64) -> Option<NoticeKind> {
    let repeat_ms = rules.repeat_ms(alert.severity);
    let recent = alert.tells.iter().filter(|tell| now_ms.saturating_sub(tell.at_ms) < repeat_ms);
    let recent: Vec<&Tell> = recent.collect();
    let as_bad = recent.iter().filter(|tell| tell.severity >= alert.severity).count();
    let known = alert.acked.as_ref().is_some_and(|ack| ack.severity >= alert.severity);
    let told: Option<Severity> = alert.tells.last().map(|tell| tell.severity).filter(|_| alert.open);
    let steady = now_ms.saturating_sub(alert.fired_ms) >= STEADY_MS;
    match told {
        _ if known => None,
        // It fires again: not told as such yet.
        None if as_bad == 0 || steady && recent.len() < MOST_WITHIN_REPEAT => Some(NoticeKind::Firing),
        None => None,
        Some(told) if alert.severity > told => (as_bad == 0).then_some(NoticeKind::Firing),
        Some(_) => (recent.is_empty()).then_some(NoticeKind::Repeated),
    }
}

/// Writes down that an alert was told; what does not count any more is forgotten.
pub(super) fn note(alert: &mut Alert, rules: &Rules, now_ms: u64) {
    let kept_ms = rules.repeat_warning_ms.max(rules.repeat_critical_ms);
    alert.tells.retain(|tell| now_ms.saturating_sub(tell.at_ms) < kept_ms);
    alert.tells.push(Tell { at_ms: now_ms, severity: alert.severity });
    alert.open = true;
}
