//! A folder on a web server: busybox's httpd, which gives files from any byte on.

use std::net::SocketAddr;
use std::path::Path;

use tokio::net::TcpStream;

use crate::process::{Daemon, command};
use crate::{address, wait_until};

/// It ends when dropped.
#[derive(Debug)]
pub struct WebFolder {
    _daemon: Daemon,
    address: SocketAddr,
}

impl WebFolder {
    /// Serves this folder.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let address = address::fresh();
        let mut httpd = command("busybox");
        httpd.args(["httpd", "-f", "-p", &address.to_string(), "-h"]).arg(folder);
        let daemon = Daemon::start("httpd", httpd, folder.parent().unwrap_or(folder))?;
        wait_until("the web server", async || TcpStream::connect(address).await.is_ok()).await?;
        Ok(Self { _daemon: daemon, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
