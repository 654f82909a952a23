//! One node: the agent's binary with a state of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, anyhow};
use nix::sys::signal::Signal;
use rackhaven_agent::state::{StateFolder, load_identity};
use rackhaven_pki::Credentials;

use crate::ctl::Outcome;
use crate::process::{Daemon, command, run_to_end};
use crate::program::Program;
use crate::settings::{Settings, toml_list};

/// A machine with an agent. Instead of switching it off or restarting it, a line is added to a file.
#[derive(Debug)]
pub struct Agent {
    /// Its files and processes are named after this.
    name: String,
    folder: PathBuf,
    /// Its configuration; written at each start and reload.
    pub settings: Settings,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
    state: PathBuf,
    /// The boot in which it runs; none means this machine's own.
    boot: Option<u32>,
    daemon: Option<Daemon>,
}

impl Agent {
    /// A machine without an identity yet, with its files in `folder`.
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut agent = Self {
            name: name.to_owned(),
            folder: folder.to_owned(),
            settings: Settings::default(),
            environment: Vec::new(),
            state: folder.join(name),
            boot: None,
            daemon: None,
        };
        let calls = agent.calls_path().display().to_string();
        let record = |word: &str| format!("echo {word} >> {calls}");
        agent.switched_by(&record("reboot"), &record("poweroff"));
        // Whatever is mounted, installed or hooked on this machine is none of the story's.
        agent.settings.set("shutdown.unmount_types", "[]");
        let here = [
            ("shutdown.hooks_dir", "hooks"),
            ("k3s.systemd_dir", "systemd"),
            ("backup.jobs_dir", "jobs"),
            ("backup.status_dir", "status"),
        ];
        for (key, what) in here {
            let path = folder.join(format!("{name}.{what}")).display().to_string();
            agent.settings.set(key, serde_json::Value::from(path));
        }
        agent
    }

    /// Gives it other shell scripts to be switched by.
    pub fn switched_by(&mut self, reboot: &str, poweroff: &str) {
        self.settings.set("power.reboot_command", toml_list(["/bin/sh", "-c", reboot]));
        self.settings.set("power.poweroff_command", toml_list(["/bin/sh", "-c", poweroff]));
    }

    /// Where it keeps its state.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Lets it keep its state elsewhere.
    pub fn keep_state_in(&mut self, folder: &Path) {
        self.state = folder.to_owned();
    }

    fn calls_path(&self) -> PathBuf {
        self.folder.join(format!("{}.calls", self.name))
    }

    /// Where its configuration is.
    pub fn config_path(&self) -> PathBuf {
        self.folder.join(format!("{}.toml", self.name))
    }

    /// How it was switched so far: `reboot`, `poweroff`.
    pub fn calls(&self) -> Vec<String> {
        // No file means that nothing was called.
        let text = std::fs::read_to_string(self.calls_path()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn command(&self, verb: &str) -> anyhow::Result<Command> {
        self.settings.write(&self.config_path())?;
        let mut command = command(Program::Agent.path()?);
        command.arg(verb).arg("--config").arg(self.config_path()).arg("--state-dir").arg(&self.state);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Joins by an invitation, which goes through a file; `flags` are added, their words apart by spaces.
    ///
    /// # Errors
    /// When it cannot be run; not when it fails.
    pub async fn join(&self, endpoint: &str, token: &str, flags: &str) -> anyhow::Result<Outcome> {
        let file = self.folder.join(format!("{}.token", self.name));
        std::fs::write(&file, token).context("writing the invitation")?;
        let mut command = self.command("join")?;
        command.arg(endpoint).arg("--token-file").arg(file).args(flags.split_whitespace());
        run_to_end(command).await
    }

    /// Lets the machine be in its first boot from now on, or in its next: what takes effect when the agent is started.
    pub fn boot_again(&mut self) {
        self.boot = Some(self.boot.map_or(1, |boot| boot + 1));
    }

    /// The id of the boot.
    pub fn boot_id(&self) -> String {
        self.boot.map_or_else(String::new, crate::fleet::boot_id)
    }

    fn run_command(&self) -> anyhow::Result<Command> {
        let mut command = self.command("run")?;
        if self.boot.is_some() {
            let file = self.folder.join(format!("{}.boot-id", self.name));
            std::fs::write(&file, self.boot_id()).context("writing the boot id")?;
            command.arg("--boot-id-file").arg(file);
        }
        Ok(command)
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        // The one before, if it was not waited for, is gone first.
        self.daemon = None;
        self.daemon = Some(Daemon::start(&self.name, self.run_command()?, &self.folder)?);
        Ok(())
    }

    /// Ends it with all of its children, without a warning, and waits for that; nothing if it does not run.
    pub fn halt(&mut self) {
        self.daemon = None;
    }

    /// Runs it in the foreground until it ends by itself.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn run_to_end(&self) -> anyhow::Result<Outcome> {
        run_to_end(self.run_command()?).await
    }

    /// Checks its configuration.
    ///
    /// # Errors
    /// When it cannot be run; not when the configuration is wrong.
    pub async fn check_config(&self) -> anyhow::Result<Outcome> {
        run_to_end(self.command("check-config")?).await
    }

    /// The running process, or the last.
    ///
    /// # Errors
    /// When it was never started.
    pub fn daemon(&mut self) -> anyhow::Result<&mut Daemon> {
        self.daemon.as_mut().ok_or_else(|| anyhow!("{} was not started", self.name))
    }

    /// Kills it as the kernel would.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.daemon()?.kill().await
    }

    /// Stops it as systemd would.
    ///
    /// # Errors
    /// When it does not end, or not well.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let status = self.daemon()?.stop().await?;
        anyhow::ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }

    /// Lets it read its configuration anew, which it tells as an event `agent.reloaded`.
    ///
    /// # Errors
    /// When it does not run.
    pub fn reload(&mut self) -> anyhow::Result<()> {
        self.settings.write(&self.config_path())?;
        self.daemon()?.signal(Signal::SIGHUP)
    }

    /// All that it wrote to standard error so far.
    pub fn log(&self) -> String {
        self.daemon.as_ref().map_or_else(String::new, Daemon::log)
    }

    /// Its identity.
    ///
    /// # Errors
    /// When it has none.
    pub fn credentials(&self) -> anyhow::Result<Credentials> {
        Ok(load_identity(&StateFolder::open(&self.state)?)?)
    }

    /// How many events wait on its disk.
    pub fn waiting_events(&self) -> usize {
        let entries = std::fs::read_dir(self.state.join("events")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<u64>().is_ok())).count()
    }
}
