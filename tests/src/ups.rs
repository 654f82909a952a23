//! A real NUT server with a UPS that is what a story says.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::address;
use crate::process::{Daemon, command, run_to_end};
use crate::wait::wait_until;

/// Where distributions put NUT's programs. Those in `/sbin` are wrappers that do nothing on a machine without UPS.
const FOLDERS: [&str; 3] = ["/lib/nut", "/usr/lib/nut", "/usr/libexec/nut"];
/// Users of the server: name, password, and what else stands in `upsd.users`.
const USERS: [(&str, &str, &str); 4] = [
    ("admin", "adminpw", "actions = SET\nactions = FSD\ninstcmds = ALL\n"),
    ("rackhaven", "rackpw", "upsmon secondary\nactions = SET\ninstcmds = ALL\n"),
    ("primary", "mpw", "upsmon primary\n"),
    ("monuser", "secret", "upsmon secondary\n"),
];

/// `upsd` with one UPS named `ups`, whose driver is `dummy-ups`, at an address of its own. All ends on drop.
#[derive(Debug)]
pub struct Ups {
    folder: TempDir,
    address: SocketAddr,
    vars: BTreeMap<String, String>,
    driver: Option<Daemon>,
    server: Option<Daemon>,
}

impl Ups {
    /// Starts one that is on mains and full, and waits until it can be read.
    ///
    /// # Errors
    /// When NUT is not installed, or does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(address::fresh().ip(), &[]).await
    }

    /// The same at this address, with further lines of `upsd.conf`, such as for TLS.
    ///
    /// # Errors
    /// When NUT is not installed, or does not come up.
    pub async fn start_with(ip: IpAddr, upsd_conf: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("rackhaven-ups-").tempdir().context("making a folder")?;
        let address = SocketAddr::new(ip, 3493);
        let vars = [
            ("ups.status", "OL"),
            ("ups.mfr", "Rackhaven"),
            ("ups.model", "Story 1200"),
            ("ups.load", "30"),
            ("ups.delay.shutdown", "20"),
            ("battery.charge", "100"),
            ("battery.charge.low", "20"),
            ("battery.runtime", "1200"),
            ("battery.voltage", "27.1"),
            ("input.voltage", "230.0"),
        ];
        let vars = vars.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut ups = Self { folder, address, vars, driver: None, server: None };
        ups.write_configuration(upsd_conf)?;
        ups.write_vars()?;
        ups.start_driver().await?;
        ups.start_upsd().await?;
        let vars = ups.vars.clone();
        ups.shows(vars).await?;
        Ok(ups)
    }

    /// Where `upsd` listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The UPS as NUT's tools and our configuration name it: `ups@ADDRESS:PORT`.
    pub fn name(&self) -> String {
        format!("ups@{}", self.address)
    }

    /// The folder in which all of it lives; it holds the configuration in `etc`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file with the password of a user: `admin` commands, `rackhaven` logs in and commands, `primary` and `monuser`
    /// are for `upsmon`.
    pub fn password_file(&self, user: &str) -> PathBuf {
        self.folder.path().join("etc").join(format!("{user}.password"))
    }

    /// Changes variables and waits until the server shows them; the others stay as they are.
    ///
    /// # Errors
    /// When it does not show them.
    pub async fn set(&mut self, vars: &[(&str, &str)]) -> anyhow::Result<()> {
        self.set_soon(vars)?;
        let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.shows(vars).await
    }

    /// Changes variables; the server shows them within a second or so.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn set_soon(&mut self, vars: &[(&str, &str)]) -> anyhow::Result<()> {
        self.vars.extend(vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.write_vars()
    }

    /// What the server says of a variable: its value, or its refusal with `ERR`.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn get(&self, name: &str) -> anyhow::Result<String> {
        let line = self.ask(&format!("GET VAR ups {name}")).await?;
        Ok(match line.split_once('"') {
            Some((_, value)) => value.trim_end_matches('"').to_owned(),
            None => line,
        })
    }

    /// What the server answers to a line, its first line.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn ask(&self, request: &str) -> anyhow::Result<String> {
        let asked = async {
            let mut tcp = TcpStream::connect(self.address).await?;
            tcp.write_all(format!("{request}\n").as_bytes()).await?;
            let mut line = String::new();
            BufReader::new(tcp).read_line(&mut line).await?;
            anyhow::Ok(line.trim_end().to_owned())
        };
        tokio::time::timeout(Duration::from_secs(5), asked).await.context("upsd does not answer")?
    }

    /// How many clients are logged in.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn logins(&self) -> anyhow::Result<u32> {
        let answer = self.ask("GET NUMLOGINS ups").await?;
        answer.strip_prefix("NUMLOGINS ups ").context(answer.clone())?.parse().context(answer)
    }

    /// Kills the server; the driver goes on.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub async fn kill_upsd(&mut self) -> anyhow::Result<()> {
        self.server.take().context("upsd does not run")?.kill().await
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_upsd(&mut self) -> anyhow::Result<()> {
        self.server = Some(Daemon::start("upsd", self.command("upsd", &["-F"])?, self.folder.path())?);
        wait_until("upsd to answer", async || self.ask("VER").await.is_ok()).await
    }

    /// Kills the driver: the server's data gets stale, or it misses its driver.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub async fn kill_driver(&mut self) -> anyhow::Result<()> {
        self.driver.take().context("the driver does not run")?.kill().await
    }

    /// Starts the driver; the server finds it within some seconds.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_driver(&mut self) -> anyhow::Result<()> {
        let socket = self.folder.path().join("run/dummy-ups-ups");
        match std::fs::remove_file(&socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).context("its old socket"),
            _ => {}
        }
        let command = self.command("dummy-ups", &["-a", "ups", "-F"])?;
        self.driver = Some(Daemon::start("dummy-ups", command, self.folder.path())?);
        wait_until("dummy-ups to listen", async || socket.exists()).await
    }

    /// A command of NUT's that finds this configuration, such as `upsc` or `upsmon`.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn command(&self, program: &str, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = nut_command(program)?;
        let run = self.folder.path().join("run");
        command.env("NUT_CONFPATH", self.folder.path().join("etc"));
        command.env("NUT_STATEPATH", &run).env("NUT_ALTPIDPATH", &run).args(arguments);
        if nix::unistd::geteuid().is_root() && matches!(program, "upsd" | "dummy-ups") {
            command.args(["-u", "root"]);
        }
        Ok(command)
    }

    fn write_configuration(&self, upsd_conf: &[&str]) -> anyhow::Result<()> {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        let (etc, run) = (self.folder.path().join("etc"), self.folder.path().join("run"));
        for folder in [&etc, &run] {
            std::fs::DirBuilder::new().mode(0o700).create(folder)?;
        }
        let device = self.device();
        let users = USERS.map(|(name, password, more)| format!("[{name}]\npassword = {password}\n{more}"));
        let mut files = vec![
            (
                "ups.conf".to_owned(),
                format!(
                    "[ups]\ndriver = dummy-ups\nport = {}\nmode = dummy-loop\npollinterval = 1\n",
                    device.display()
                ),
            ),
            (
                "upsd.conf".to_owned(),
                format!(
                    "LISTEN {} {}\nSTATEPATH {}\nMAXAGE 5\n{}\n",
                    self.address.ip(),
                    self.address.port(),
                    run.display(),
                    upsd_conf.join("\n")
                ),
            ),
            ("upsd.users".to_owned(), users.concat()),
        ];
        files.extend(USERS.map(|(name, password, _)| (format!("{name}.password"), format!("{password}\n"))));
        for (name, text) in files {
            let file = etc.join(name);
            std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
        }
        Ok(())
    }

    fn device(&self) -> PathBuf {
        self.folder.path().join("ups.dev")
    }

    /// The driver reads again and again, and must never find half a file.
    fn write_vars(&self) -> anyhow::Result<()> {
        let lines: Vec<String> = self.vars.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        let new = self.folder.path().join("ups.dev.new");
        std::fs::write(&new, lines.concat()).context("writing ups.dev.new")?;
        std::fs::rename(&new, self.device()).context("renaming ups.dev.new")
    }

    async fn shows(&self, vars: BTreeMap<String, String>) -> anyhow::Result<()> {
        for (name, value) in vars {
            wait_until(&format!("upsd to show {name} {value}"), async || {
                self.get(&name).await.is_ok_and(|shown| shown == value)
            })
            .await?;
        }
        Ok(())
    }
}

/// Whether `upsd.users` lets this user command.
pub(crate) fn may_command(user: &str, password: &str) -> bool {
    USERS.iter().any(|(name, own, more)| (*name, *own) == (user, password) && more.contains("instcmds"))
}

/// One of NUT's programs.
///
/// # Errors
/// When it is not installed.
pub fn nut_command(program: &str) -> anyhow::Result<Command> {
    if matches!(program, "upsc" | "upscmd" | "upsrw") {
        return Ok(command(program));
    }
    let found = FOLDERS.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.is_file());
    match found {
        Some(path) => Ok(command(path)),
        None => bail!("{program} is not installed; packaging/install-missing nut-server nut-client"),
    }
}

/// Installs a module of Python into `folder`; where it then is. None where Python, pip or PyPI is out of reach.
pub async fn python_module(requirement: &str, folder: &Path) -> Option<PathBuf> {
    let target = folder.join("python");
    let mut pip = command("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--target"]).arg(&target).arg(requirement);
    let installed = run_to_end(pip).await.ok()?;
    (installed.code == Some(0)).then_some(target)
}
