//! A webhook's receiver that understands what it is told.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use serde_json::Value;

use crate::receiver::{Identity, Receiver, Reply};
use crate::wait::wait_for;

/// A message as it came.
#[derive(Debug, Clone)]
pub struct Message {
    /// When.
    pub at: Instant,
    /// What it says.
    pub body: Value,
}

/// One alert of a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// The alert's name.
    pub key: String,
    /// `firing`, `repeated`, `resolved`, `test`.
    pub state: String,
}

/// A receiver of webhooks, good or bad. Ends on drop.
pub struct Hook {
    /// Where messages arrive.
    pub receiver: Receiver,
    scheme: &'static str,
}

impl Hook {
    /// One that takes all.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start() -> anyhow::Result<Self> {
        Ok(Self { receiver: Receiver::start(Self::takes(), None).await?, scheme: "http" })
    }

    /// The same at this address; with a certificate over TLS.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub async fn start_at(address: SocketAddr, identity: Option<&Identity>) -> anyhow::Result<Self> {
        let scheme = if identity.is_some() { "https" } else { "http" };
        Ok(Self { receiver: Receiver::start_at(address, Self::takes(), identity).await?, scheme })
    }

    /// What one that is well answers.
    pub fn takes() -> Reply {
        Reply::status(200, "connection: close\r\n", "")
    }

    /// What one that is not answers.
    pub fn refuses() -> Reply {
        Reply::status(503, "connection: close\r\n", "")
    }

    /// The channel to it, as a value of TOML.
    pub fn channel(&self, name: &str) -> String {
        channel(name, &format!("{}://{}/hook", self.scheme, self.receiver.address()), "")
    }

    /// All that it did not refuse.
    pub fn messages(&self) -> Vec<Message> {
        let taken = self.receiver.received().into_iter().filter(|request| !request.refused);
        // What it cannot read is no message of ours, and missed by the story.
        taken.filter_map(|it| Some(Message { at: it.at, body: serde_json::from_str(&it.body).ok()? })).collect()
    }

    /// How many it refused.
    pub fn refusals(&self) -> usize {
        self.receiver.received().iter().filter(|request| request.refused).count()
    }

    /// All that was told, in order; what came twice with the same id counts once.
    pub fn told(&self) -> Vec<Told> {
        let mut seen = BTreeSet::new();
        let fresh = self.messages().into_iter().filter(|message| seen.insert(message.body["id"].to_string()));
        fresh.flat_map(|message| items(&message.body)).collect()
    }

    /// As what one alert was told, in order.
    pub fn states(&self, key: &str) -> Vec<String> {
        self.told().into_iter().filter(|told| told.key == key).map(|told| told.state).collect()
    }

    /// Waits until an alert was told as this.
    ///
    /// # Errors
    /// When it is not.
    pub async fn wait_for(&self, key: &str, state: &str) -> anyhow::Result<Message> {
        let wanted = Told { key: key.to_owned(), state: state.to_owned() };
        wait_for(&format!("{key} to be told as {state}"), async || {
            Ok(self.messages().into_iter().find(|message| items(&message.body).contains(&wanted)))
        })
        .await
    }
}

/// A channel of webhooks, as a value of TOML, with `more` keys.
pub fn channel(name: &str, url: &str, more: &str) -> String {
    format!("{{ name = \"{name}\", kind = \"webhook\", url = \"{url}\"{more} }}")
}

fn items(body: &Value) -> Vec<Told> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let alerts = body["alerts"].as_array().cloned().unwrap_or_default();
    alerts.iter().map(|alert| Told { key: text(&alert["key"]), state: text(&alert["state"]) }).collect()
}
