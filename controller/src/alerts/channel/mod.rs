//! The ways to reach an admin. A channel turns a notification into its own form and hands it to one receiver, once; when
//! and how often is the outbox's business.

mod error;
mod notification;

pub use error::SendError;
pub use notification::{Item, ItemState, Notification};

use std::collections::BTreeSet;
use std::time::Duration;

use rackhaven_proto::model::Severity;

/// What one attempt may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendLimits {
    /// For the whole attempt, from looking up the name to the last byte of the answer.
    pub timeout: Duration,
}

/// A way to reach an admin.
#[derive(Debug, Clone)]
pub struct Channel {
    name: String,
    severities: BTreeSet<Severity>,
    form: Form,
}

/// What the receiver understands.
#[derive(Debug, Clone)]
enum Form {}

impl Channel {
    /// Its name in the configuration, unique among the channels.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether alerts of this severity go out here.
    pub fn wants(&self, severity: Severity) -> bool {
        self.severities.contains(&severity)
    }

    /// For how many more minutes an alert of this severity is kept back, at this minute of the local day (0 to 1439);
    /// none if it goes out at once.
    pub fn quiet_minutes(&self, _severity: Severity, _minute_of_day: u16) -> Option<u16> {
        match self.form {}
    }

    /// Tries once to hand the notification over.
    ///
    /// # Errors
    /// [`SendError`]: whether and when to try again.
    pub async fn send(&self, _notification: &Notification, _limits: &SendLimits) -> Result<(), SendError> {
        match self.form {}
    }
}
