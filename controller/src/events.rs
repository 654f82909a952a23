//! What happens is stored once, then told to those who follow.

use rackhaven_pki::{hex, random};
use rackhaven_proto::model::{Event, NodeName, Severity};
use tokio::sync::broadcast;

use crate::clock::Clock;
use crate::store::{EventRow, Store, StoreError};

/// Events that a slow follower may be behind before it must read them from the store.
const FEED_LENGTH: usize = 256;

/// The way of every event into the store.
pub struct Events {
    store: Store,
    feed: broadcast::Sender<EventRow>,
}

impl Events {
    /// Over `store`.
    pub fn new(store: Store) -> Self {
        Self { store, feed: broadcast::Sender::new(FEED_LENGTH) }
    }

    /// The events from now on.
    pub fn follow(&self) -> broadcast::Receiver<EventRow> {
        self.feed.subscribe()
    }

    /// Stores a node's own event and tells it, unless it was stored before.
    ///
    /// # Errors
    /// When it could not be stored; the node must then keep it.
    pub async fn record(&self, node: &NodeName, event: Event, clock: &Clock) -> Result<(), StoreError> {
        self.store.store_event(node.to_string(), event, clock.wall_ms(), self.teller()).await
    }

    /// Tells the followers of an event. Called by the store, because only there events have an order: a follower takes
    /// what comes behind a later one for a repetition.
    fn teller(&self) -> impl FnOnce(EventRow) + Send + use<> {
        let feed = self.feed.clone();
        // Nobody may be following.
        move |row| drop(feed.send(row))
    }

    /// Stores what the controller itself has seen, about a node or (none) itself. What cannot be stored is in the log.
    pub async fn observe(
        &self,
        clock: &Clock,
        node: Option<&NodeName>,
        kind: &str,
        severity: Severity,
        message: String,
    ) {
        let about = node.map_or_else(String::new, ToString::to_string);
        match severity {
            Severity::Info => tracing::info!(node = about, kind, "{message}"),
            Severity::Warning | Severity::Critical => tracing::warn!(node = about, kind, "{message}"),
        }
        let id = match random::<16>().map(|bytes| format!("c-{}", hex(&bytes)).parse()) {
            Ok(Ok(id)) => id,
            _ => return tracing::error!(kind, "no randomness for an event's id"),
        };
        let event = Event {
            id,
            kind: kind.to_owned(),
            severity,
            message: message.chars().filter(|c| !c.is_control()).take(Event::MAX_MESSAGE_BYTES / 4).collect(),
            wall_unix_ms: clock.wall_ms(),
            age_ms: None,
        };
        if let Err(error) = self.store.store_event(about, event, clock.wall_ms(), self.teller()).await {
            tracing::error!(kind, %error, "an event could not be stored");
        }
    }
}
