use std::time::Duration;

use thiserror::Error;

/// Why a message did not go out, for the log and for people: without secrets and control characters.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SendError {
    /// May succeed later: no connection, no answer in time, the receiver in trouble.
    #[error("{0}")]
    Temporary(String),
    /// Will not succeed by trying again: the receiver refuses this message or this sender.
    #[error("{0}")]
    Permanent(String),
    /// The receiver asks to wait this long before the next attempt.
    #[error("{1}; to be tried again in {seconds} s", seconds = .0.as_secs())]
    RetryAfter(Duration, String),
}
