//! A UPS with its battery.

use rackhaven_controller::power::core::supply::{CutDelay, Observation};

use super::dice::Dice;
use super::scenario::UpsPlan;

/// An idle rack still takes so much of the full load, hundredths.
const IDLE_PERCENT: u64 = 30;
/// The battery must be charged so far before an empty UPS feeds its load again, hundredths.
const AGAIN_PERCENT: f64 = 3.0;
/// A cut load stays without power for at least so long, milliseconds.
const CUT_FOR_MS: u64 = 8000;

/// What becomes of the load's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It goes.
    Off,
    /// It comes.
    On,
}

#[derive(Debug)]
pub(super) struct Ups {
    plan: UpsPlan,
    /// What is left, in milliseconds at full load.
    left_ms: f64,
    at_ms: u64,
    mains: bool,
    /// In hundredths of the full load.
    load_percent: u64,
    pub(super) output: bool,
    off_since_ms: u64,
    cut_at_ms: Option<u64>,
    pub(super) forced: bool,
}

impl Ups {
    pub(super) fn new(plan: UpsPlan) -> Self {
        let left_ms = plan.capacity_ms as f64 * plan.begin_percent as f64 / 100.0;
        Self {
            plan,
            left_ms,
            at_ms: 0,
            mains: true,
            load_percent: 100,
            output: true,
            off_since_ms: 0,
            cut_at_ms: None,
            forced: false,
        }
    }

    fn percent(&self) -> f64 {
        self.left_ms * 100.0 / self.plan.capacity_ms as f64
    }

    /// Lets time pass; what became of the output by that.
    pub(super) fn pass(&mut self, now_ms: u64) -> Option<Change> {
        let passed_ms = now_ms.saturating_sub(self.at_ms) as f64;
        self.at_ms = now_ms;
        let capacity_ms = self.plan.capacity_ms as f64;
        if self.mains {
            self.left_ms += passed_ms * capacity_ms / self.plan.charge_ms as f64;
        } else if self.output {
            self.left_ms -= passed_ms * self.load_percent as f64 / 100.0;
        }
        self.left_ms = self.left_ms.clamp(0.0, capacity_ms);
        let cut = self.cut_at_ms.is_some_and(|at_ms| now_ms >= at_ms);
        if cut {
            self.cut_at_ms = None;
        }
        if self.output && (cut || (!self.mains && self.left_ms <= 0.0)) {
            (self.output, self.off_since_ms) = (false, now_ms);
            return Some(Change::Off);
        }
        let rested = now_ms.saturating_sub(self.off_since_ms) >= CUT_FOR_MS;
        if !self.output && self.mains && rested && self.percent() >= AGAIN_PERCENT {
            self.output = true;
            return Some(Change::On);
        }
        None
    }

    pub(super) fn set_mains(&mut self, mains: bool) {
        self.mains = mains;
    }

    /// So many of all hosts take power.
    pub(super) fn set_load(&mut self, on: usize, of: usize) {
        self.load_percent = IDLE_PERCENT + (100 - IDLE_PERCENT) * on as u64 / of.max(1) as u64;
    }

    /// How long the battery would last now, milliseconds.
    pub(super) fn lasts_ms(&self) -> u64 {
        (self.left_ms * 100.0 / self.load_percent as f64) as u64
    }

    /// It is told to cut; whether it takes that.
    pub(super) fn cut(&mut self, now_ms: u64, delay_s: u32) -> bool {
        let Some((fixed_s, settable)) = self.plan.cut.filter(|_| self.plan.cut_works) else { return false };
        let delay_s = if settable { delay_s } else { fixed_s };
        self.cut_at_ms = Some(now_ms + u64::from(delay_s) * 1000);
        true
    }

    pub(super) fn will_cut(&self) -> bool {
        self.cut_at_ms.is_some()
    }

    /// What it says.
    pub(super) fn observation(&self, dice: &mut Dice) -> Observation {
        let low = self.percent() <= self.plan.low_percent as f64
            || (self.plan.false_low > 0 && dice.one_in(self.plan.false_low));
        let told = |truth: u64| self.lasts_ms() * truth / 100;
        Observation {
            on_line: self.mains,
            on_battery: !self.mains,
            low,
            forced: self.forced,
            charge_percent: self.plan.tells_charge.then_some(self.percent() as f32),
            runtime_ms: self.plan.runtime_truth.map(told),
            cut: self.plan.cut.map(|(delay_s, settable)| CutDelay { delay_s: Some(delay_s), settable }),
            ..Observation::default()
        }
    }
}
