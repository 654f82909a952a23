//! The core of alerts. Pure: what was seen, how the rules are and what time it is come in; what stands, what has changed
//! and what is to be told goes out.
//!
//! An alert is pending until its condition has stood for the rule's time, then it fires; it is over when the condition
//! has been gone for the rule's other time. What is said of it is bounded by `tell`.

#[cfg(test)]
mod golden;
mod judge;
#[cfg(test)]
mod properties;
mod silence;
mod state;
mod tell;

pub use judge::{Change, ChangeKind, Now, Outcome, Scan};
pub use silence::{Matcher, Silence};
pub use state::{Ack, Alert, Condition, Key, Phase, Tell};
pub use tell::{Notice, NoticeKind};

use std::collections::BTreeMap;

/// All alerts and silences.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alerts {
    alerts: BTreeMap<Key, Alert>,
    silences: Vec<Silence>,
}

impl Alerts {
    /// Most alerts that are kept; what comes beyond is not looked at until there is room.
    pub const MOST: usize = 20_000;
    /// Most silences at a time.
    pub const MOST_SILENCES: usize = 1000;

    /// With what was stored. A moment of the core's clock that is still to come is taken for now.
    pub fn load(alerts: Vec<Alert>, silences: Vec<Silence>, now_ms: u64) -> Self {
        let tamed = alerts.into_iter().map(|mut alert| {
            alert.pending_ms = alert.pending_ms.min(now_ms);
            alert.fired_ms = alert.fired_ms.min(now_ms);
            alert.clear_ms = alert.clear_ms.map(|clear| clear.min(now_ms));
            alert.tells.iter_mut().for_each(|tell| tell.at_ms = tell.at_ms.min(now_ms));
            (alert.key.clone(), alert)
        });
        Self { alerts: tamed.collect(), silences }
    }

    /// All that is known, by key.
    pub fn all(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values()
    }

    /// What fires, worst first, then the oldest first.
    pub fn firing(&self) -> Vec<&Alert> {
        let mut firing: Vec<_> = self.alerts.values().filter(|alert| alert.phase == Phase::Firing).collect();
        firing.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.since_unix_ms));
        firing
    }

    /// The silences, in the order they were made.
    pub fn silences(&self) -> &[Silence] {
        &self.silences
    }

    /// Whether nothing is told of an alert now.
    pub fn is_silenced(&self, alert: &Alert, wall_ms: i64) -> bool {
        self.silences.iter().any(|silence| silence.until_unix_ms > wall_ms && silence.matches(alert))
    }

    /// Somebody knows of what fires: it is not repeated. None if nothing of this name fires.
    pub fn acknowledge(&mut self, key: &str, by: &str, wall_ms: i64) -> Option<Alert> {
        let alert = self.alerts.values_mut().find(|alert| alert.key.to_string() == key)?;
        if alert.phase != Phase::Firing {
            return None;
        }
        alert.acked = Some(Ack { by: by.to_owned(), severity: alert.severity, unix_ms: wall_ms });
        Some(alert.clone())
    }

    /// Takes up a silence; false if there are too many.
    pub fn silence(&mut self, silence: Silence) -> bool {
        let room = self.silences.len() < Self::MOST_SILENCES;
        if room {
            self.silences.push(silence);
        }
        room
    }

    /// Ends a silence; false if there is none of this number.
    pub fn unsilence(&mut self, id: u64) -> bool {
        let before = self.silences.len();
        self.silences.retain(|silence| silence.id != id);
        self.silences.len() < before
    }
}
