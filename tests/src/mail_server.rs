//! A real mail server, Debian's aiosmtpd, with TLS and a login.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use tokio::net::TcpStream;

use crate::process::{Daemon, command};
use crate::receiver::Identity;
use crate::wait::wait_until;

/// What the server runs.
const SCRIPT: &str = include_str!("mail_server.py");
/// Debian's own interpreter, which finds Debian's packages.
const PYTHON: &str = "/usr/bin/python3";
/// Where it listens.
const PORT: u16 = 2525;

/// A mail server. Ends on drop.
#[derive(Debug)]
pub struct MailServer {
    address: SocketAddr,
    daemon: Daemon,
}

impl MailServer {
    /// Starts one in the folder, which must be the identity's; `tls` is `none`, `starttls` or `tls`.
    ///
    /// # Errors
    /// When aiosmtpd is not installed, or does not come up.
    pub async fn start(folder: &Path, identity: &Identity, tls: &str) -> anyhow::Result<Self> {
        let address = SocketAddr::new(identity.ip(), PORT);
        let mut python = command(PYTHON);
        python.args(["-c", SCRIPT, &address.ip().to_string(), &PORT.to_string()]).arg(folder).arg(tls);
        let server = Self { address, daemon: Daemon::start("mail-server", python, folder)? };
        wait_until("the mail server", async || TcpStream::connect(address).await.is_ok())
            .await
            .with_context(|| server.daemon.log())?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
