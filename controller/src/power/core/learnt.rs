//! How long a node takes down, learnt from its stops and drills.

use serde::{Deserialize, Serialize};

/// So many of the last stops are remembered.
const REMEMBERED: usize = 5;
/// From the power-off's beginning to silence, as long as that was not seen, milliseconds.
const TAIL_MS: u64 = 15_000;

/// What was seen of a node's last stops.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learnt {
    /// From the order to the power-off, milliseconds, newest last.
    steps_ms: Vec<u64>,
    /// From there to silence, milliseconds, newest last.
    tail_ms: Vec<u64>,
}

impl Learnt {
    /// The steps took so long, in a stop or a drill.
    pub fn steps(&mut self, ms: u64) {
        remember(&mut self.steps_ms, ms);
    }

    /// The power-off took so long.
    pub fn tail(&mut self, ms: u64) {
        remember(&mut self.tail_ms, ms);
    }

    /// What to expect: the longest of the last ones; none if nothing was learnt.
    pub fn expected_ms(&self) -> Option<u64> {
        let steps = self.steps_ms.iter().max()?;
        Some(steps.saturating_add(self.tail_ms.iter().max().copied().unwrap_or(TAIL_MS)))
    }
}

fn remember(list: &mut Vec<u64>, ms: u64) {
    list.push(ms);
    list.drain(..list.len().saturating_sub(REMEMBERED));
}

#[cfg(test)]
mod tests {
    use super::Learnt;

    #[test]
    fn the_longest_of_the_last_five_counts() {
        let mut learnt = Learnt::default();
        assert_eq!(learnt.expected_ms(), None);
        learnt.steps(9000);
        assert_eq!(learnt.expected_ms(), Some(24_000));
        learnt.tail(4000);
        assert_eq!(learnt.expected_ms(), Some(13_000));
        (0..5).for_each(|_| learnt.steps(2000));
        assert_eq!(learnt.expected_ms(), Some(6000));
    }
}
