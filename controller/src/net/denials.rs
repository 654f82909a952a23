use std::num::NonZeroU32;

use governor::clock::DefaultClock;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use crate::store::{AuditEntry, Store};

type Keyed = RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock>;

/// Refusals of one address that go into the audit log at once; further ones at one a second.
const BURST: NonZeroU32 = NonZeroU32::new(50).unwrap();
const PER_SECOND: NonZeroU32 = NonZeroU32::new(1).unwrap();

/// Writes refusals to the audit log, and sees to it that a flood of them does not fill the disk.
pub struct Denials {
    store: Store,
    written: Keyed,
}

impl Denials {
    /// Into `store`.
    pub fn new(store: Store) -> Self {
        Self { store, written: RateLimiter::keyed(Quota::per_second(PER_SECOND).allow_burst(BURST)) }
    }

    /// Writes a refusal, unless the same host has had too many of late; those stand in the log only.
    pub async fn record(&self, host: &str, entry: AuditEntry) {
        let AuditEntry { who, origin, action, outcome, .. } = &entry;
        if self.written.check_key(&host.to_owned()).is_err() {
            tracing::debug!(who, origin, action, outcome, "refused, too often for the audit log");
            return;
        }
        tracing::warn!(who, origin, action, outcome, "refused");
        if let Err(error) = self.store.audit(entry).await {
            tracing::error!(%error, "a refusal could not be written to the audit log");
        }
    }

    /// Forgets hosts that have been quiet.
    pub fn sweep(&self) {
        self.written.retain_recent();
        self.written.shrink_to_fit();
    }
}
