use std::sync::Arc;
use std::time::Duration;

use rackhaven_pki::{hex, random};
use rackhaven_proto::model::Severity;

use super::compose::item;
use super::plan::{MOST_ITEMS, Next, back_off_ms, next};
use crate::alerts::channel::{Channel, Notification, SendError, SendLimits};
use crate::core::Core;
use crate::service::verdict_line;
use crate::store::{AlertTurn, OutboxRow, StoreError};

/// How long one attempt may take, and how long on battery.
const TIMEOUT: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(5));
/// How often an idle channel looks by itself: quiet hours end without a sound.
const IDLE: Duration = Duration::from_secs(30);
/// How long to wait for a store that does not answer.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// So many rows are looked at; more than go into a message, because some may be kept back.
const LOOKED_AT: u32 = 4 * MOST_ITEMS as u32;
/// After so many failures in a row an event tells of it, once.
const TELL_AFTER: u32 = 5;

/// Hands over what waits for one channel, for ever.
pub(super) async fn run(core: Arc<Core>, channel: Channel) {
    let mut failures = 0;
    let mut rings = core.alerts.rings();
    loop {
        rings.mark_unchanged();
        let rows = match core.store.outbox(channel.name().to_owned(), LOOKED_AT).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(%error, channel = channel.name(), "what waits could not be read");
                tokio::time::sleep(STORE_PAUSE).await;
                continue;
            }
        };
        let on_battery = core.alerts.on_battery();
        let group_ms = if on_battery { 0 } else { core.config.load().alerts.rules.group_ms };
        let minute = core.clock.minute_of_day();
        let quiet = |row: &OutboxRow| channel.quiet_minutes(row.new.alert.severity, minute).is_some();
        let (positions, batch) = match next(&rows, group_ms, core.clock.wall_ms(), quiet) {
            Next::Send(positions, batch) => (positions, batch),
            Next::Wait(ms) => {
                let _ = tokio::time::timeout(Duration::from_millis(ms), rings.changed()).await;
                continue;
            }
            Next::Idle => {
                let _ = tokio::time::timeout(IDLE, rings.changed()).await;
                continue;
            }
        };
        let message: Vec<OutboxRow> = rows.into_iter().filter(|row| positions.contains(&row.position)).collect();
        match attempt(&core, &channel, &message, positions, batch, on_battery).await {
            Ok(Ok(())) => failures = 0,
            Ok(Err(wait_ms)) => {
                failures += 1;
                pause(&core, back_off_ms(failures, wait_ms, on_battery), on_battery).await;
            }
            Err(error) => {
                tracing::error!(%error, channel = channel.name(), "what was told could not be noted");
                tokio::time::sleep(STORE_PAUSE).await;
            }
        }
        if failures == TELL_AFTER {
            let message = format!("the channel {} has failed {failures} times in a row", channel.name());
            core.events.observe(&core.clock, None, "alert.channel-fails", Severity::Warning, message).await;
        }
    }
}

/// Waits to try again; when mains fails it is tried at once.
async fn pause(core: &Core, wait_ms: u64, on_battery: bool) {
    let mut rings = core.alerts.rings();
    let falls = async {
        while core.alerts.on_battery() == on_battery {
            if rings.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_millis(wait_ms), falls).await;
}

/// One attempt. What the receiver asked to wait, milliseconds, if it is to be tried again.
async fn attempt(
    core: &Core,
    channel: &Channel,
    rows: &[OutboxRow],
    positions: Vec<u64>,
    batch: Option<String>,
    on_battery: bool,
) -> Result<Result<(), Option<u64>>, StoreError> {
    let id = match batch {
        Some(id) => id,
        None => {
            let random = random::<16>().map_err(|_| StoreError::Closed)?;
            let id = format!("n-{}", hex(&random));
            core.store.bind_outbox(positions.clone(), id.clone()).await?;
            id
        }
    };
    let mut items: Vec<_> = rows.iter().map(item).collect();
    items.sort_by_key(|item| std::cmp::Reverse(item.severity));
    let notification = Notification {
        id,
        cluster: core.cluster.name.clone(),
        items,
        sent_unix_ms: core.clock.wall_ms(),
        status_line: verdict_line(core),
    };
    let limits = SendLimits { timeout: if on_battery { TIMEOUT.1 } else { TIMEOUT.0 } };
    let (kind, message) = match channel.send(&notification, &limits).await {
        Ok(()) => ("sent", String::new()),
        Err(SendError::Permanent(reason)) => {
            let message = format!("the channel {} refused a message: {reason}", channel.name());
            core.events.observe(&core.clock, None, "alert.refused", Severity::Critical, message).await;
            ("refused", reason)
        }
        Err(SendError::Temporary(reason)) => {
            tracing::warn!(channel = channel.name(), reason, "an alert could not be told yet");
            return Ok(Err(None));
        }
        Err(SendError::RetryAfter(wait, reason)) => {
            tracing::warn!(channel = channel.name(), reason, "an alert could not be told yet");
            return Ok(Err(u64::try_from(wait.as_millis()).ok()));
        }
    };
    let turn = |row: &OutboxRow| AlertTurn {
        wall_ms: core.clock.wall_ms(),
        key: row.new.alert.key.to_string(),
        kind: kind.to_owned(),
        severity: row.new.alert.severity,
        who: channel.name().to_owned(),
        message: if message.is_empty() { row.new.kind.clone() } else { message.clone() },
    };
    core.store.leave_outbox(positions, rows.iter().map(turn).collect()).await?;
    Ok(Ok(()))
}
