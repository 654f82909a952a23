//! The controller's one clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use rackhaven_pki::clock::{SystemClock, TrustClock};

/// Wall clock for people and certificates, monotonic clock for everything that is waited for.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    floor_unix_s: AtomicI64,
}

impl Clock {
    /// Begins to count.
    #[expect(clippy::disallowed_methods, reason = "the one home of the controller's clock")]
    pub fn start() -> Self {
        Self { start: Instant::now(), floor_unix_s: AtomicI64::new(0) }
    }

    /// Milliseconds since 1970-01-01 UTC. May jump.
    pub fn wall_ms(&self) -> i64 {
        SystemClock::unix_ms()
    }

    /// Minutes since midnight where this machine is, 0 to 1439.
    pub fn minute_of_day(&self) -> u16 {
        let now = jiff::Timestamp::from_millisecond(self.wall_ms()).unwrap_or_default();
        let local = now.to_zoned(jiff::tz::TimeZone::system());
        u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or(0)
    }

    /// Milliseconds since the controller started. Never jumps.
    pub fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Milliseconds since the host booted. Never jumps, and goes on across restarts of the controller.
    pub fn boot_ms(&self) -> u64 {
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map_or(0, |time| {
            let (seconds, nanos) = (time.tv_sec().unsigned_abs(), time.tv_nsec().unsigned_abs());
            seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000)
        })
    }

    /// Tells of a moment that has certainly passed, milliseconds since 1970-01-01 UTC.
    pub fn has_passed(&self, wall_ms: i64) {
        self.floor_unix_s.fetch_max(wall_ms / 1000, Ordering::Relaxed);
    }
}

impl TrustClock for Clock {
    fn now_unix_s(&self) -> i64 {
        self.wall_ms().div_euclid(1000)
    }

    fn floor_unix_s(&self) -> i64 {
        self.floor_unix_s.load(Ordering::Relaxed)
    }

    fn synchronised(&self) -> bool {
        true
    }
}
