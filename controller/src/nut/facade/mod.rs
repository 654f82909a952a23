//! A server of NUT's protocol, so that a NAS, `upsmon` or Home Assistant can take the UPS from us. It tells and never
//! obeys: no client can set, command or declare anything.
//!
//! Each user may have a stage. When the stage goes down, the clients that are logged in as that user read `FSD` in the
//! status, which means: shut down now. The others go on reading the status as it is.

mod clients;
mod server;
mod session;
mod state;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rackhaven_pki::SecretHash;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use clients::{ClientState, FacadeClient};
pub use state::FacadeState;

use super::UpsError;
use super::client::read_small_file;
use crate::clock::Clock;

/// What the facade serves, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FacadeConfig {
    /// The name of the UPS; Synology's NASes ask for `ups`.
    pub ups: String,
    /// What it is, for a person.
    pub description: String,
    /// Who may log in.
    pub users: Vec<FacadeUser>,
    /// Most connections at a time.
    pub max_clients: usize,
}

/// A user of the facade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FacadeUser {
    /// Its name; Synology's NASes come as `monuser`.
    pub name: String,
    /// The file whose first line is its password.
    pub password_file: PathBuf,
    /// The stage with which its clients go down; none: with the last, when all do.
    pub stage: Option<String>,
}

/// Why the facade cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum FacadeError {
    /// An address cannot be listened at.
    #[error("listening on {address} for NUT clients: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A user's password cannot be read, or is empty.
    #[error("the password of NUT user {user}: {reason}")]
    Password {
        /// Whose.
        user: String,
        /// Why.
        reason: String,
    },
    /// Two users have the same name.
    #[error("there are two NUT users {0}")]
    Twice(String),
}

/// The running server. Ends when dropped.
pub struct Facade {
    clients: Arc<clients::Clients>,
    _listeners: JoinSet<()>,
}

impl Facade {
    /// Listens at all of the addresses; called on the runtime that serves them.
    ///
    /// # Errors
    /// [`FacadeError`].
    pub fn serve(
        listen: &[SocketAddr],
        config: FacadeConfig,
        state: watch::Receiver<FacadeState>,
        clock: Arc<Clock>,
    ) -> Result<Self, FacadeError> {
        let clients = Arc::new(clients::Clients::new(clock));
        let server = Arc::new(server::Server::new(Book::read(config)?, state, Arc::clone(&clients)));
        let mut listeners = JoinSet::new();
        for address in listen {
            let listener =
                server::bind(*address).map_err(|source| FacadeError::Listen { address: *address, source })?;
            listeners.spawn(Arc::clone(&server).accept(listener));
        }
        Ok(Self { clients, _listeners: listeners })
    }

    /// Who is logged in, and who was and went. One that was told to shut down and went is doing so; one that only broke
    /// off is not thereby off.
    pub fn clients(&self) -> Vec<FacadeClient> {
        self.clients.all()
    }
}

/// The configuration with its passwords.
struct Book {
    ups: String,
    description: String,
    max_clients: usize,
    users: Vec<User>,
}

struct User {
    name: String,
    password: SecretHash,
    stage: Option<String>,
}

impl Book {
    fn read(config: FacadeConfig) -> Result<Self, FacadeError> {
        let mut names = BTreeSet::new();
        let mut users = Vec::new();
        for user in config.users {
            if !names.insert(user.name.clone()) {
                return Err(FacadeError::Twice(user.name));
            }
            let refused = |reason: String| FacadeError::Password { user: user.name.clone(), reason };
            let text = read_small_file(&user.password_file).map_err(|error: UpsError| refused(error.to_string()))?;
            let password = match text.lines().next() {
                None | Some("") => return Err(refused(format!("{} is empty", user.password_file.display()))),
                Some(password) => SecretHash::of(password),
            };
            users.push(User { name: user.name, password, stage: user.stage });
        }
        Ok(Self { ups: config.ups, description: config.description, max_clients: config.max_clients, users })
    }

    /// The user that this name and password belong to.
    fn user(&self, name: &str, password: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name).filter(|user| user.password.matches(password))
    }
}
