use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use super::core::{Alert, Alerts, Matcher, Silence};
use crate::store::NewOutboxRow;

/// Asks that wait for the driver.
const QUEUE_LENGTH: usize = 256;

/// Most messages that wait to be told and cannot be stored.
const MOST_UNSTORED: usize = 1000;

/// What somebody asks of the driver. An answer comes when it is on the disk.
#[derive(Debug)]
pub enum Ask {
    /// Do not repeat this alert; by whom. Answered with the alert, or none if nothing of this name fires.
    Acknowledge(String, String, oneshot::Sender<Result<Option<Alert>, String>>),
    /// Tell nothing of what matches; until when, by whom, why. Answered with the silence.
    Silence(Vec<Matcher>, i64, String, String, oneshot::Sender<Result<Silence, String>>),
    /// End a silence, by its number; by whom. Answered with whether there was one.
    Unsilence(u64, String, oneshot::Sender<Result<bool, String>>),
}

/// What can be looked at: as it is on the disk.
pub type Look = Arc<Alerts>;

/// The way to the driver of alerts, and a look at what it knows.
#[derive(Debug)]
pub struct Desk {
    look: ArcSwap<Alerts>,
    asks: mpsc::Sender<Ask>,
    queue: Mutex<Option<mpsc::Receiver<Ask>>>,
    ring: watch::Sender<()>,
    on_battery: AtomicBool,
    failing: std::sync::Mutex<BTreeMap<String, String>>,
    /// What is to be told and could not be stored, oldest first.
    unstored: std::sync::Mutex<Vec<NewOutboxRow>>,
    healthy: watch::Sender<bool>,
    /// The last event that was looked at, as stored.
    pub(super) cursor: Option<u64>,
}

impl Desk {
    /// With what was stored.
    pub fn new(alerts: Alerts, cursor: Option<u64>) -> Self {
        let (asks, queue) = mpsc::channel(QUEUE_LENGTH);
        let (look, queue) = (ArcSwap::from_pointee(alerts), Mutex::new(Some(queue)));
        Self {
            look,
            asks,
            queue,
            ring: watch::Sender::new(()),
            on_battery: AtomicBool::new(false),
            failing: std::sync::Mutex::default(),
            unstored: std::sync::Mutex::default(),
            healthy: watch::Sender::new(true),
            cursor,
        }
    }

    /// What stands now.
    pub fn look(&self) -> Look {
        self.look.load_full()
    }

    /// Asks something of the driver.
    pub async fn ask(&self, ask: Ask) {
        // The driver ends with the controller only.
        let _ = self.asks.send(ask).await;
    }

    /// The asks; taken once.
    pub(super) async fn take_queue(&self) -> Option<mpsc::Receiver<Ask>> {
        self.queue.lock().await.take()
    }

    pub(super) fn publish(&self, alerts: &Alerts) {
        self.look.store(Arc::new(alerts.clone()));
    }

    /// Rung when there is something new to tell, or the supply has changed.
    pub(super) fn rings(&self) -> watch::Receiver<()> {
        self.ring.subscribe()
    }

    pub(super) fn ring(&self) {
        self.ring.send_replace(());
    }

    /// Whether what is decided can be written down.
    pub(crate) fn health(&self) -> watch::Receiver<bool> {
        self.healthy.subscribe()
    }

    pub(super) fn set_healthy(&self, healthy: bool) {
        self.healthy.send_if_modified(|is| std::mem::replace(is, healthy) != healthy);
    }

    /// The channels that do not take their messages, and why.
    pub fn failing_channels(&self) -> BTreeMap<String, String> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A channel does not take its messages, for this reason; or takes them again.
    pub(super) fn set_failing(&self, channel: &str, reason: Option<String>) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match reason {
            Some(reason) => failing.insert(channel.to_owned(), reason),
            None => failing.remove(channel),
        };
    }

    /// Only these channels are left.
    pub(super) fn only_channels(&self, names: &[String]) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.retain(|name, _| names.contains(name));
    }

    fn unstored(&self) -> MutexGuard<'_, Vec<NewOutboxRow>> {
        self.unstored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts back in front what is to be told and could not be stored, or not be told. Beyond the bound the newest go.
    pub(super) fn give_unstored(&self, rows: Vec<NewOutboxRow>) {
        let mut unstored = self.unstored();
        unstored.splice(0..0, rows);
        let dropped = unstored.len().saturating_sub(MOST_UNSTORED);
        if dropped > 0 {
            tracing::error!(dropped, "too many messages wait that cannot be stored: the newest are dropped");
            unstored.truncate(MOST_UNSTORED);
        }
    }

    /// All of that, to be stored.
    pub(super) fn take_all_unstored(&self) -> Vec<NewOutboxRow> {
        std::mem::take(&mut *self.unstored())
    }

    /// Whether there is any of one channel.
    pub(super) fn has_unstored(&self, channel: &str) -> bool {
        self.unstored().iter().any(|row| row.channel == channel)
    }

    /// Takes the oldest of a channel that `may` go, at most so many.
    pub(super) fn take_unstored(
        &self,
        channel: &str,
        most: usize,
        may: impl Fn(&NewOutboxRow) -> bool,
    ) -> Vec<NewOutboxRow> {
        let mut taken = 0;
        let goes = |row: &mut NewOutboxRow| {
            let goes = taken < most && row.channel == channel && may(row);
            taken += usize::from(goes);
            goes
        };
        self.unstored().extract_if(.., goes).collect()
    }

    /// Whether the rack is on battery.
    pub(super) fn on_battery(&self) -> bool {
        self.on_battery.load(Ordering::Relaxed)
    }

    pub(super) fn set_on_battery(&self, on_battery: bool) {
        if self.on_battery.swap(on_battery, Ordering::Relaxed) != on_battery {
            self.ring();
        }
    }
}
