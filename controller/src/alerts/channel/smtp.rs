use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use lettre::Message;
use lettre::message::Mailbox;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, AsyncTokioStream, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use rustls::RootCertStore;

use super::dial::{self, Bounded};
use super::secret::{Secret, SecretSource};
use super::{Notification, SendError, SendLimits, mail, message};

/// How the connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encryption {
    /// By STARTTLS; a server that does not offer it gets no letter.
    StartTls,
    /// From the first byte.
    Tls,
    /// Not at all.
    None,
}

/// A mail server, and whom it is to write to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Smtp {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) encryption: Encryption,
    /// The user's name and where the password is.
    pub(super) login: Option<(String, SecretSource)>,
    pub(super) from: Mailbox,
    pub(super) to: Vec<Mailbox>,
}

impl AsyncTokioStream for Bounded {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer())
    }
}

impl Smtp {
    /// Hands the letter to the server.
    ///
    /// # Errors
    /// [`SendError`], which names the server and no secret.
    pub(super) async fn send(
        &self,
        notification: &Notification,
        ca_file: Option<&Path>,
        limits: &SendLimits,
    ) -> Result<(), SendError> {
        let host = &self.host;
        let letter = mail::compose(notification, &self.from, &self.to).map_err(SendError::Permanent)?;
        let password =
            self.login.as_ref().map(|(_, source)| source.read()).transpose().map_err(SendError::Temporary)?;
        let attempt = self.hand_over(&letter, password, ca_file, limits.timeout);
        match tokio::time::timeout(limits.timeout, Box::pin(attempt)).await {
            Ok(done) => done,
            Err(_) => Err(SendError::Temporary(format!("{host}: no answer in {:?}", limits.timeout))),
        }
    }

    async fn hand_over(
        &self,
        letter: &Message,
        password: Option<Secret>,
        ca_file: Option<&Path>,
        timeout: Duration,
    ) -> Result<(), SendError> {
        let temporary = |reason: String| SendError::Temporary(format!("{}: {reason}", self.host));
        let tls = match self.encryption {
            Encryption::Tls => Some(dial::tls(ca_file).await.map_err(temporary)?),
            Encryption::StartTls | Encryption::None => None,
        };
        let wire = dial::connect(&self.host, self.port, tls, timeout).await.map_err(temporary)?;
        let own_name = own_name();
        let mut server = AsyncSmtpConnection::connect_with_transport(Box::new(wire), &own_name)
            .await
            .map_err(|error| self.wrong("greeting", &error))?;
        if self.encryption == Encryption::StartTls {
            if !server.can_starttls() {
                return Err(temporary(
                    "offers no STARTTLS; if it never does, set tls = \"tls\" or \"none\"".to_owned(),
                ));
            }
            let parameters = self.starttls(ca_file).await.map_err(temporary)?;
            server.starttls(parameters, &own_name).await.map_err(|error| self.wrong("STARTTLS", &error))?;
        }
        if let (Some((user, _)), Some(password)) = (&self.login, &password) {
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            // What the server says to it is not repeated: it may hold what it was sent.
            server.auth(&mechanisms, &credentials).await.map_err(|error| self.refused_login(&error))?;
        }
        self.deliver(&mut server, letter).await?;
        // The letter is taken; how the server says goodbye changes nothing.
        let _ = server.quit().await;
        Ok(())
    }

    /// One recipient that the server does not know keeps the others from nothing.
    async fn deliver(&self, server: &mut AsyncSmtpConnection, letter: &Message) -> Result<(), SendError> {
        let envelope = letter.envelope();
        let sender = Mail::new(envelope.from().cloned(), Vec::new());
        server.command(sender).await.map_err(|error| self.wrong("MAIL FROM", &error))?;
        let mut refused = Vec::new();
        for recipient in envelope.to() {
            if let Err(error) = server.command(Rcpt::new(recipient.clone(), Vec::new())).await {
                if !error.is_permanent() {
                    return Err(self.wrong("RCPT TO", &error));
                }
                refused.push((recipient, self.wrong("RCPT TO", &error)));
            }
        }
        if refused.len() == envelope.to().len()
            && let Some((_, error)) = refused.pop()
        {
            return Err(error);
        }
        for (recipient, error) in refused {
            tracing::warn!(server = self.host, %recipient, %error, "the mail server refuses one of the recipients");
        }
        server.command(Data).await.map_err(|error| self.wrong("DATA", &error))?;
        server.message(&letter.formatted()).await.map_err(|error| self.wrong("the letter", &error))?;
        Ok(())
    }

    async fn starttls(&self, ca_file: Option<&Path>) -> Result<TlsParameters, String> {
        let mut builder = TlsParameters::builder(self.host.clone()).certificate_store(CertificateStore::None);
        let wrong = |error: Error| format!("preparing TLS: {error}");
        for authority in dial::authorities(ca_file).await? {
            // The system's store may hold some that rustls cannot read.
            if RootCertStore::empty().add(authority.clone()).is_ok() {
                builder = builder.add_root_certificate(Certificate::from_der(authority.to_vec()).map_err(wrong)?);
            }
        }
        builder.build_rustls().map_err(wrong)
    }

    fn wrong(&self, step: &str, error: &Error) -> SendError {
        Self::judge(error, format!("{}: {step}: {}", self.host, message::clean(&error.to_string())))
    }

    fn refused_login(&self, error: &Error) -> SendError {
        let reason = match error.status() {
            Some(code) => format!("{}: the login was refused ({code})", self.host),
            None if error.is_client() => format!("{}: it knows neither AUTH PLAIN nor AUTH LOGIN", self.host),
            None => format!("{}: the connection broke off at the login", self.host),
        };
        Self::judge(error, reason)
    }

    fn judge(error: &Error, reason: String) -> SendError {
        if error.is_permanent() || error.is_client() {
            SendError::Permanent(reason)
        } else {
            SendError::Temporary(reason)
        }
    }
}

/// What this machine calls itself to the server.
fn own_name() -> ClientId {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let plain = |name: &String| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
    };
    name.filter(plain).map_or_else(ClientId::default, ClientId::Domain)
}
