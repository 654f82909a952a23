//! A controller without a cluster waits until there is one.

use std::time::Duration;

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use crate::core::Cluster;
use crate::init::{StateFiles, read_cluster};

/// How often it is looked whether there is a cluster.
const LOOK: Duration = Duration::from_millis(500);
/// What is to be done, for whoever looks at the service.
const ADVICE: &str = "no cluster yet: as root, run `rackhaven-controller init`";

/// What these files hold.
pub struct Found {
    /// The cluster.
    pub cluster: Cluster,
    /// Whether it was waited for, and what was read before may have changed.
    pub waited: bool,
}

/// The cluster that these files hold, once they hold one; none if the controller is to stop before.
///
/// # Errors
/// When they cannot be read or are damaged.
pub async fn until_initialised(files: &StateFiles) -> anyhow::Result<Option<Found>> {
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
    // There is nothing to reload yet.
    let _hangup = signal(SignalKind::hangup()).context("waiting for SIGHUP")?;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut waited = false;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(None),
            _ = interrupt.recv() => return Ok(None),
            _ = look.tick() => {}
        }
        if let Some(cluster) = read_cluster(files)? {
            return Ok(Some(Found { cluster, waited }));
        }
        if !waited {
            tracing::warn!("{ADVICE}");
            let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(ADVICE)]);
            waited = true;
        }
        let _ = sd_notify::notify(&[NotifyState::Watchdog]);
    }
}
