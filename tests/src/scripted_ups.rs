//! A NUT server that is what a story says, at once. `dummy-ups` shows a change after up to a second and cannot cut its
//! load; where that matters, this one stands for a UPS. All else is told by the real server of [`crate::Ups`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::address;
use crate::rack::now;

/// The variable that a UPS's cut goes by.
const DELAY: &str = "ups.delay.shutdown";

/// A server with one UPS, `ups`, that can cut its load and bring it back. Ends when dropped.
#[derive(Debug)]
pub struct ScriptedUps {
    address: SocketAddr,
    password_file: PathBuf,
    script: Arc<Mutex<Script>>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Script {
    vars: BTreeMap<String, String>,
    can_cut: bool,
    told: Vec<String>,
    cut: Option<Cut>,
}

/// A cut that was ordered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    /// When.
    pub(crate) at: Instant,
    /// Between the order and the cut, seconds.
    pub(crate) delay_s: u64,
}

impl ScriptedUps {
    /// One on mains and full, that tells no runtime; what its user needs is written into `folder`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let address = SocketAddr::new(address::fresh().ip(), 3493);
        let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
        let vars = [("ups.status", "OL"), ("ups.model", "Story 2000"), ("battery.charge", "100"), (DELAY, "20")];
        let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let script = Arc::new(Mutex::new(Script { vars, can_cut: true, told: Vec::new(), cut: None }));
        let password_file = folder.join("ups.password");
        std::fs::write(&password_file, "rackpw\n").context("writing a password")?;
        let task = tokio::spawn(accept(listener, Arc::clone(&script)));
        Ok(Self { address, password_file, script, task })
    }

    /// The entry of the controller's list of UPSes.
    pub fn entry(&self) -> String {
        let password_file = self.password_file.display();
        format!("{{ name = \"ups@{}\", user = \"rackhaven\", password_file = \"{password_file}\" }}", self.address)
    }

    /// Changes variables.
    pub fn set(&self, vars: &[(&str, &str)]) {
        self.script().vars.extend(vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    }

    /// Changes the status.
    pub fn status(&self, words: &str) {
        self.set(&[("ups.status", words)]);
    }

    /// Whether it has a command to cut its load.
    pub fn can_cut(&self, can_cut: bool) {
        self.script().can_cut = can_cut;
    }

    /// The lines by which it was told something, such as `INSTCMD ups shutdown.return`.
    pub fn told(&self) -> Vec<String> {
        self.script().told.clone()
    }

    /// Whether mains feeds it.
    pub(crate) fn on_line(&self) -> bool {
        self.script().vars.get("ups.status").is_some_and(|status| status.split(' ').any(|word| word == "OL"))
    }

    /// The cut that is ordered.
    pub(crate) fn ordered_cut(&self) -> Option<Cut> {
        self.script().cut
    }

    /// It has cut.
    pub(crate) fn has_cut(&self) {
        self.script().cut = None;
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ScriptedUps {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, script: Arc<Mutex<Script>>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(serve(client, Arc::clone(&script)));
    }
}

async fn serve(client: TcpStream, script: Arc<Mutex<Script>>) -> std::io::Result<()> {
    let (from_client, mut to_client) = client.into_split();
    let mut lines = BufReader::new(from_client).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = script.lock().unwrap_or_else(PoisonError::into_inner).answer(&line);
        to_client.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

impl Script {
    fn answer(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["USERNAME" | "PASSWORD" | "LOGIN", _] => "OK\n".to_owned(),
            ["LOGOUT"] => "OK Goodbye\n".to_owned(),
            ["LIST", "VAR", "ups"] => {
                let vars = self.vars.iter().map(|(name, value)| format!("VAR ups {name} \"{value}\"\n"));
                list("VAR", vars)
            }
            ["LIST", "CMD", "ups"] => list("CMD", self.can_cut.then(|| "CMD ups shutdown.return\n".to_owned())),
            ["LIST", "RW", "ups"] => list("RW", [format!("RW ups {DELAY} \"20\"\n")]),
            ["SET", "VAR", "ups", name, value] if *name == DELAY => {
                self.vars.insert((*name).to_owned(), value.trim_matches('"').to_owned());
                self.told.push(line.to_owned());
                "OK\n".to_owned()
            }
            ["INSTCMD", "ups", "shutdown.return"] if self.can_cut => {
                self.told.push(line.to_owned());
                let delay_s = self.vars.get(DELAY).and_then(|value| value.parse().ok()).unwrap_or(20);
                self.cut = Some(Cut { at: now(), delay_s });
                "OK\n".to_owned()
            }
            ["STARTTLS"] => "ERR FEATURE-NOT-CONFIGURED\n".to_owned(),
            _ => "ERR INVALID-ARGUMENT\n".to_owned(),
        }
    }
}

fn list(kind: &str, items: impl IntoIterator<Item = String>) -> String {
    let items: String = items.into_iter().collect();
    format!("BEGIN LIST {kind} ups\n{items}END LIST {kind} ups\n")
}
