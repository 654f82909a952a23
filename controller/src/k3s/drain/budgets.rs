//! Who may ask under a budget that has refused: one, and ever more as long as it allows. Many that ask at the same time
//! would be refused at the same time, and then all wait although the budget allows some of them.

use std::collections::BTreeMap;

use super::core::{AT_ONCE, back_off_ms};

/// The budgets that have refused.
#[derive(Debug, Clone, Default)]
pub(super) struct Budgets(BTreeMap<String, Budget>);

#[derive(Debug, Clone)]
struct Budget {
    /// So many may ask at the same time.
    window: usize,
    /// So many do.
    asking: usize,
    /// Refusals since it allowed something last.
    refusals: u32,
    /// Nobody asks before, milliseconds.
    until_ms: u64,
}

impl Budgets {
    /// What to know a budget by, from the words with which it refuses: these have counts behind its name.
    pub(super) fn name(namespace: &str, words: &str) -> String {
        let name = words.split(" needs ").next().unwrap_or(words);
        format!("{namespace}/{name}")
    }

    /// Nobody may ask before, milliseconds.
    pub(super) fn until_ms(&self, budget: &str) -> u64 {
        self.0.get(budget).map_or(0, |budget| budget.until_ms)
    }

    /// Whether one more may ask now; it is counted if so.
    pub(super) fn ask(&mut self, budget: &str, now_ms: u64) -> bool {
        let Some(budget) = self.0.get_mut(budget) else { return true };
        let may = now_ms >= budget.until_ms && budget.asking < budget.window;
        budget.asking += usize::from(may);
        may
    }

    /// One that asked has its answer.
    pub(super) fn answered(&mut self, budget: &str) {
        if let Some(budget) = self.0.get_mut(budget) {
            budget.asking = budget.asking.saturating_sub(1);
        }
    }

    /// It has let one go.
    pub(super) fn allows(&mut self, budget: &str, now_ms: u64) {
        if let Some(budget) = self.0.get_mut(budget) {
            budget.window = (budget.window * 2).min(AT_ONCE);
            (budget.refusals, budget.until_ms) = (0, now_ms);
        }
    }

    /// It has refused one. What was asked before that says nothing new.
    pub(super) fn refuses(&mut self, name: &str, now_ms: u64) {
        let fresh = Budget { window: 1, asking: 0, refusals: 0, until_ms: 0 };
        let budget = self.0.entry(name.to_owned()).or_insert(fresh);
        budget.window = 1;
        if now_ms >= budget.until_ms {
            budget.until_ms = now_ms.saturating_add(back_off_ms(budget.refusals));
            budget.refusals = budget.refusals.saturating_add(1);
        }
    }
}
