//! What `dummy-ups` cannot: a UPS that can be told to cut.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::ups::Ups;
use crate::{address, ups};

/// Stands before a [`Ups`], has commands and settings of its own, and writes down what it is told; all else comes from
/// the server behind. Only users that may command there may here.
#[derive(Debug)]
pub struct UpsRelay {
    address: SocketAddr,
    told: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Abilities {
    server: SocketAddr,
    commands: Vec<String>,
    settable: Vec<String>,
    told: Arc<Mutex<Vec<String>>>,
}

impl UpsRelay {
    /// Before `ups`, with these commands and these variables that can be set.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(ups: &Ups, commands: &[&str], settable: &[&str]) -> anyhow::Result<Self> {
        let address = SocketAddr::new(address::fresh().ip(), 3493);
        let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let told = Arc::new(Mutex::default());
        let abilities = Abilities {
            server: ups.address(),
            commands: own(commands),
            settable: own(settable),
            told: Arc::clone(&told),
        };
        Ok(Self { address, told, task: tokio::spawn(accept(listener, abilities)) })
    }

    /// The UPS as configurations name it.
    pub fn name(&self) -> String {
        format!("ups@{}", self.address)
    }

    /// The lines by which it was told something, such as `INSTCMD ups shutdown.return`.
    pub fn told(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for UpsRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, abilities: Abilities) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(carry(client, abilities.clone()));
    }
}

/// One connection; a client asks one thing at a time, and so no answers mix.
async fn carry(client: TcpStream, abilities: Abilities) -> std::io::Result<()> {
    let (mut from_server, mut to_server) = TcpStream::connect(abilities.server).await?.into_split();
    let (from_client, mut to_client) = client.into_split();
    let mut lines = BufReader::new(from_client).lines();
    let mut user = (String::new(), String::new());
    let mut piece = vec![0; 4096];
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line?,
            length = from_server.read(&mut piece) => match length? {
                0 => return Ok(()),
                length => {
                    to_client.write_all(&piece[..length]).await?;
                    continue;
                }
            },
        };
        let Some(line) = line else { return Ok(()) };
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["USERNAME", name] => user.0 = (*name).to_owned(),
            ["PASSWORD", password] => user.1 = (*password).to_owned(),
            _ => {}
        }
        let listed = |kind: &str, names: &[String], more: &str| {
            let items: Vec<String> = names.iter().map(|name| format!("{kind} ups {name}{more}\n")).collect();
            format!("BEGIN LIST {kind} ups\n{}END LIST {kind} ups\n", items.concat())
        };
        let known = |names: &[String], name: &str| names.iter().any(|own| own == name);
        let own_answer = match words.as_slice() {
            ["LIST", "CMD", "ups"] => listed("CMD", &abilities.commands, ""),
            ["LIST", "RW", "ups"] => listed("RW", &abilities.settable, " \"20\""),
            ["INSTCMD" | "SET", ..] if !ups::may_command(&user.0, &user.1) => "ERR ACCESS-DENIED\n".to_owned(),
            ["INSTCMD", "ups", name, ..] if !known(&abilities.commands, name) => "ERR CMD-NOT-SUPPORTED\n".to_owned(),
            ["SET", "VAR", "ups", name, _] if !known(&abilities.settable, name) => "ERR READONLY\n".to_owned(),
            ["INSTCMD" | "SET", ..] => {
                abilities.told.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
                "OK\n".to_owned()
            }
            _ => {
                to_server.write_all(format!("{line}\n").as_bytes()).await?;
                continue;
            }
        };
        to_client.write_all(own_answer.as_bytes()).await?;
    }
}
