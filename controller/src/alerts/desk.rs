use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use super::core::{Alert, Alerts, Matcher, Silence};

/// Asks that wait for the driver.
const QUEUE_LENGTH: usize = 256;

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
    pub(super) fn health(&self) -> watch::Receiver<bool> {
        self.healthy.subscribe()
    }

    pub(super) fn set_healthy(&self, healthy: bool) {
        self.healthy.send_if_modified(|is| std::mem::replace(is, healthy) != healthy);
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
