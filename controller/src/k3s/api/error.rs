use std::path::PathBuf;

use serde::Deserialize;
use thiserror::Error;

/// Of a server's words so many characters are passed on.
const MOST_CHARS: usize = 2000;
/// And so many of its causes.
const MOST_CAUSES: usize = 50;

/// Why the API did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ApiError {
    /// The credentials cannot be used.
    #[error("the kubeconfig {}: {reason}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A name that can't be one.
    #[error("{what}: {reason}")]
    Name {
        /// What was asked for.
        what: String,
        /// Why it cannot be asked for.
        reason: String,
    },
    /// No server answered.
    #[error("{what}: {}", tried.join("; "))]
    Unreachable {
        /// What was asked for.
        what: String,
        /// Each server that was tried, and how it failed.
        tried: Vec<String>,
    },
    /// A server answered with a refusal.
    #[error(transparent)]
    Refused(#[from] Box<Refused>),
    /// A server answered with something that cannot be read.
    #[error("{what}: {server} answers with what is not understood: {reason}")]
    Strange {
        /// What was asked for.
        what: String,
        /// The server.
        server: String,
        /// What is wrong with the answer.
        reason: String,
    },
}

/// A refusal, as Kubernetes words it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what}: {message} ({server}: {code}{})", if reason.is_empty() { String::new() } else { format!(" {reason}") })]
pub struct Refused {
    /// What was asked for.
    pub what: String,
    /// The server.
    pub server: String,
    /// The HTTP status.
    pub code: u16,
    /// The reason in a word, such as NotFound; empty if none was given.
    pub reason: String,
    /// The message.
    pub message: String,
    /// Reasons in detail: a word, a message, the field they are about.
    pub causes: Vec<(String, String, String)>,
    /// After so many seconds it may be tried again, as far as the server said.
    pub retry_after_s: Option<u32>,
}

/// As it is on the wire: metav1.Status.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    message: String,
    reason: String,
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    causes: Vec<Cause>,
    retry_after_seconds: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
    field: String,
}

/// A peer's words without what would move the cursor of a terminal; lines stay lines.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || *c == '\n').take(MOST_CHARS).collect()
}

impl Refused {
    /// From the body of a refusal, which may be anything.
    pub(super) fn read(what: &str, server: &str, code: u16, body: &[u8]) -> Self {
        let status: Status = serde_json::from_slice(body).unwrap_or_default();
        let message = match status.message.as_str() {
            "" => plain(&String::from_utf8_lossy(body)).trim().chars().take(200).collect(),
            message => plain(message),
        };
        let details = status.details.unwrap_or_default();
        let cause = |cause: Cause| (plain(&cause.reason), plain(&cause.message), plain(&cause.field));
        Self {
            what: what.to_owned(),
            server: server.to_owned(),
            code,
            reason: plain(&status.reason),
            message: if message.is_empty() { "refused without a word".to_owned() } else { message },
            causes: details.causes.into_iter().take(MOST_CAUSES).map(cause).collect(),
            retry_after_s: (details.retry_after_seconds > 0).then_some(details.retry_after_seconds),
        }
    }
}

impl ApiError {
    fn refused(&self) -> Option<&Refused> {
        if let Self::Refused(refused) = self { Some(refused) } else { None }
    }

    /// The HTTP status of a refusal.
    pub fn code(&self) -> Option<u16> {
        self.refused().map(|refused| refused.code)
    }

    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Whether somebody else has changed the object meanwhile, or holds the field.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// Whether what was watched or listed from is too old: it is to be listed anew.
    pub fn is_expired(&self) -> bool {
        self.code() == Some(410)
    }

    /// Whether a disruption budget is in the way of an eviction.
    pub fn is_budget(&self) -> bool {
        self.refused().is_some_and(|refused| {
            refused.code == 429 && refused.causes.iter().any(|(reason, ..)| reason == "DisruptionBudget")
        })
    }

    /// Whether it may go better later, without anybody's doing.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. }) || matches!(self.code(), Some(429 | 500 | 502..=504))
    }

    /// After so many seconds it may be tried again, as far as the server said.
    pub fn retry_after_s(&self) -> Option<u32> {
        self.refused()?.retry_after_s
    }
}

#[cfg(test)]
mod tests {
    use super::{ApiError, Refused};

    #[test]
    fn refusals_golden() {
        let budget = r#"{"message":"Cannot evict\u001b[2J pod.","reason":"TooManyRequests","details":{"causes":
            [{"reason":"DisruptionBudget","message":"needs 2"}],"retryAfterSeconds":10}}"#;
        for (code, body, shown, is_budget) in [
            (429, budget, "evicting pod a/b: Cannot evict[2J pod. (https://pi:6443: 429 TooManyRequests)", true),
            (429, "", "evicting pod a/b: refused without a word (https://pi:6443: 429)", false),
            (502, "<html>Bad\r\ngateway", "evicting pod a/b: <html>Bad\ngateway (https://pi:6443: 502)", false),
        ] {
            let refused = Refused::read("evicting pod a/b", "https://pi:6443", code, body.as_bytes());
            let error = ApiError::from(Box::new(refused));
            assert_eq!((error.to_string().as_str(), error.is_budget()), (shown, is_budget));
            assert_eq!(error.retry_after_s(), is_budget.then_some(10));
            assert!(error.is_passing());
        }
    }
}
