//! An agent that has not joined a fleet yet waits until it has.

use std::time::Duration;

use anyhow::Context;
use rackhaven_pki::Credentials;
use tokio::signal::unix::{SignalKind, signal};

use crate::service;
use crate::state::{IdentityError, StateFolder, load_identity};

/// How often it is looked whether it has joined.
const LOOK: Duration = Duration::from_millis(500);
/// What is to be done, for whoever looks at the service.
const ADVICE: &str = "not in a fleet: run `ctl node invite` on the master or a laptop (`ctl node rejoin NAME` for a node \
    that was in it), and here the command that it prints";

/// Who this node is.
pub struct Joined {
    /// Its identity.
    pub credentials: Credentials,
    /// Whether that was waited for, and what was read before may have changed.
    pub waited: bool,
}

/// Who this node is, once it has joined; none if the agent is to stop before. A damaged identity is set aside, and as
/// good as none.
///
/// # Errors
/// When the identity cannot be read.
pub async fn until_joined(folder: &StateFolder) -> anyhow::Result<Option<Joined>> {
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
        match load_identity(folder) {
            Ok(credentials) => return Ok(Some(Joined { credentials, waited })),
            Err(IdentityError::Missing(_)) => {}
            Err(error @ IdentityError::Damaged(_)) => tracing::error!("{error}"),
            Err(error) => return Err(error.into()),
        }
        if !waited {
            tracing::warn!("{ADVICE}");
            service::status(ADVICE);
            service::ready();
            waited = true;
        }
        service::feed_watchdog();
    }
}
