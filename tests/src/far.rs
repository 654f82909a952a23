//! Other machines that hold backups: a private sshd, and a private rsync daemon.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::process::{Daemon, command};
use crate::wait::wait_for;

/// The program, where Debian puts it.
const SSHD: &str = "/usr/sbin/sshd";

/// An ssh server that lets root in with one key.
#[derive(Debug)]
pub struct Sshd {
    address: SocketAddr,
    folder: PathBuf,
    daemon: Daemon,
}

impl Sshd {
    /// Starts one with its files in `folder`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start(folder: &Path, address: SocketAddr) -> anyhow::Result<Self> {
        // Debian's sshd insists on this folder.
        fs::create_dir_all("/run/sshd").context("making /run/sshd: this story needs to be root")?;
        // One that was cut comes back with the same keys.
        for name in ["host", "key"].into_iter().filter(|name| !folder.join(name).exists()) {
            let mut keygen = command("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(folder.join(name));
            ensure!(keygen.status().context("starting ssh-keygen")?.success(), "ssh-keygen made no key");
        }
        fs::copy(folder.join("key.pub"), folder.join("allowed"))?;
        let key = fs::read_to_string(folder.join("host.pub"))?;
        let key = key.rsplit_once(' ').map_or(key.as_str(), |(key, _)| key);
        fs::write(folder.join("known"), format!("[{}]:{} {key}\n", address.ip(), address.port()))?;
        let shown = folder.display();
        let config = format!(
            "ListenAddress {address}\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/allowed\nPidFile none\n\
             StrictModes no\nUsePAM no\nPermitRootLogin yes\nUseDNS no\n"
        );
        fs::write(folder.join("sshd_config"), config)?;
        let mut sshd = command(SSHD);
        sshd.args(["-D", "-e", "-f"]).arg(folder.join("sshd_config"));
        let daemon = Daemon::start("sshd", sshd, folder)?;
        listening(address).await?;
        Ok(Self { address, folder: folder.to_owned(), daemon })
    }

    /// A job's lines for a repository in this folder of it.
    pub fn repository(&self, path: &Path) -> String {
        let shown = self.folder.display();
        format!(
            "repository = \"ssh://root@{}{}\"\nssh_key = \"{shown}/key\"\nknown_hosts = \"{shown}/known\"\n",
            self.address,
            path.display()
        )
    }

    /// A shell's line that runs `line` there, on a terminal.
    pub fn on_terminal(&self, line: &str) -> String {
        let shown = self.folder.display();
        let (address, port) = (self.address.ip(), self.address.port());
        format!("ssh -F none -t -i {shown}/key -o UserKnownHostsFile={shown}/known -p {port} root@{address} '{line}'")
    }

    /// Ends all connections as a cut does, and takes no more.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn cut(&mut self) -> anyhow::Result<()> {
        // Those that serve connections are in sessions of their own.
        for child in children_of(self.daemon.pid())? {
            for grandchild in children_of(child)? {
                kill(grandchild);
            }
            kill(child);
        }
        self.daemon.kill().await
    }
}

fn children_of(pid: u32) -> anyhow::Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    Ok(text.split_whitespace().filter_map(|word| word.parse().ok()).collect())
}

fn kill(pid: u32) {
    let Ok(pid) = i32::try_from(pid) else { return };
    // It may have ended meanwhile.
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
}

/// An rsync daemon with one module, `rack`.
#[derive(Debug)]
pub struct Rsyncd {
    address: SocketAddr,
    _daemon: Daemon,
}

impl Rsyncd {
    /// Starts one with its files in `folder` and its module in `module`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start(folder: &Path, module: &Path, address: SocketAddr) -> anyhow::Result<Self> {
        Self::start_with(folder, module, address, "").await
    }

    /// As [`Self::start`], with more lines for its module.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start_with(folder: &Path, module: &Path, address: SocketAddr, more: &str) -> anyhow::Result<Self> {
        let config = format!(
            "address = {}\nport = {}\nuse chroot = yes\nuid = 0\ngid = 0\n[rack]\npath = {}\n\
             read only = no\n{more}",
            address.ip(),
            address.port(),
            module.display()
        );
        fs::write(folder.join("rsyncd.conf"), config)?;
        let mut rsync = command("rsync");
        rsync.args(["--daemon", "--no-detach", "--config"]).arg(folder.join("rsyncd.conf"));
        let daemon = Daemon::start("rsyncd", rsync, folder)?;
        listening(address).await?;
        Ok(Self { address, _daemon: daemon })
    }

    /// A job's line for a repository in this folder of its module.
    pub fn repository(&self, below: &str) -> String {
        format!("repository = \"rsync://{}/rack/{below}\"\n", self.address)
    }
}

async fn listening(address: SocketAddr) -> anyhow::Result<()> {
    wait_for(&format!("a listener at {address}"), async || Ok(std::net::TcpStream::connect(address).map(drop).ok()))
        .await
}
