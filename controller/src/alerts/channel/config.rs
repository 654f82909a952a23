use std::collections::BTreeSet;
use std::path::PathBuf;

use lettre::message::Mailbox;
use rackhaven_proto::Invalid;
use rackhaven_proto::model::Severity;
use serde::Deserialize;

use super::quiet::Quiet;
use super::secret::SecretSource;
use super::smtp::{Encryption, Smtp};
use super::url::Url;
use super::web::{Address, WebForm};
use super::{Channel, Form, ntfy};

/// The most channels.
const CHANNELS_MOST: usize = 32;
/// The most recipients of a letter.
const RECIPIENTS_MOST: usize = 20;
/// Where Telegram's Bot API is.
const TELEGRAM: &str = "https://api.telegram.org";

/// One `[[alerts.channel]]` as it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawChannel {
    name: Option<String>,
    kind: Option<String>,
    severities: Option<Vec<String>>,
    quiet: Option<String>,
    quiet_critical: Option<bool>,
    ca_file: Option<String>,
    url: Option<String>,
    url_file: Option<String>,
    token_file: Option<String>,
    secret_file: Option<String>,
    chat: Option<String>,
    server: Option<String>,
    port: Option<u16>,
    tls: Option<String>,
    user: Option<String>,
    password_file: Option<String>,
    from: Option<String>,
    to: Option<Vec<String>>,
}

/// The channels of the configuration.
///
/// # Errors
/// [`Invalid`] with the key that is wrong and the channel's name.
pub fn channels(raw: Vec<RawChannel>) -> Result<Vec<Channel>, Invalid> {
    if raw.len() > CHANNELS_MOST {
        return Err(Invalid::new(
            "alerts.channel",
            format!("{} channels, at most {CHANNELS_MOST} are allowed", raw.len()),
        ));
    }
    let mut channels: Vec<Channel> = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let channel = raw.check(index + 1)?;
        if channels.iter().any(|other| other.name == channel.name) {
            return Err(Invalid::new("alerts.channel", format!("{:?} is the name of two channels", channel.name)));
        }
        channels.push(channel);
    }
    Ok(channels)
}

/// Names the key of one channel in an error.
struct Keys<'a>(&'a str);

impl Keys<'_> {
    fn wrong(&self, key: &str, reason: impl Into<String>) -> Invalid {
        Invalid::new(format!("alerts.channel.{}.{key}", self.0), reason)
    }

    fn needed<T>(&self, key: &str, value: Option<T>) -> Result<T, Invalid> {
        value.ok_or_else(|| self.wrong(key, "is missing"))
    }

    fn secret(&self, key: &str, value: Option<&String>) -> Result<Option<SecretSource>, Invalid> {
        value.map(|text| SecretSource::parse(text).map_err(|reason| self.wrong(key, reason))).transpose()
    }

    fn url(&self, text: &str) -> Result<Url, Invalid> {
        Url::parse(text).map_err(|reason| self.wrong("url", reason))
    }
}

impl RawChannel {
    fn check(self, number: usize) -> Result<Channel, Invalid> {
        let name = self.name.clone().ok_or_else(|| Keys(&number.to_string()).wrong("name", "is missing"))?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 32 || !name.bytes().all(plain) {
            let reason = format!("{name:?} is not 1 to 32 of a to z, 0 to 9 and -");
            return Err(Keys(&number.to_string()).wrong("name", reason));
        }
        let keys = Keys(&name);
        let form = self.form(&keys)?;
        let ca_file = self.ca_file.as_ref().map(PathBuf::from);
        if ca_file.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err(keys.wrong("ca_file", "is not an absolute path"));
        }
        Ok(Channel {
            severities: self.severities(&keys)?,
            quiet: self.quiet(&keys)?,
            name: name.clone(),
            ca_file,
            form,
        })
    }

    fn severities(&self, keys: &Keys<'_>) -> Result<BTreeSet<Severity>, Invalid> {
        let Some(given) = &self.severities else { return Ok([Severity::Warning, Severity::Critical].into()) };
        if given.is_empty() {
            return Err(keys.wrong("severities", "names none: nothing would go out here"));
        }
        given
            .iter()
            .map(|text| text.parse().map_err(|invalid: Invalid| keys.wrong("severities", invalid.reason)))
            .collect()
    }

    fn quiet(&self, keys: &Keys<'_>) -> Result<Option<Quiet>, Invalid> {
        let Some(text) = &self.quiet else {
            return match self.quiet_critical {
                Some(_) => Err(keys.wrong("quiet_critical", "says nothing without quiet")),
                None => Ok(None),
            };
        };
        let mut quiet: Quiet = text.parse().map_err(|reason: String| keys.wrong("quiet", reason))?;
        quiet.critical = self.quiet_critical.unwrap_or(false);
        Ok(Some(quiet))
    }

    fn form(&self, keys: &Keys<'_>) -> Result<Form, Invalid> {
        let kind = keys.needed("kind", self.kind.as_deref())?;
        let takes = |known: &[&str]| self.refuse_others(keys, kind, known);
        match kind {
            "smtp" => {
                takes(&["server", "port", "tls", "user", "password_file", "from", "to"])?;
                Ok(Form::Smtp(Box::new(self.smtp(keys)?)))
            }
            "webhook" => {
                takes(&["url", "url_file", "secret_file"])?;
                let secret = keys.secret("secret_file", self.secret_file.as_ref())?;
                Ok(Form::Web(WebForm::Webhook { address: self.address(keys)?, secret }))
            }
            "ntfy" => {
                takes(&["url", "url_file", "token_file"])?;
                let address = self.address(keys)?;
                if let Address::Shown(url) = &address {
                    ntfy::topic(url).map_err(|reason| keys.wrong("url", reason))?;
                }
                Ok(Form::Web(WebForm::Ntfy { address, token: keys.secret("token_file", self.token_file.as_ref())? }))
            }
            "telegram" => {
                takes(&["url", "token_file", "chat"])?;
                let base = keys.url(self.url.as_deref().unwrap_or(TELEGRAM))?;
                let chat = keys.needed("chat", self.chat.clone())?;
                if chat.is_empty() || chat.len() > 64 || chat.chars().any(|c| c.is_control() || c.is_whitespace()) {
                    return Err(keys.wrong("chat", "is neither a chat's number nor @CHANNEL"));
                }
                let token = keys.secret("token_file", self.token_file.as_ref())?;
                Ok(Form::Web(WebForm::Telegram { base, chat, token: keys.needed("token_file", token)? }))
            }
            "slack" | "discord" => {
                if self.url.is_some() {
                    return Err(
                        keys.wrong("url", "is itself the secret: write it into a file, and name that in url_file")
                    );
                }
                takes(&["url_file"])?;
                let url = keys.needed("url_file", keys.secret("url_file", self.url_file.as_ref())?)?;
                let address = Address::Hidden(url);
                Ok(Form::Web(if kind == "slack" { WebForm::Slack(address) } else { WebForm::Discord(address) }))
            }
            other => {
                let reason = format!("{other:?} is none of smtp, webhook, ntfy, telegram, slack, discord");
                Err(keys.wrong("kind", reason))
            }
        }
    }

    fn address(&self, keys: &Keys<'_>) -> Result<Address, Invalid> {
        match (&self.url, keys.secret("url_file", self.url_file.as_ref())?) {
            (Some(url), None) => Ok(Address::Shown(keys.url(url)?)),
            (None, Some(source)) => Ok(Address::Hidden(source)),
            (None, None) => Err(keys.wrong("url", "is missing")),
            (Some(_), Some(_)) => Err(keys.wrong("url", "is given, and url_file too: one of them")),
        }
    }

    fn smtp(&self, keys: &Keys<'_>) -> Result<Smtp, Invalid> {
        let host = keys.needed("server", self.server.clone())?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
        if host.is_empty() || host.len() > 253 || !host.bytes().all(plain) {
            return Err(keys.wrong("server", format!("{host:?} is neither a host's name nor an address")));
        }
        let (encryption, usual_port) = match self.tls.as_deref().unwrap_or("starttls") {
            "starttls" => (Encryption::StartTls, 587),
            "tls" => (Encryption::Tls, 465),
            "none" => (Encryption::None, 25),
            other => return Err(keys.wrong("tls", format!("{other:?} is none of starttls, tls, none"))),
        };
        let port = self.port.unwrap_or(usual_port);
        if port == 0 {
            return Err(keys.wrong("port", "0 is not a port"));
        }
        let login = match (self.user.clone(), keys.secret("password_file", self.password_file.as_ref())?) {
            (None, None) => None,
            (Some(user), Some(password)) => Some((user, password)),
            (Some(_), None) => return Err(keys.wrong("password_file", "is missing: there is a user")),
            (None, Some(_)) => return Err(keys.wrong("user", "is missing: there is a password_file")),
        };
        let here = ["localhost", "127.0.0.1", "::1"].contains(&host.as_str());
        if login.is_some() && encryption == Encryption::None && !here {
            return Err(keys.wrong("tls", "none would send the password in the clear"));
        }
        let mailbox = |key: &str, text: &String| match text.parse::<Mailbox>() {
            Ok(mailbox) if mailbox.email.to_string().is_ascii() => Ok(mailbox),
            _ => Err(keys.wrong(key, format!("{text:?} is not a mail address"))),
        };
        let from = mailbox("from", &keys.needed("from", self.from.clone())?)?;
        let to = keys.needed("to", self.to.as_ref())?;
        if to.is_empty() || to.len() > RECIPIENTS_MOST {
            return Err(keys.wrong("to", format!("{} recipients are not 1 to {RECIPIENTS_MOST}", to.len())));
        }
        let to = to.iter().map(|text| mailbox("to", text)).collect::<Result<_, _>>()?;
        Ok(Smtp { host, port, encryption, login, from, to })
    }

    /// A key that says nothing for this kind is a mistake that would go unseen.
    fn refuse_others(&self, keys: &Keys<'_>, kind: &str, known: &[&str]) -> Result<(), Invalid> {
        let given = [
            ("url", self.url.is_some()),
            ("url_file", self.url_file.is_some()),
            ("token_file", self.token_file.is_some()),
            ("secret_file", self.secret_file.is_some()),
            ("chat", self.chat.is_some()),
            ("server", self.server.is_some()),
            ("port", self.port.is_some()),
            ("tls", self.tls.is_some()),
            ("user", self.user.is_some()),
            ("password_file", self.password_file.is_some()),
            ("from", self.from.is_some()),
            ("to", self.to.is_some()),
        ];
        match given.iter().find(|(key, is_given)| *is_given && !known.contains(key)) {
            Some((key, _)) => {
                Err(keys.wrong(key, format!("is not a key of kind {kind:?}, which knows {}", known.join(", "))))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
