use std::time::Duration;

use super::SendError;
use super::message::clean;

/// The longest wait that a receiver may ask for.
const WAIT_MOST: Duration = Duration::from_secs(3600);
/// So much of a refusal's text is shown, characters.
const SHOWN_CHARS: usize = 160;

/// What a receiver said over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// 200, 429 and so on.
    pub(super) status: u16,
    /// The header of that name.
    pub(super) retry_after: Option<String>,
    /// The beginning of what it wrote, unless it took the message.
    pub(super) text: String,
}

impl Answer {
    /// Whether the message was taken, and else what to do. `hidden` is what must not be shown.
    ///
    /// # Errors
    /// All but 2xx.
    pub(super) fn judge(&self, host: &str, hidden: &[String]) -> Result<(), SendError> {
        let words = match self.status {
            200..=299 => return Ok(()),
            300..=399 => "; redirects are not followed".to_owned(),
            _ if self.text.trim().is_empty() => String::new(),
            _ => format!(": {}", shown(&self.text, hidden)),
        };
        let reason = format!("{host} answered {}{words}", self.status);
        let wait = self.wait();
        Err(match (self.status, wait) {
            (408 | 429 | 500..=599, Some(wait)) => SendError::RetryAfter(wait.min(WAIT_MOST), reason),
            (408 | 429, None) => SendError::Temporary(reason),
            (400..=499, _) => SendError::Permanent(reason),
            _ => SendError::Temporary(reason),
        })
    }

    /// What it asks to wait for, by its header, or in the JSON of Telegram or Discord.
    fn wait(&self) -> Option<Duration> {
        let header = self.retry_after.as_deref().and_then(|text| text.trim().parse::<u64>().ok());
        let json = || {
            let value: serde_json::Value = serde_json::from_str(&self.text).ok()?;
            let seconds = value.pointer("/parameters/retry_after").or_else(|| value.get("retry_after"))?.as_f64()?;
            Duration::try_from_secs_f64(seconds).ok()
        };
        header.map(Duration::from_secs).or_else(json)
    }
}

/// A stranger's text: cleaned, shortened, and without the secrets that it may repeat.
fn shown(text: &str, hidden: &[String]) -> String {
    let mut text = clean(text);
    for secret in hidden.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.as_str(), "…");
    }
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Answer, SendError};

    fn told(status: u16, retry_after: Option<&str>, text: &str) -> Result<(), SendError> {
        let answer = Answer { status, retry_after: retry_after.map(str::to_owned), text: text.to_owned() };
        answer.judge("h", &["sesame".to_owned()])
    }

    #[test]
    fn each_answer() {
        let temporary = |text: &str| Err(SendError::Temporary(text.to_owned()));
        let permanent = |text: &str| Err(SendError::Permanent(text.to_owned()));
        let after = |seconds, text: &str| Err(SendError::RetryAfter(Duration::from_secs(seconds), text.to_owned()));
        for (status, header, text, verdict) in [
            (200, None, "", Ok(())),
            (204, None, "nonsense", Ok(())),
            (301, None, "moved", temporary("h answered 301; redirects are not followed")),
            (400, None, " ", permanent("h answered 400")),
            (401, None, "no sesame\u{1b}[2J here", permanent("h answered 401: no … [2J here")),
            (404, Some("5"), "", permanent("h answered 404")),
            (408, None, "", temporary("h answered 408")),
            (413, Some("5"), "", permanent("h answered 413")),
            (429, None, "", temporary("h answered 429")),
            (429, Some("7"), "", after(7, "h answered 429")),
            (429, Some("999999"), "", after(3600, "h answered 429")),
            (429, Some("-1"), "", temporary("h answered 429")),
            (429, Some("Wed, 21 Oct 2015 07:28:00 GMT"), "", temporary("h answered 429")),
            (
                429,
                None,
                r#"{"parameters":{"retry_after":9}}"#,
                after(9, r#"h answered 429: {"parameters":{"retry_after":9}}"#),
            ),
            (429, None, r#"{"retry_after":2.0}"#, after(2, r#"h answered 429: {"retry_after":2.0}"#)),
            (429, None, r#"{"retry_after":-1}"#, temporary(r#"h answered 429: {"retry_after":-1}"#)),
            (500, None, "", temporary("h answered 500")),
            (503, Some("30"), "", after(30, "h answered 503")),
            (600, None, "", temporary("h answered 600")),
        ] {
            assert_eq!(told(status, header, text), verdict, "{status} {header:?} {text:?}");
        }
    }

    #[test]
    fn long_texts_are_cut() {
        let Err(SendError::Permanent(text)) = told(400, None, &"ä".repeat(5000)) else { panic!() };
        assert_eq!(text.chars().count(), "h answered 400: ".len() + 161);
    }
}
