//! The end of systemd to which a daemon tells how it is.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

use crate::wait::PATIENCE;

/// A socket as systemd gives it to a service.
#[derive(Debug)]
pub struct NotifySocket {
    path: PathBuf,
    socket: UnixDatagram,
}

impl NotifySocket {
    /// Listens at `path`.
    ///
    /// # Errors
    /// When there is something already.
    pub fn bind(path: &Path) -> anyhow::Result<Self> {
        let socket = UnixDatagram::bind(path).with_context(|| format!("binding {}", path.display()))?;
        Ok(Self { path: path.to_owned(), socket })
    }

    /// What a service finds in its environment that is to tell of itself at least every `watchdog_ms`.
    pub fn environment(&self, watchdog_ms: u64) -> Vec<(String, String)> {
        let socket = ("NOTIFY_SOCKET".to_owned(), self.path.display().to_string());
        vec![socket, ("WATCHDOG_USEC".to_owned(), (watchdog_ms * 1000).to_string())]
    }

    /// Waits until `line` is told, such as `READY=1`; the lines that came before it.
    ///
    /// # Errors
    /// When it does not come; tells what came instead.
    pub async fn wait_for(&self, line: &str) -> anyhow::Result<Vec<String>> {
        let mut before = Vec::new();
        let told = timeout(PATIENCE, self.receive_until(line, &mut before)).await;
        told.unwrap_or_else(|late| Err(late.into()))
            .with_context(|| format!("waiting for {line:?} after {before:?}"))?;
        Ok(before)
    }

    async fn receive_until(&self, line: &str, before: &mut Vec<String>) -> anyhow::Result<()> {
        let mut datagram = [0; 4096];
        loop {
            let length = self.socket.recv(&mut datagram).await?;
            let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
            let there = text.lines().any(|told| told == line);
            if there {
                return Ok(());
            }
            before.extend(text.lines().map(str::to_owned));
        }
    }
}
