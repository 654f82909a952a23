//! A controller with all that belongs to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use nix::sys::signal::Signal;
use rackhaven_proto::model::NodeState;
use rackhaven_proto::v1::{AuditRecord, StoredEvent};
use tempfile::TempDir;

use crate::address;
use crate::agent::Agent;
use crate::client::Client;
use crate::ctl::{Ctl, Outcome};
use crate::process::{Daemon, command, run_to_end};
use crate::program::Program;
use crate::settings::{Settings, toml_list};
use crate::wait::{wait_for, wait_until};

/// A cluster in a folder of its own: the controller's binary, and ways to ask it. Ends when dropped.
#[derive(Debug)]
pub struct Fleet {
    // The process ends before its folder is removed.
    controller: Option<Daemon>,
    /// The controller's configuration; written at each start and reload.
    pub settings: Settings,
    /// Variables of the controller's environment.
    pub environment: Vec<(String, String)>,
    address: SocketAddr,
    state: PathBuf,
    /// The boot in which the controller's machine runs; none means this machine's own.
    boot: Option<u32>,
    client: Client,
    folder: TempDir,
}

impl Fleet {
    /// A cluster whose controller runs, at a fast pace: heartbeats each 200 ms, suspect after 1 s, down after 2 s.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn start() -> anyhow::Result<Self> {
        let mut fleet = Self::prepare()?;
        fleet.init().await?;
        fleet.start_controller().await?;
        Ok(fleet)
    }

    /// The same with this configuration on top, `PATH` and TOML.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn start_with(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut fleet = Self::prepare()?;
        for (path, value) in settings {
            fleet.settings.set(path, value);
        }
        fleet.init().await?;
        fleet.start_controller().await?;
        Ok(fleet)
    }

    /// A folder and an address; nothing is made or started yet.
    ///
    /// # Errors
    /// When there is no folder to be had.
    pub fn prepare() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a folder")?;
        let address = address::fresh();
        let mut settings = Settings::default();
        settings.set("listen", toml_list([address]));
        settings.set("socket", serde_json::Value::from(folder.path().join("socket").display().to_string()));
        settings.set("endpoints", toml_list([address]));
        settings.set("session.heartbeat_ms", 200);
        settings.set("session.sample_ms", 250);
        settings.set("session.suspect_after_missed", 5);
        settings.set("session.down_after_missed", 10);
        let state = folder.path().join("controller");
        let client = Client::new(&state.join("admin.context"));
        Ok(Self { controller: None, settings, environment: Vec::new(), address, state, boot: None, client, folder })
    }

    /// Makes the cluster, `home`.
    ///
    /// # Errors
    /// When that fails.
    pub async fn init(&self) -> anyhow::Result<()> {
        let mut command = self.command("init")?;
        // Whatever agents are told, the stories' own admin comes by the straight way.
        command.args(["--cluster-name", "home", "--endpoint"]).arg(self.address.to_string());
        let outcome = run_to_end(command).await?;
        ensure!(outcome.code == Some(0), "init: {outcome:?}");
        Ok(())
    }

    /// The folder of all its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The controller's state.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The controller's configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.folder().join("controller.toml")
    }

    /// Where the controller listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as agents are told it.
    pub fn endpoint(&self) -> String {
        self.address.to_string()
    }

    fn command(&self, verb: &str) -> anyhow::Result<Command> {
        self.settings.write(&self.config_path())?;
        let mut command = command(Program::Controller.path()?);
        command.arg(verb).arg("--config").arg(self.config_path()).arg("--state-dir").arg(&self.state);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Lets the controller's machine be in its first boot from now on, or in its next: what takes effect when the
    /// controller is started.
    pub fn boot_again(&mut self) {
        self.boot = Some(self.boot.map_or(1, |boot| boot + 1));
    }

    /// The boot of the controller's machine; 0 for this machine's own.
    pub fn boot(&self) -> u32 {
        self.boot.unwrap_or_default()
    }

    fn launch(&mut self) -> anyhow::Result<Daemon> {
        // The one before is gone first.
        self.controller = None;
        let mut command = self.command("run")?;
        if let Some(boot) = self.boot {
            let file = self.folder().join("controller.boot-id");
            std::fs::write(&file, boot_id(boot)).context("writing the boot id")?;
            command.arg("--boot-id-file").arg(file);
        }
        Daemon::start("controller", command, self.folder())
    }

    /// Starts the controller, and waits for nothing.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_controller(&mut self) -> anyhow::Result<()> {
        self.controller = Some(self.launch()?);
        Ok(())
    }

    /// Ends the controller without a warning, and waits for that; nothing if it does not run.
    pub fn halt_controller(&mut self) {
        self.controller = None;
    }

    /// Starts the controller and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn start_controller(&mut self) -> anyhow::Result<()> {
        let mut daemon = self.launch()?;
        let answered = wait_for("the controller to answer", async || {
            if let Some(status) = daemon.poll_end()? {
                return Ok(Some(Err(status)));
            }
            self.client.status().await.map(|status| Some(Ok(status)))
        });
        if let Err(status) = answered.await? {
            bail!("the controller ended with {status}: {}", daemon.log());
        }
        self.controller = Some(daemon);
        Ok(())
    }

    /// Runs the controller in the foreground until it ends by itself.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn run_controller_to_end(&self) -> anyhow::Result<Outcome> {
        run_to_end(self.command("run")?).await
    }

    /// Checks the controller's configuration.
    ///
    /// # Errors
    /// When it cannot be run; not when the configuration is wrong.
    pub async fn check_config(&self) -> anyhow::Result<Outcome> {
        run_to_end(self.command("check-config")?).await
    }

    /// The controller's process.
    ///
    /// # Errors
    /// When it was not started.
    pub fn controller(&mut self) -> anyhow::Result<&mut Daemon> {
        self.controller.as_mut().context("the controller was not started")
    }

    /// Kills the controller as the kernel would.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill_controller(&mut self) -> anyhow::Result<()> {
        self.controller()?.kill().await
    }

    /// Stops the controller as systemd would.
    ///
    /// # Errors
    /// When it does not end, or not well.
    pub async fn stop_controller(&mut self) -> anyhow::Result<()> {
        let status = self.controller()?.stop().await?;
        ensure!(status.success(), "the controller ended with {status}");
        Ok(())
    }

    /// Lets the controller read its configuration anew.
    ///
    /// # Errors
    /// When it does not run.
    pub fn reload_controller(&mut self) -> anyhow::Result<()> {
        self.settings.write(&self.config_path())?;
        self.controller()?.signal(Signal::SIGHUP)
    }

    /// All that the controller wrote to standard error so far.
    pub fn controller_log(&self) -> String {
        self.controller.as_ref().map_or_else(String::new, Daemon::log)
    }

    /// The API, as the first admin.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// `ctl`, as the first admin.
    pub fn ctl(&self) -> Ctl {
        Ctl::with_context_file(self.folder(), &self.state.join("admin.context"))
    }

    /// An invitation by `ctl node invite` with these flags.
    ///
    /// # Errors
    /// When there is none.
    pub async fn invite(&self, flags: &str) -> anyhow::Result<String> {
        token(self.ctl().json(&format!("node invite {flags}")).await?)
    }

    /// A machine that has not joined.
    pub fn machine(&self, name: &str) -> Agent {
        Agent::new(self.folder(), name)
    }

    /// A node that has joined and is up.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn join(&self, name: &str) -> anyhow::Result<Agent> {
        self.join_at(name, &self.endpoint()).await
    }

    /// The same by another way to the controller.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn join_at(&self, name: &str, endpoint: &str) -> anyhow::Result<Agent> {
        let mut agent = self.machine(name);
        let token = self.invite(&format!("--name {name}")).await?;
        let joined = agent.join(endpoint, &token, "").await?;
        ensure!(joined.code == Some(0), "join: {joined:?}");
        agent.start()?;
        self.wait_for_state(name, NodeState::Up).await?;
        // The event of its start is told too: what a story finds on its disk is the story's.
        self.wait_for_kept(&agent, 0).await?;
        Ok(agent)
    }

    /// Waits until a node is in this state.
    ///
    /// # Errors
    /// When it does not come into it.
    pub async fn wait_for_state(&self, node: &str, state: NodeState) -> anyhow::Result<()> {
        let what = format!("{node} to be {state}");
        let mut last = None;
        let waited = wait_for(&what, async || {
            let now = self.client.state(node).await?;
            last = Some(now);
            Ok((now == state).then_some(()))
        });
        waited.await.with_context(|| format!("{node} was last {}", last.map_or("never seen", NodeState::as_str)))
    }

    /// The stored events of one kind and node, oldest first.
    ///
    /// # Errors
    /// When the controller does not tell.
    pub async fn events(&self, node: &str, kind: &str) -> anyhow::Result<Vec<StoredEvent>> {
        let events = self.client.events().await?;
        Ok(events.into_iter().filter(|event| event.node == node && event.kind == kind).collect())
    }

    /// Waits until there are at least so many events of one kind and node.
    ///
    /// # Errors
    /// When they do not come.
    pub async fn wait_for_events(&self, node: &str, kind: &str, count: usize) -> anyhow::Result<Vec<StoredEvent>> {
        wait_for(&format!("{count} events {kind} of {node:?}"), async || {
            Ok(Some(self.events(node, kind).await?).filter(|events| events.len() >= count))
        })
        .await
    }

    /// Waits for an audit record.
    ///
    /// # Errors
    /// When there is none; tells the last ones.
    pub async fn wait_for_audit(
        &self,
        what: &str,
        is_it: impl Fn(&AuditRecord) -> bool,
    ) -> anyhow::Result<AuditRecord> {
        let mut seen = Vec::new();
        let found = wait_for(&format!("the audit record of {what}"), async || {
            seen = self.client.audit().await?;
            Ok(seen.iter().find(|record| is_it(record)).cloned())
        })
        .await;
        found.with_context(|| {
            let last =
                seen.iter().rev().take(8).map(|record| format!("{} {}: {}", record.who, record.action, record.outcome));
            format!("the last records, newest first: {:#?}", last.collect::<Vec<_>>())
        })
    }

    /// Waits until a machine keeps exactly so many events that were not delivered.
    ///
    /// # Errors
    /// When it does not.
    pub async fn wait_for_kept(&self, agent: &Agent, count: usize) -> anyhow::Result<()> {
        wait_until(&format!("{count} events on the disk of the node"), async || agent.waiting_events() == count).await
    }
}

/// The id of a made-up boot; a machine on which both run has one for its agent and its controller.
pub(crate) fn boot_id(boot: u32) -> String {
    format!("00000000-0000-4000-8000-{boot:012}")
}

/// The token in the JSON of an invitation.
///
/// # Errors
/// When there is none.
pub fn token(invitation: serde_json::Value) -> anyhow::Result<String> {
    let token = invitation["token"].as_str().with_context(|| format!("no token in {invitation}"))?;
    Ok(token.to_owned())
}
