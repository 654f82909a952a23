//! What may be believed of a clock when a certificate is judged.

use std::fmt::Debug;

/// A clock that says how far it may be trusted.
pub trait TrustClock: Debug + Send + Sync {
    /// The wall clock, seconds since 1970-01-01 UTC.
    fn now_unix_s(&self) -> i64;
    /// A moment that has certainly passed, seconds since 1970-01-01 UTC.
    fn floor_unix_s(&self) -> i64;
    /// Whether the clock is kept right by the network, as far as the kernel knows.
    fn synchronised(&self) -> bool;
}

/// The system's clock, believed as it is.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl SystemClock {
    /// Milliseconds since 1970-01-01 UTC.
    #[expect(clippy::disallowed_methods, reason = "the one home of the wall clock for certificates")]
    pub fn unix_ms() -> i64 {
        match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        }
    }
}

impl TrustClock for SystemClock {
    fn now_unix_s(&self) -> i64 {
        Self::unix_ms().div_euclid(1000)
    }

    fn floor_unix_s(&self) -> i64 {
        0
    }

    fn synchronised(&self) -> bool {
        true
    }
}
