use tokio::time::Instant;

/// Now, by a clock that never jumps.
#[expect(clippy::disallowed_methods, reason = "the one home of ctl's monotonic clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
