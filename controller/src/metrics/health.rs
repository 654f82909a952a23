use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::core::Core;

/// How long the store may take to answer.
pub(super) const STORE_PATIENCE: Duration = Duration::from_secs(2);
/// Nodes are looked at several times a second: after so long without a look it does not happen any more, milliseconds.
const SWEEP_LIMIT_MS: u64 = 5_000;

/// What tells whether the controller does its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vitals {
    /// Why the store did not answer.
    pub(super) store: Option<String>,
    /// Since liveness was last looked at, milliseconds.
    pub(super) sweep_age_ms: u64,
    /// The state of power could not be written down.
    pub(super) power_unsaved: bool,
    /// What was decided of alerts could not be written down.
    pub(super) alerts_unsaved: bool,
}

impl Vitals {
    /// Takes them.
    pub(super) async fn take(core: &Core) -> Self {
        let store = match tokio::time::timeout(STORE_PATIENCE, core.store.outbox_lengths()).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer in {} s", STORE_PATIENCE.as_secs())),
        };
        Self {
            store,
            sweep_age_ms: core.clock.monotonic_ms().saturating_sub(core.swept_ms.load(Ordering::Relaxed)),
            power_unsaved: core.power.look(|shared| shared.unsaved),
            alerts_unsaved: !*core.alerts.health().borrow(),
        }
    }

    /// What is wrong, for a person; nothing if all is well.
    pub(super) fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        complaints.extend(self.store.as_ref().map(|reason| format!("the store: {reason}")));
        if self.sweep_age_ms > SWEEP_LIMIT_MS {
            complaints.push(format!("nodes were not looked at for {} s", self.sweep_age_ms / 1000));
        }
        if self.power_unsaved {
            complaints.push("the state of power cannot be written down".to_owned());
        }
        if self.alerts_unsaved {
            complaints.push("alerts cannot be written down".to_owned());
        }
        complaints
    }
}

#[cfg(test)]
mod tests {
    use super::Vitals;

    #[test]
    fn golden() {
        let well = Vitals { store: None, sweep_age_ms: 5_000, power_unsaved: false, alerts_unsaved: false };
        assert!(well.complaints().is_empty());
        let ill = Vitals {
            store: Some("no answer in 2 s".to_owned()),
            sweep_age_ms: 5_999,
            power_unsaved: true,
            alerts_unsaved: true,
        };
        assert_eq!(
            ill.complaints(),
            [
                "the store: no answer in 2 s",
                "nodes were not looked at for 5 s",
                "the state of power cannot be written down",
                "alerts cannot be written down",
            ]
        );
    }
}
