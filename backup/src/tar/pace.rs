//! Holds reading back to a rate.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::steady;

/// How long a thread sleeps before it looks whether it is to stop.
const NAP: Duration = Duration::from_millis(100);

/// A rate that all threads keep together.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: u64,
    /// Until when the bytes that were read so far should have taken.
    due: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(bytes_per_second: Option<u64>) -> Option<Self> {
        bytes_per_second.map(|rate| Self { bytes_per_second: rate.max(1), due: Mutex::new(steady()) })
    }

    /// So many bytes were read: waits until they should have taken, or until `stop`.
    pub(super) fn spend(&self, bytes: u64, stop: &AtomicBool) {
        let until = {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            *due = (*due).max(steady()) + cost(bytes, self.bytes_per_second);
            *due
        };
        while !stop.load(Ordering::Relaxed) {
            let left = until.saturating_duration_since(steady());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(NAP));
        }
    }
}

fn cost(bytes: u64, bytes_per_second: u64) -> Duration {
    let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_second);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::cost;

    #[test]
    fn bytes_take_their_time() {
        assert_eq!(cost(1_000_000, 4_000_000), Duration::from_millis(250));
        assert_eq!(cost(u64::MAX, 1), Duration::from_nanos(u64::MAX));
    }
}
