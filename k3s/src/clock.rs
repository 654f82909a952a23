//! The one home of the engine's clocks. Cores take times as arguments.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The wall clock, seconds since 1970-01-01 UTC; 0 before that.
#[expect(clippy::disallowed_methods, reason = "the engine's one wall clock")]
pub fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

/// The clock that does not jump.
#[expect(clippy::disallowed_methods, reason = "the engine's one steady clock")]
pub fn steady() -> Instant {
    Instant::now()
}
