//! The clock by which the agent judges the controller's certificate.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rackhaven_pki::clock::TrustClock;

use crate::host::Clock;

/// No clock is right that is before this build's year: 2026-01-01, seconds since 1970-01-01 UTC.
const EARLIEST_UNIX_S: i64 = 1_767_225_600;

/// The board's clock, with the latest moment that the controller has vouched for.
pub struct BoardTrust {
    clock: Arc<dyn Clock>,
    floor_unix_s: AtomicI64,
    /// What the controller said last in this run, seconds since 1970-01-01 UTC, and when by the monotonic clock,
    /// milliseconds.
    told: Mutex<Option<(i64, u64)>>,
}

impl BoardTrust {
    /// Over the board's clock; `floor_unix_s` is what was kept from earlier runs.
    pub fn new(clock: Arc<dyn Clock>, floor_unix_s: Option<i64>) -> Self {
        let floor = floor_unix_s.unwrap_or(EARLIEST_UNIX_S).max(EARLIEST_UNIX_S);
        Self { clock, floor_unix_s: AtomicI64::new(floor), told: Mutex::default() }
    }

    /// The controller, which was trusted, says that it is so late.
    pub fn vouched(&self, unix_s: i64) {
        self.floor_unix_s.fetch_max(unix_s, Ordering::Relaxed);
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some((unix_s, self.clock.monotonic_ms()));
    }

    /// How late it most likely is, seconds since 1970-01-01 UTC: by the controller's clock since it told, because its
    /// clock is the one that certificates are issued by.
    pub fn likely_unix_s(&self) -> i64 {
        match *self.told.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((unix_s, told_ms)) => {
                unix_s.saturating_add_unsigned(self.clock.monotonic_ms().saturating_sub(told_ms) / 1000)
            }
            None => self.now_unix_s().max(self.floor_unix_s()),
        }
    }
}

impl TrustClock for BoardTrust {
    fn now_unix_s(&self) -> i64 {
        self.clock.wall_unix_ms().div_euclid(1000)
    }

    fn floor_unix_s(&self) -> i64 {
        self.floor_unix_s.load(Ordering::Relaxed)
    }

    fn synchronised(&self) -> bool {
        self.clock.synchronised()
    }
}

impl std::fmt::Debug for BoardTrust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BoardTrust(floor {})", self.floor_unix_s())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{BoardTrust, EARLIEST_UNIX_S};
    use crate::host::Clock;

    struct Wrong {
        unix_s: i64,
    }

    impl Clock for Wrong {
        fn wall_unix_ms(&self) -> i64 {
            self.unix_s * 1000
        }

        fn monotonic_ms(&self) -> u64 {
            7000
        }

        fn synchronised(&self) -> bool {
            false
        }
    }

    #[test]
    fn the_controller_knows_best_how_late_it_is() {
        let (then, ahead) = (EARLIEST_UNIX_S + 1000, EARLIEST_UNIX_S + 9_000_000);
        for (wrong, floor, before) in [(0, None, EARLIEST_UNIX_S), (0, Some(then), then), (ahead, Some(then), ahead)] {
            let trust = BoardTrust::new(Arc::new(Wrong { unix_s: wrong }), floor);
            assert_eq!(trust.likely_unix_s(), before);
            trust.vouched(then);
            assert_eq!(trust.likely_unix_s(), then);
        }
    }
}
