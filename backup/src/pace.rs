//! A limit on how fast is read.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What may be read at once after a pause, as time at the full pace.
const BURST: Duration = Duration::from_millis(250);
/// The longest that anybody is kept waiting before it is looked again whether the run shall stop.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// Lets so many bytes a second through. Shared by threads.
#[derive(Debug)]
pub struct Pace {
    bytes_per_second: Option<u64>,
    /// Until when the bytes that were let through would take.
    taken_until: Mutex<Option<Instant>>,
}

impl Pace {
    /// `None` is no limit.
    pub fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second: bytes_per_second.filter(|pace| *pace > 0), taken_until: Mutex::new(None) }
    }

    /// Waits until so many bytes more may be read, or `stop` says that it does not matter any more.
    pub fn take(&self, bytes: u64, stop: &crate::stop::Stop) {
        let Some(pace) = self.bytes_per_second else { return };
        let mut wait = self.reserve(bytes, pace, crate::clock::steady());
        while !wait.is_zero() && !stop.is_requested() {
            let now = wait.min(LONGEST_WAIT);
            std::thread::sleep(now);
            wait -= now;
        }
    }

    /// Takes them, and says how long whoever took them has to wait.
    fn reserve(&self, bytes: u64, pace: u64, now: Instant) -> Duration {
        let takes = Duration::from_secs_f64(bytes as f64 / pace as f64);
        let mut taken_until = self.taken_until.lock().unwrap_or_else(PoisonError::into_inner);
        let from = taken_until.unwrap_or(now).max(now.checked_sub(BURST).unwrap_or(now));
        let until = from.checked_add(takes).unwrap_or(from);
        *taken_until = Some(until);
        until.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Pace;

    #[test]
    fn so_much_in_so_long() {
        let pace = Pace::new(Some(1000));
        let now = crate::clock::steady();
        assert_eq!(pace.reserve(1000, 1000, now), Duration::from_secs(1));
        assert_eq!(pace.reserve(500, 1000, now), Duration::from_millis(1500));
        assert_eq!(pace.reserve(0, 1000, now + Duration::from_secs(1)), Duration::from_millis(500));
        // What was not used for long is not saved up.
        let later = now + Duration::from_secs(3600);
        assert_eq!(pace.reserve(1000, 1000, later), Duration::from_millis(750));
    }
}
