//! The dead man's ping: an address outside is asked for again and again while the controller is well. Whoever is there
//! raises the alarm when it stops: the one alert that a dead controller can still give.

use std::path::PathBuf;
use std::time::Duration;

use rackhaven_proto::Invalid;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::channel::{Address, Call, SecretSource, SendError, SendLimits, Url, perform};

/// The most that one ping may take.
const LIMITS: SendLimits = SendLimits { timeout: Duration::from_secs(10) };

/// The `[alerts.deadman]` table as it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawDeadman {
    url: Option<String>,
    url_file: Option<String>,
    every_seconds: Option<u64>,
    ca_file: Option<String>,
}

/// Whom to tell that the controller lives, and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Deadman {
    address: Address,
    ca_file: Option<PathBuf>,
    every: Duration,
}

impl RawDeadman {
    /// Checks it; none if no address is given.
    ///
    /// # Errors
    /// [`Invalid`] with the key that is wrong.
    pub fn check(self) -> Result<Option<Deadman>, Invalid> {
        let wrong = |key: &str, reason: String| Invalid::new(format!("alerts.deadman.{key}"), reason);
        let every_seconds = self.every_seconds.unwrap_or(60);
        if !(10..=86_400).contains(&every_seconds) {
            return Err(wrong("every_seconds", format!("{every_seconds} is not between 10 and 86400")));
        }
        let ca_file = self.ca_file.map(PathBuf::from);
        if ca_file.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err(wrong("ca_file", "is not an absolute path".to_owned()));
        }
        let address = match (self.url, self.url_file) {
            (None, None) if ca_file.is_none() && self.every_seconds.is_none() => return Ok(None),
            (None, None) => return Err(wrong("url", "is missing".to_owned())),
            (Some(_), Some(_)) => return Err(wrong("url", "is given, and url_file too: one of them".to_owned())),
            (Some(url), None) => Address::Shown(Url::parse(&url).map_err(|reason| wrong("url", reason))?),
            (None, Some(file)) => {
                Address::Hidden(SecretSource::parse(&file).map_err(|reason| wrong("url_file", reason))?)
            }
        };
        Ok(Some(Deadman { address, ca_file, every: Duration::from_secs(every_seconds) }))
    }
}

impl Deadman {
    /// Asks for the address once.
    ///
    /// # Errors
    /// [`SendError`], which names the host and no more of the address.
    pub async fn ping(&self) -> Result<(), SendError> {
        let url = self.address.read().map_err(SendError::Temporary)?;
        let call = Call { url, headers: Vec::new(), json: None, secrets: Vec::new() };
        perform(&call, self.ca_file.as_deref(), &LIMITS).await
    }

    /// Pings for ever, beginning at once, except while the controller is not well. Ends when nobody tells any more
    /// whether it is.
    pub async fn keep(self, mut healthy: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            ticks.tick().await;
            if healthy.wait_for(|healthy| *healthy).await.is_err() {
                return;
            }
            let result = self.ping().await;
            match &result {
                Ok(()) if failing => tracing::info!("the dead man's ping arrives again"),
                Err(error) if !failing => tracing::warn!(%error, "the dead man's ping does not arrive"),
                _ => {}
            }
            failing = result.is_err();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RawDeadman;

    fn check(text: &str) -> Result<bool, String> {
        let raw: RawDeadman = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        raw.check().map(|found| found.is_some()).map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn settings() {
        for (text, expected) in [
            ("", Ok(false)),
            ("url = 'https://hc/x'", Ok(true)),
            ("url_file = 'credential:ping'\nevery_seconds = 10", Ok(true)),
            ("every_seconds = 60", Err("alerts.deadman.url: is missing")),
            ("url = 'hc'", Err("alerts.deadman.url: is not https://HOST[:PORT]/PATH")),
            (
                "url = 'https://h'\nevery_seconds = 1",
                Err("alerts.deadman.every_seconds: 1 is not between 10 and 86400"),
            ),
            ("url = 'https://h'\nurl_file = '/u'", Err("alerts.deadman.url: is given, and url_file too: one of them")),
            ("url = 'https://h'\nca_file = 'x'", Err("alerts.deadman.ca_file: is not an absolute path")),
        ] {
            assert_eq!(check(text), expected.map_err(str::to_owned), "{text}");
        }
    }
}
