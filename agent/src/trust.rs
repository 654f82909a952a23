//! The clock by which the agent judges the controller's certificate.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rackhaven_pki::clock::TrustClock;

use crate::host::Clock;

/// No clock is right that is before this build's year: 2026-01-01, seconds since 1970-01-01 UTC.
const EARLIEST_UNIX_S: i64 = 1_767_225_600;

/// The board's clock, with the latest moment that the controller has vouched for.
pub struct BoardTrust {
    clock: Arc<dyn Clock>,
    floor_unix_s: AtomicI64,
}

impl BoardTrust {
    /// Over the board's clock; `floor_unix_s` is what was kept from earlier runs.
    pub fn new(clock: Arc<dyn Clock>, floor_unix_s: Option<i64>) -> Self {
        let floor = floor_unix_s.unwrap_or(EARLIEST_UNIX_S).max(EARLIEST_UNIX_S);
        Self { clock, floor_unix_s: AtomicI64::new(floor) }
    }

    /// The controller, which was trusted, says that it is so late.
    pub fn vouched(&self, unix_s: i64) {
        self.floor_unix_s.fetch_max(unix_s, Ordering::Relaxed);
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
