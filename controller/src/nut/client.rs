use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::line::{Answer, LineError, ListKind, MAX_LINE_BYTES, MAX_LIST_LINES, Password, Request};
use super::{Refusal, TlsMode, UpsConfig, UpsError, tls};
use crate::reach::Host;

/// How long an answer may take, and a whole list.
const ANSWER: Duration = Duration::from_secs(2);
/// How long connecting may take, and the TLS handshake after it.
const CONNECT: Duration = Duration::from_secs(2);
/// Longest file with a password or certificates, bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024;

trait Link: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Link for T {}

/// A connection to a server, for one of its UPSes.
pub struct Connection {
    link: BufReader<Box<dyn Link>>,
    ups: String,
    encrypted: bool,
}

impl Connection {
    /// Connects, encrypts, and says who we are; logs in only if `with_login`, and if the configuration wants it.
    ///
    /// # Errors
    /// [`UpsError`], after some seconds at the latest.
    pub async fn open(config: &UpsConfig, host: &mut Host, with_login: bool) -> Result<Self, UpsError> {
        let tcp = connect(config, host).await?;
        let link: Box<dyn Link> = Box::new(tcp);
        let ups = config.address.ups().to_owned();
        let mut connection = Self { link: BufReader::new(link), ups, encrypted: false };
        if config.tls != TlsMode::Off {
            connection = connection.encrypt(config).await?;
        }
        if let Some(user) = &config.user {
            let file = read_small_file(&user.password_file)?;
            let password = Password::new(file.lines().next().unwrap_or_default());
            connection.done(Request::Username(user.name.clone())).await?;
            connection.done(Request::Password(password)).await?;
            if with_login && user.login {
                connection.done(Request::Login(connection.ups.clone())).await?;
            }
        }
        Ok(connection)
    }

    /// Whether it is encrypted.
    pub fn encrypted(&self) -> bool {
        self.encrypted
    }

    async fn encrypt(mut self, config: &UpsConfig) -> Result<Self, UpsError> {
        match self.done(Request::StartTls).await {
            Ok(()) => {}
            Err(UpsError::Refused(_)) if config.tls == TlsMode::Required => return Err(UpsError::TlsMissing),
            Err(UpsError::Refused(_)) => return Ok(self),
            Err(error) => return Err(error),
        }
        // What came in the clear behind the OK could be anybody's.
        if !self.link.buffer().is_empty() {
            return Err(UpsError::Tls("the server spoke on in the clear".to_owned()));
        }
        let wrong = |error: &dyn std::fmt::Display| UpsError::Tls(plain(error));
        let name = ServerName::try_from(config.address.host().to_owned()).map_err(|error| wrong(&error))?;
        let connector = TlsConnector::from(tls::client_config(config.ca_file.as_deref())?);
        let handshake = tokio::time::timeout(CONNECT, connector.connect(name, self.link.into_inner()));
        let link = handshake.await.map_err(|_| late("the TLS handshake", CONNECT))?.map_err(|error| wrong(&error))?;
        Ok(Self { link: BufReader::new(Box::new(link)), ups: self.ups, encrypted: true })
    }

    /// The UPS's variables.
    ///
    /// # Errors
    /// [`UpsError`], after 2 s at the latest.
    pub async fn vars(&mut self) -> Result<BTreeMap<String, String>, UpsError> {
        let take = |answer| match answer {
            Answer::Var(ups, name, value) => Ok((ups, (name, value))),
            other => Err(other),
        };
        self.list(ListKind::Var(self.ups.clone()), take).await
    }

    /// The names of the UPS's commands.
    ///
    /// # Errors
    /// [`UpsError`], after 2 s at the latest.
    pub async fn commands(&mut self) -> Result<BTreeSet<String>, UpsError> {
        let take = |answer| match answer {
            Answer::Cmd(ups, name) => Ok((ups, name)),
            other => Err(other),
        };
        self.list(ListKind::Cmd(self.ups.clone()), take).await
    }

    /// The names of the UPS's variables that can be set.
    ///
    /// # Errors
    /// [`UpsError`], after 2 s at the latest.
    pub async fn settable(&mut self) -> Result<BTreeSet<String>, UpsError> {
        let take = |answer| match answer {
            Answer::Rw(ups, name, _) => Ok((ups, name)),
            other => Err(other),
        };
        self.list(ListKind::Rw(self.ups.clone()), take).await
    }

    /// Sets a variable.
    ///
    /// # Errors
    /// [`UpsError`], after 2 s at the latest.
    pub async fn set(&mut self, name: &str, value: &str) -> Result<(), UpsError> {
        self.done(Request::SetVar(self.ups.clone(), name.to_owned(), value.to_owned())).await
    }

    /// Gives a command.
    ///
    /// # Errors
    /// [`UpsError`], after 2 s at the latest.
    pub async fn command(&mut self, name: &str) -> Result<(), UpsError> {
        self.done(Request::InstCmd(self.ups.clone(), name.to_owned(), None)).await
    }

    /// Takes leave, as far as the server lets us within 2 s.
    pub async fn close(mut self) {
        let _ = self.done(Request::Logout).await;
    }

    /// Waits for the end of the connection: nothing comes unasked.
    pub async fn ended(&mut self) -> UpsError {
        match self.link.fill_buf().await {
            Ok([]) => UpsError::Lost("the server closed it".to_owned()),
            Ok(_) => UpsError::Lost("the server spoke unasked".to_owned()),
            Err(error) => UpsError::Lost(plain(&error)),
        }
    }

    /// Asks what is answered with OK.
    async fn done(&mut self, request: Request) -> Result<(), UpsError> {
        let asked = request.name();
        let answer = async {
            self.send(&request).await?;
            self.answer(asked).await
        };
        match tokio::time::timeout(ANSWER, answer).await.map_err(|_| late(asked, ANSWER))?? {
            Answer::Ok(_) => Ok(()),
            other => Err(unexpected(asked, &other)),
        }
    }

    async fn list<T, C: Default + Extend<T>>(
        &mut self,
        kind: ListKind,
        take: impl Fn(Answer) -> Result<(String, T), Answer>,
    ) -> Result<C, UpsError> {
        let request = Request::List(kind.clone());
        let asked = request.name();
        let listed = async {
            self.send(&request).await?;
            match self.answer(asked).await? {
                Answer::BeginList(begun) if begun == kind => {}
                other => return Err(unexpected(asked, &other)),
            }
            let mut items = C::default();
            for _ in 0..=MAX_LIST_LINES {
                match self.answer(asked).await? {
                    Answer::EndList(ended) if ended == kind => return Ok(items),
                    other => match take(other) {
                        Ok((ups, item)) if ups == self.ups => items.extend([item]),
                        Ok((ups, _)) => return Err(unexpected(asked, &Answer::Ups(ups, String::new()))),
                        Err(other) => return Err(unexpected(asked, &other)),
                    },
                }
            }
            Err(UpsError::ListTooLong)
        };
        tokio::time::timeout(ANSWER, listed).await.map_err(|_| late(asked, ANSWER))?
    }

    async fn send(&mut self, request: &Request) -> Result<(), UpsError> {
        let line = format!("{request}\n");
        let sent = async {
            self.link.write_all(line.as_bytes()).await?;
            self.link.flush().await
        };
        sent.await.map_err(|error| UpsError::Lost(plain(&error)))
    }

    async fn answer(&mut self, asked: &'static str) -> Result<Answer, UpsError> {
        match Answer::parse(&self.line().await?)? {
            Answer::Err(code, text) => Err(Refusal { asked, code, text }.into()),
            answer => Ok(answer),
        }
    }

    async fn line(&mut self) -> Result<String, UpsError> {
        let mut bytes = Vec::new();
        loop {
            let come = self.link.fill_buf().await.map_err(|error| UpsError::Lost(plain(&error)))?;
            if come.is_empty() {
                return Err(UpsError::Lost("the server closed it".to_owned()));
            }
            let end = come.iter().position(|byte| *byte == b'\n');
            let piece = &come[..end.unwrap_or(come.len())];
            if bytes.len() + piece.len() > MAX_LINE_BYTES {
                return Err(LineError::TooLong.into());
            }
            bytes.extend_from_slice(piece);
            let taken = piece.len() + usize::from(end.is_some());
            self.link.consume(taken);
            if end.is_some() {
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
    }
}

async fn connect(config: &UpsConfig, host: &mut Host) -> Result<TcpStream, UpsError> {
    let failed = |reason| UpsError::Connect {
        address: format!("{} port {}", config.address.host(), config.address.port()),
        reason,
    };
    let addresses = host.addresses(true).await.map_err(|error| failed(error.to_string()))?;
    let connecting = tokio::time::timeout(CONNECT, TcpStream::connect(addresses));
    let tcp = match connecting.await {
        Ok(connected) => connected.map_err(|error| failed(error.to_string()))?,
        Err(_) => return Err(failed(format!("no answer within {} s", CONNECT.as_secs()))),
    };
    tcp.set_nodelay(true).map_err(|error| failed(error.to_string()))?;
    Ok(tcp)
}

/// The text of a file with a password or certificates.
pub(super) fn read_small_file(path: &Path) -> Result<String, UpsError> {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(error) => Err(UpsError::File { path: path.to_owned(), reason: error.to_string() }),
    }
}

fn late(asked: &'static str, patience: Duration) -> UpsError {
    UpsError::Late { asked, seconds: patience.as_secs_f32() }
}

fn unexpected(asked: &'static str, answer: &Answer) -> UpsError {
    UpsError::Unexpected { asked, answer: answer.to_string().chars().take(60).collect() }
}

fn plain(error: &dyn std::fmt::Display) -> String {
    error.to_string().chars().filter(|c| !c.is_control()).collect()
}
