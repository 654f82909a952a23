//! The controller's NUT facade, run by a story.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use rackhaven_controller::clock::Clock;
use rackhaven_controller::nut::facade::{ClientState, Facade, FacadeConfig, FacadeState, FacadeUser};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::address;

/// A facade at an address of its own, with two users: `monuser`, whose stage is `nas`, and `other`, whose stage is
/// `boards`. Their passwords are `secret` and `otherpw`.
pub struct NutFacade {
    address: SocketAddr,
    state: watch::Sender<FacadeState>,
    facade: Facade,
    folder: TempDir,
}

impl NutFacade {
    /// Serves a UPS that is on mains, to so many connections at most.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(max_clients: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a folder")?;
        let user = |name: &str, password: &str, stage: &str| {
            let password_file = folder.path().join(name);
            std::fs::write(&password_file, password).context("writing a password")?;
            anyhow::Ok(FacadeUser { name: name.to_owned(), password_file, stage: Some(stage.to_owned()) })
        };
        let users = vec![user("monuser", "secret\n", "nas")?, user("other", "otherpw", "boards")?];
        let vars =
            [("ups.status", "OL"), ("ups.model", "Größe 3"), ("battery.charge", "100"), ("battery.runtime", "600")];
        let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let state = watch::Sender::new(FacadeState { vars: Arc::new(vars), ..FacadeState::default() });
        let config = FacadeConfig { ups: "ups".to_owned(), description: "The rack".to_owned(), users, max_clients };
        let address = SocketAddr::new(address::fresh().ip(), 3493);
        let facade = Facade::serve(&[address], config, state.subscribe(), Arc::new(Clock::start()))?;
        Ok(Self { address, state, facade, folder })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The UPS as NUT's tools name it.
    pub fn name(&self) -> String {
        format!("ups@{}", self.address)
    }

    /// A folder for what the story writes.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Changes what it tells.
    pub fn change(&self, change: impl FnOnce(&mut FacadeState)) {
        self.state.send_modify(change);
    }

    /// These stages go down.
    pub fn shut_down(&self, stages: &[&str]) {
        self.change(|state| state.fsd_stages = stages.iter().map(|stage| (*stage).to_owned()).collect());
    }

    /// The clients of a user that are in this state.
    pub fn count(&self, user: &str, state: ClientState) -> usize {
        self.facade.clients().iter().filter(|client| client.user == user && client.state == state).count()
    }

    /// Whether a user's only client was told to shut down and has gone.
    pub fn has_obeyed(&self, user: &str) -> bool {
        let clients = self.facade.clients();
        let mut theirs = clients.iter().filter(|client| client.user == user);
        theirs.next().is_some_and(|client| client.told && client.state != ClientState::LoggedIn)
            && theirs.next().is_none()
    }

    /// Opens a connection of one's own.
    ///
    /// # Errors
    /// When it is not taken.
    pub async fn dial(&self) -> anyhow::Result<RawNutClient> {
        let tcp = TcpStream::connect(self.address).await.context("dialling the facade")?;
        Ok(RawNutClient(BufReader::new(tcp)))
    }
}

/// A client that says what a story wants.
#[derive(Debug)]
pub struct RawNutClient(BufReader<TcpStream>);

impl RawNutClient {
    /// Says something and returns the first line of the answer; empty if the other side has hung up.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn ask(&mut self, line: &str) -> anyhow::Result<String> {
        // Who has hung up hears nothing, and says nothing.
        let _ = self.0.write_all(format!("{line}\n").as_bytes()).await;
        self.hear().await
    }

    /// The next line; empty if the other side has hung up.
    ///
    /// # Errors
    /// When none comes.
    pub async fn hear(&mut self) -> anyhow::Result<String> {
        let mut heard = String::new();
        let reading = tokio::time::timeout(crate::wait::PATIENCE, self.0.read_line(&mut heard));
        let _ = reading.await.context("the facade does not answer")?;
        Ok(heard.trim_end().to_owned())
    }

    /// Logs in.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn login(&mut self, user: &str, password: &str) -> anyhow::Result<()> {
        for line in [format!("USERNAME {user}"), format!("PASSWORD {password}"), "LOGIN ups".to_owned()] {
            let answer = self.ask(&line).await?;
            anyhow::ensure!(answer == "OK", "{answer}");
        }
        Ok(())
    }
}
