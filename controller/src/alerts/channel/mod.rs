//! The ways to reach an admin. A channel turns a notification into its own form and hands it to one receiver, once; when
//! and how often is the outbox's business.

mod answer;
/// `[[alerts.channel]]` of the configuration.
pub mod config;
mod dial;
mod discord;
mod error;
mod http;
mod mail;
mod message;
mod notification;
mod ntfy;
mod quiet;
mod secret;
mod slack;
mod smtp;
mod telegram;
#[cfg(test)]
mod testing;
mod url;
mod web;
mod webhook;

pub use error::SendError;
pub use notification::{Item, ItemState, Notification};

pub(super) use self::http::{Call, perform};
pub(crate) use self::secret::SecretSource;
pub(super) use self::url::Url;
pub(super) use self::web::Address;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use rackhaven_pki::clock::SystemClock;
use rackhaven_proto::model::Severity;

use self::quiet::Quiet;
use self::smtp::Smtp;
use self::web::WebForm;

/// What one attempt may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendLimits {
    /// For the whole attempt, from looking up the name to the last byte of the answer.
    pub timeout: Duration,
}

/// A way to reach an admin.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    name: String,
    severities: BTreeSet<Severity>,
    quiet: Option<Quiet>,
    /// Authorities that are believed instead of the system's.
    ca_file: Option<PathBuf>,
    form: Form,
}

/// What the receiver understands.
#[derive(Debug, Clone, PartialEq)]
enum Form {
    Smtp(Box<Smtp>),
    Web(WebForm),
}

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
    pub fn quiet_minutes(&self, severity: Severity, minute_of_day: u16) -> Option<u16> {
        self.quiet.and_then(|quiet| quiet.minutes_left(severity, minute_of_day))
    }

    /// Tries once to hand the notification over.
    ///
    /// # Errors
    /// [`SendError`]: whether and when to try again.
    pub async fn send(&self, notification: &Notification, limits: &SendLimits) -> Result<(), SendError> {
        let ca_file = self.ca_file.as_deref();
        match &self.form {
            Form::Smtp(smtp) => smtp.send(notification, ca_file, limits).await,
            Form::Web(form) => {
                let now_unix_s = SystemClock::unix_ms().div_euclid(1000);
                // A secret that is not there may come: the admin is told, and the message stays.
                let call = form.call(notification, now_unix_s).map_err(SendError::Temporary)?;
                perform(&call, ca_file, limits).await
            }
        }
    }
}
