use super::http::Call;
use super::secret::SecretSource;
use super::url::Url;
use super::{Notification, discord, ntfy, slack, telegram, webhook};

/// A receiver that takes JSON over HTTP.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum WebForm {
    Webhook { address: Address, secret: Option<SecretSource> },
    Ntfy { address: Address, token: Option<SecretSource> },
    Telegram { base: Url, chat: String, token: SecretSource },
    Slack(Address),
    Discord(Address),
}

/// Where a receiver is.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::alerts) enum Address {
    /// It stands in the configuration.
    Shown(Url),
    /// It is a secret itself.
    Hidden(SecretSource),
}

impl Address {
    /// The address, from its file if it is in one.
    ///
    /// # Errors
    /// Why there is none, without a word of it.
    pub(in crate::alerts) fn read(&self) -> Result<Url, String> {
        match self {
            Self::Shown(url) => Ok(url.clone()),
            Self::Hidden(source) => {
                Url::parse(source.read()?.expose()).map_err(|reason| format!("the address in its file {reason}"))
            }
        }
    }
}

impl WebForm {
    /// The request that tells it, with its secrets as they are now.
    ///
    /// # Errors
    /// What is wrong with a secret, without a word of it.
    pub(super) fn call(&self, notification: &Notification, now_unix_s: i64) -> Result<Call, String> {
        let read = |source: &Option<SecretSource>| source.as_ref().map(SecretSource::read).transpose();
        match self {
            Self::Webhook { address, secret } => {
                Ok(webhook::call(notification, address.read()?, read(secret)?, now_unix_s))
            }
            Self::Ntfy { address, token } => ntfy::call(notification, &address.read()?, read(token)?),
            Self::Telegram { base, chat, token } => telegram::call(notification, base, chat, token.read()?),
            Self::Slack(address) => Ok(slack::call(notification, address.read()?)),
            Self::Discord(address) => Ok(discord::call(notification, address.read()?)),
        }
    }
}
