//! Whether the rack is on mains or battery, how long the battery lasts, and when it is time to go.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::power::policy::Policy;

/// What a UPS says at a low battery that tells no runtime: two minutes are what NUT's drivers take it for, milliseconds.
const LOW_BATTERY_RUNTIME_MS: u64 = 120_000;
/// So long into a self-test a low battery is not believed, milliseconds.
const SELF_TEST_MS: u64 = 60_000;

/// What matters of one reading of a UPS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// It says that mains feeds its load (OL, BYPASS).
    pub on_line: bool,
    /// It says that its battery does (OB).
    pub on_battery: bool,
    /// It says that its battery is low (LB).
    pub low: bool,
    /// Its primary forces a shutdown (FSD).
    pub forced: bool,
    /// It calibrates its runtime (CAL): on battery on purpose.
    pub calibrating: bool,
    /// It tests itself.
    pub testing: bool,
    /// Charge, percent.
    pub charge_percent: Option<f32>,
    /// Below this charge it says that it is low, percent.
    pub charge_low_percent: Option<f32>,
    /// What it thinks is left, milliseconds.
    pub runtime_ms: Option<u64>,
    /// How it can cut its load and bring it back.
    pub cut: Option<CutDelay>,
}

/// When a UPS cuts after it was told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutDelay {
    /// As set now, seconds; none if it is not told.
    pub delay_s: Option<u32>,
    /// Whether it can be set.
    pub settable: bool,
}

/// Why nodes are taken down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The UPS's primary forces it.
    Forced,
    /// The UPS says that its battery is low.
    LowBattery,
    /// The charge fell below the level.
    Charge,
    /// What is left is what the shutdown takes.
    Budget,
    /// It has been on battery for too long.
    Time,
    /// No UPS can be read, all witnesses of mains are silent, and the assumed time is over.
    Dark,
    /// Somebody asked.
    Asked {
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forced => f.write_str("the UPS's primary forces a shutdown"),
            Self::LowBattery => f.write_str("the battery is low"),
            Self::Charge => f.write_str("the charge fell below its level"),
            Self::Budget => f.write_str("no more is left than the shutdown takes"),
            Self::Time => f.write_str("the time on battery is over"),
            Self::Dark => f.write_str("the UPS cannot be read, no witness of mains answers, and the time is over"),
            Self::Asked { who, reason } => write!(f, "{who} asked: {reason}"),
        }
    }
}

/// What feeds the load of one UPS, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feed {
    /// Mains, or it is believed to be.
    Mains,
    /// The battery; also while it cannot be read, if that was the last it said.
    Battery,
    /// Cannot be read, and did not say that it is on battery.
    Unknown,
}

/// One UPS over time. Times are the core's milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpsTrack {
    /// What it said last.
    pub last: Option<Observation>,
    /// When it was read last.
    pub read_ms: u64,
    /// What feeds its load.
    pub feed: Feed,
    /// Since when.
    pub feed_since_ms: u64,
    /// Since when it says that its battery is low.
    pub low_since_ms: Option<u64>,
    /// Since when its charge is below the level.
    pub charge_since_ms: Option<u64>,
    /// Since when what is left is too little.
    pub budget_since_ms: Option<u64>,
    /// It forced a shutdown, and has not taken that back.
    pub forced: bool,
    /// That was acted on.
    pub forced_seen: bool,
}

impl UpsTrack {
    /// One of which nothing is known.
    pub fn new(now_ms: u64) -> Self {
        Self {
            last: None,
            read_ms: now_ms,
            feed: Feed::Unknown,
            feed_since_ms: now_ms,
            low_since_ms: None,
            charge_since_ms: None,
            budget_since_ms: None,
            forced: false,
            forced_seen: false,
        }
    }

    /// It was read.
    pub fn read(&mut self, seen: Observation, now_ms: u64) {
        self.forced = seen.forced;
        self.forced_seen &= seen.forced;
        let feed = match seen {
            // A calibration runs on battery on purpose, with mains there.
            Observation { calibrating: true, .. } => Feed::Mains,
            Observation { on_battery: true, .. } => Feed::Battery,
            Observation { on_line: true, .. } => Feed::Mains,
            // It says neither: as good as not read.
            _ => return self.lost(now_ms),
        };
        self.set_feed(feed, now_ms);
        let low = feed == Feed::Battery && seen.low && !self.tests_itself(&seen, now_ms);
        self.low_since_ms = low.then(|| self.low_since_ms.unwrap_or(now_ms));
        self.last = Some(seen);
        self.read_ms = now_ms;
    }

    fn tests_itself(&self, seen: &Observation, now_ms: u64) -> bool {
        seen.testing && now_ms.saturating_sub(self.feed_since_ms) < SELF_TEST_MS
    }

    /// It cannot be read. On battery the clock runs on.
    pub fn lost(&mut self, now_ms: u64) {
        if self.feed != Feed::Battery {
            self.set_feed(Feed::Unknown, now_ms);
        }
    }

    /// Its host was off: what it said is over, but for a force that was acted on and may still stand.
    pub fn forget(&mut self, now_ms: u64) {
        *self = Self { forced: self.forced, forced_seen: self.forced_seen, ..Self::new(now_ms) };
    }

    /// A low battery, a low charge and a short runtime are to be told for some time anew.
    pub fn doubt(&mut self, now_ms: u64) {
        self.low_since_ms = self.low_since_ms.map(|_| now_ms);
        self.charge_since_ms = None;
        self.budget_since_ms = None;
    }

    fn set_feed(&mut self, feed: Feed, now_ms: u64) {
        if self.feed != feed {
            self.feed = feed;
            self.feed_since_ms = now_ms;
            self.low_since_ms = None;
            self.charge_since_ms = None;
            self.budget_since_ms = None;
        }
    }

    /// What is left in its battery, milliseconds, while that feeds its load.
    pub fn runtime_left_ms(&self, policy: &Policy, now_ms: u64) -> Option<u64> {
        if self.feed != Feed::Battery {
            return None;
        }
        let told = self.last.and_then(|seen| seen.runtime_ms).filter(|runtime| *runtime > 0);
        let left = match told {
            Some(runtime) => runtime.saturating_sub(now_ms.saturating_sub(self.read_ms)),
            None => policy.assumed_runtime_ms.saturating_sub(now_ms.saturating_sub(self.feed_since_ms)),
        };
        let low = |since: u64| LOW_BATTERY_RUNTIME_MS.saturating_sub(now_ms.saturating_sub(since));
        Some(match (told, self.low_since_ms) {
            (None, Some(since)) => left.min(low(since)),
            _ => left,
        })
    }

    /// Why it is time to go as far as this UPS is concerned. `need_ms` is what the shutdown takes, with its margin.
    pub fn critical(&mut self, policy: &Policy, need_ms: u64, now_ms: u64) -> Option<Cause> {
        if self.forced && !self.forced_seen {
            return Some(Cause::Forced);
        }
        if self.feed != Feed::Battery {
            return None;
        }
        let held = |since: Option<u64>| since.is_some_and(|since| now_ms.saturating_sub(since) >= policy.hold_ms);
        let charge = self.last.and_then(|seen| seen.charge_percent);
        let charge_low = policy.charge_percent.zip(charge).is_some_and(|(level, charge)| charge <= level);
        let left_ms = self.runtime_left_ms(policy, now_ms).unwrap_or(u64::MAX);
        let short = left_ms <= need_ms;
        self.charge_since_ms = charge_low.then(|| self.charge_since_ms.unwrap_or(now_ms));
        self.budget_since_ms = short.then(|| self.budget_since_ms.unwrap_or(now_ms));
        let told_runtime = self.last.and_then(|seen| seen.runtime_ms).is_some_and(|runtime| runtime > 0);
        let below_its_own =
            self.last.and_then(|seen| seen.charge_low_percent).zip(charge).is_some_and(|(low, charge)| charge <= low);
        let corroborated = charge_low || below_its_own || (told_runtime && short);
        if self.low_since_ms.is_some() && (held(self.low_since_ms) || corroborated) {
            return Some(Cause::LowBattery);
        }
        if held(self.charge_since_ms) {
            return Some(Cause::Charge);
        }
        if held(self.budget_since_ms) {
            return Some(Cause::Budget);
        }
        let over = policy.time_ms.is_some_and(|limit| now_ms.saturating_sub(self.feed_since_ms) >= limit);
        over.then_some(Cause::Time)
    }
}

/// The rack's supply as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RackSupply {
    /// Enough UPSes are fed by mains.
    Mains,
    /// Too few are, by what they say.
    Battery,
    /// No UPS says so, but the witnesses of mains are silent.
    Dark,
    /// Too few can be read to say.
    Unknown,
}

impl RackSupply {
    /// Whether the battery's clock runs.
    pub fn drains(self) -> bool {
        matches!(self, Self::Battery | Self::Dark)
    }
}

/// The supply of the whole rack from its UPSes and whether all witnesses have been silent for long enough.
pub fn rack_supply(upses: &[UpsTrack], minimum: usize, witnesses_silent: bool) -> RackSupply {
    let count = |feed| upses.iter().filter(|ups| ups.feed == feed).count();
    let (mains, battery) = (count(Feed::Mains), count(Feed::Battery));
    if mains >= minimum {
        RackSupply::Mains
    } else if upses.len() - battery < minimum {
        RackSupply::Battery
    } else if witnesses_silent {
        RackSupply::Dark
    } else {
        RackSupply::Unknown
    }
}

#[cfg(test)]
mod tests;
