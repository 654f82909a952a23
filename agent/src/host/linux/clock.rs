use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::host::{Clock, sys};

/// The kernel's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinuxClock;

impl Clock for LinuxClock {
    fn wall_unix_ms(&self) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "this is the agent's one wall clock")]
        let now = SystemTime::now();
        match now.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        }
    }

    fn monotonic_ms(&self) -> u64 {
        // Not `Instant`, which stands still while the board is suspended: a plan's deadline must not.
        nanoseconds(ClockId::CLOCK_BOOTTIME).map_or(0, |since_boot| since_boot / 1_000_000)
    }

    fn synchronised(&self) -> bool {
        sys::clock_state().is_ok_and(|state| !state.in_error && !state.unsynchronised)
    }
}

/// Reads a clock that is never negative. It can't fail but for a kernel that lacks the clock.
pub(super) fn nanoseconds(clock: ClockId) -> Option<u64> {
    let time = clock_gettime(clock).ok()?;
    u64::try_from(time.tv_sec()).ok()?.checked_mul(1_000_000_000)?.checked_add(u64::try_from(time.tv_nsec()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::LinuxClock;
    use crate::host::Clock;

    #[test]
    fn the_clocks_run() {
        let clock = LinuxClock;
        assert!(clock.wall_unix_ms() > 0);
        let before = clock.monotonic_ms();
        assert!(before > 0 && clock.monotonic_ms() >= before);
        clock.synchronised();
    }
}
