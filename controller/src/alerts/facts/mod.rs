//! From snapshots of what the controller knows to what is wrong. Pure.

mod k3s;
mod node;
mod rack;
#[cfg(test)]
mod tests;

pub use k3s::k3s;
pub use node::{forecast, node, sample, used_percent};
pub use rack::{Controller, backups, controller, event, power};

use std::collections::BTreeMap;

use rackhaven_proto::model::Labels;

use super::core::{Condition, Key, Scan};
use super::rules::{Reached, Rule};

/// Labels as alerts keep them.
fn kept_labels(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

impl Scan {
    /// Takes up a condition.
    pub fn add(&mut self, condition: Condition) {
        self.conditions.insert(condition.key.clone(), condition);
    }

    /// A rule could not look at a subject.
    fn blind(&mut self, rule: Rule, subject: &str) {
        self.blind.insert((rule, subject.to_owned()));
    }
}

/// A condition of the rack or the controller.
fn of_rack(rule: Rule, subject: &str, reached: Reached, text: String) -> Condition {
    let key = Key { rule, subject: subject.to_owned(), instance: String::new() };
    Condition { key, reached, value: None, text: plain(&text), node: None, labels: BTreeMap::new() }
}

/// Text of a peer without control characters, and not longer than a line.
fn plain(text: &str) -> String {
    const MOST_CHARS: usize = 300;
    text.chars().filter(|c| !c.is_control()).take(MOST_CHARS).collect()
}
