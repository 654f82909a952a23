use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rackhaven_pki::{hex, random};
use rackhaven_proto::model::Severity;
use tokio::time::timeout;

use super::compose::item;
use super::plan::{MOST_ITEMS, Next, back_off_ms, next};
use crate::alerts::channel::{Channel, Notification, SendError, SendLimits};
use crate::core::Core;
use crate::service::verdict_line;
use crate::store::{AlertTurn, NewOutboxRow, OutboxRow, StoreError};

/// How long one attempt may take, and how long on battery.
const TIMEOUT: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(5));
/// How often an idle channel looks by itself: quiet hours end without a sound.
const IDLE: Duration = Duration::from_secs(30);
/// How long to wait for a store that does not answer.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// So many rows are looked at; more than go into a message, because some may be kept back.
const LOOKED_AT: u32 = 4 * MOST_ITEMS as u32;
/// After so many failures in a row a channel counts as failing.
const FAILING_AFTER: u32 = 5;

/// Hands over what waits for one channel, for ever.
pub(super) async fn run(core: Arc<Core>, channel: Channel) {
    Courier { core, channel, failures: 0, done: Vec::new() }.run().await;
}

/// Carries the messages of one channel.
struct Courier {
    core: Arc<Core>,
    channel: Channel,
    /// In a row.
    failures: u32,
    /// What was handed over and is still in the store, which could not be written: it is not handed over again.
    done: Vec<Done>,
}

/// Rows that were handed over, by their positions, and what the record says of it.
struct Done {
    positions: Vec<u64>,
    turns: Vec<AlertTurn>,
}

impl Courier {
    async fn run(mut self) {
        let mut rings = self.core.alerts.rings();
        loop {
            rings.mark_unchanged();
            self.settle().await;
            let on_battery = self.core.alerts.on_battery();
            let (rows, readable) = match self.waiting().await {
                Ok(rows) => (rows, true),
                Err(error) => {
                    tracing::error!(%error, channel = self.channel.name(), "what waits could not be read");
                    (Vec::new(), false)
                }
            };
            let minute = self.core.clock.minute_of_day();
            let quiet = |row: &NewOutboxRow| self.channel.quiet_minutes(row.alert.severity, minute).is_some();
            let group_ms = if on_battery { 0 } else { self.core.config.load().alerts.rules.group_ms };
            match next(&rows, group_ms, self.core.clock.wall_ms(), |row| quiet(&row.new)) {
                Next::Send(positions, batch) => {
                    let message = rows.into_iter().filter(|row| positions.contains(&row.position)).collect();
                    self.carry_stored(message, positions, batch, on_battery).await;
                }
                // A full disk must not keep anything from being told.
                Next::Wait(_) | Next::Idle if self.core.alerts.has_unstored(self.channel.name()) => {
                    let unstored = self.core.alerts.take_unstored(self.channel.name(), MOST_ITEMS, |row| !quiet(row));
                    if unstored.is_empty() {
                        let _ = timeout(STORE_PAUSE, rings.changed()).await;
                    } else {
                        self.carry_unstored(unstored, on_battery).await;
                    }
                }
                Next::Wait(ms) => drop(timeout(Duration::from_millis(ms), rings.changed()).await),
                Next::Idle => {
                    let pause = if readable && self.done.is_empty() { IDLE } else { STORE_PAUSE };
                    let _ = timeout(pause, rings.changed()).await;
                }
            }
        }
    }

    /// What waits in the store, oldest first, without what was handed over.
    async fn waiting(&self) -> Result<Vec<OutboxRow>, StoreError> {
        let done: HashSet<u64> = self.done.iter().flat_map(|done| done.positions.iter().copied()).collect();
        let limit = LOOKED_AT.saturating_add(u32::try_from(done.len()).unwrap_or(u32::MAX));
        let mut rows = self.core.store.outbox(self.channel.name().to_owned(), limit).await?;
        rows.retain(|row| !done.contains(&row.position));
        Ok(rows)
    }

    /// Takes out of the store what was handed over.
    async fn settle(&mut self) {
        while let Some(Done { positions, turns }) = self.done.first() {
            if let Err(error) = self.core.store.leave_outbox(positions.clone(), turns.clone()).await {
                tracing::error!(%error, channel = self.channel.name(), "what was told could not be noted");
                return;
            }
            self.done.remove(0);
        }
    }

    /// Hands over rows of the store as one message, under the name it was tried with before, if it was.
    async fn carry_stored(
        &mut self,
        rows: Vec<OutboxRow>,
        positions: Vec<u64>,
        batch: Option<String>,
        on_battery: bool,
    ) {
        let id = match batch {
            Some(id) => id,
            None => {
                let Some(id) = new_id() else { return tokio::time::sleep(STORE_PAUSE).await };
                if let Err(error) = self.core.store.bind_outbox(positions.clone(), id.clone()).await {
                    tracing::error!(%error, channel = self.channel.name(), "a message's id could not be noted");
                }
                id
            }
        };
        let rows: Vec<NewOutboxRow> = rows.into_iter().map(|row| row.new).collect();
        match self.attempt(id, &rows, on_battery).await {
            Ok(turns) => self.done.push(Done { positions, turns }),
            Err(wait_ms) => pause(&self.core, wait_ms, on_battery).await,
        }
    }

    /// Hands over what could not be stored.
    async fn carry_unstored(&mut self, rows: Vec<NewOutboxRow>, on_battery: bool) {
        let Some(id) = new_id() else { return self.core.alerts.give_unstored(rows) };
        if let Err(wait_ms) = self.attempt(id, &rows, on_battery).await {
            // Before the wait: there may be room for it on the disk meanwhile.
            self.core.alerts.give_unstored(rows);
            pause(&self.core, wait_ms, on_battery).await;
        }
    }

    /// One attempt: the turns for the record if nothing is left to be done, or how long to wait for another, milliseconds.
    async fn attempt(&mut self, id: String, rows: &[NewOutboxRow], on_battery: bool) -> Result<Vec<AlertTurn>, u64> {
        let core = &self.core;
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
        let name = self.channel.name();
        let (kind, message) = match self.channel.send(&notification, &limits).await {
            Ok(()) => {
                core.alerts.set_failing(name, None);
                ("sent", String::new())
            }
            Err(SendError::Permanent(reason)) => {
                let message = format!("the channel {name} refused a message: {reason}");
                core.events.observe(&core.clock, None, "alert.refused", Severity::Critical, message).await;
                // As a token that has ended does it: what is lost here must be heard elsewhere.
                core.alerts.set_failing(name, Some(reason.clone()));
                ("refused", reason)
            }
            Err(SendError::Temporary(reason)) => {
                return Err(self.failed(reason, None, on_battery));
            }
            Err(SendError::RetryAfter(wait, reason)) => {
                return Err(self.failed(reason, u64::try_from(wait.as_millis()).ok(), on_battery));
            }
        };
        let turn = |row: &NewOutboxRow| AlertTurn {
            wall_ms: core.clock.wall_ms(),
            key: row.alert.key.to_string(),
            kind: kind.to_owned(),
            severity: row.alert.severity,
            who: name.to_owned(),
            message: if message.is_empty() { row.kind.clone() } else { message.clone() },
        };
        let turns = rows.iter().map(turn).collect();
        self.failures = 0;
        Ok(turns)
    }

    /// It was not taken yet: how long to wait, which is as long as the receiver asked for if it did, milliseconds.
    fn failed(&mut self, reason: String, asked_ms: Option<u64>, on_battery: bool) -> u64 {
        tracing::warn!(channel = self.channel.name(), reason, "an alert could not be told yet");
        self.failures += 1;
        if self.failures >= FAILING_AFTER {
            self.core.alerts.set_failing(self.channel.name(), Some(reason));
        }
        back_off_ms(self.failures, asked_ms, on_battery)
    }
}

/// A message's id; none if the system has no randomness to give.
fn new_id() -> Option<String> {
    random::<16>().ok().map(|random| format!("n-{}", hex(&random)))
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
    let _ = timeout(Duration::from_millis(wait_ms), falls).await;
}
