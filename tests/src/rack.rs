//! A rack on a UPS: a controller, nodes that can really be off, a power strip that brings them back.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rackhaven_proto::model::NodeState;
use rackhaven_proto::v1;
use rackhaven_proto::v1::power_client::PowerClient;
use serde_json::Value;
use tokio::net::UdpSocket;

use crate::client::Client;
use crate::ctl::Ctl;
use crate::faketime::FakeTime;
use crate::fleet::Fleet;
use crate::power_strip::{Back, Host, Strip, run, write_pid};
use crate::proxy::Proxy;
use crate::scripted_ups::ScriptedUps;
use crate::settings::toml_list;
use crate::wait::{wait_for, wait_for_within};

/// Set by `tests/run --all`: long stories are told at their full length.
const ALL: &str = "RACKHAVEN_ALL_STORIES";
/// How long an outage may go on: the steps of [`SETTINGS`] have 35 s together for each stage, and of a node that went off
/// while the controller was dead, the whole time is waited for.
const LONGEST_OUTAGE: Duration = Duration::from_secs(150);
/// Fast, but for what each story is about.
const SETTINGS: [(&str, &str); 15] = [
    ("power.hold_seconds", "0.3"),
    ("power.margin_seconds", "1"),
    ("power.expected_seconds", "1"),
    ("power.mains_hold_seconds", "0.2"),
    ("power.mains_stable_seconds", "0.3"),
    ("power.restore_charge_percent", "0"),
    ("power.return_wait_seconds", "30"),
    ("power.poll_seconds", "0.1"),
    ("power.poll_on_battery_seconds", "0.1"),
    ("power.off_grace_seconds", "10"),
    ("power.steps.drain_seconds", "5"),
    ("power.steps.stop_k3s_seconds", "5"),
    ("power.steps.hooks_seconds", "5"),
    ("power.steps.sync_seconds", "5"),
    ("power.steps.power_off_seconds", "5"),
];

/// What a rack consists of.
#[derive(Debug, Clone, Default)]
pub struct RackPlan {
    stages: Vec<(String, Vec<String>)>,
    hosts: Vec<(String, Back)>,
    master: Option<String>,
    ups: Option<String>,
    settings: Vec<(String, String)>,
}

impl RackPlan {
    /// A stage with its nodes, behind those that were named before.
    #[must_use]
    pub fn stage(mut self, name: &str, nodes: &[(&str, Back)]) -> Self {
        self.stages.push((name.to_owned(), nodes.iter().map(|(node, _)| (*node).to_owned()).collect()));
        self.hosts.extend(nodes.iter().map(|(node, back)| ((*node).to_owned(), *back)));
        self
    }

    /// A node on which the controller runs; else that hangs on another supply.
    #[must_use]
    pub fn master(mut self, node: &str) -> Self {
        self.hosts.push((node.to_owned(), Back::PowerCycle));
        self.master = Some(node.to_owned());
        self
    }

    /// Another UPS than the scripted one, by its entry in the configuration: an inline table, or nothing for none.
    #[must_use]
    pub fn ups(mut self, entry: &str) -> Self {
        self.ups = Some(entry.to_owned());
        self
    }

    /// A key of the controller's configuration.
    #[must_use]
    pub fn with(mut self, path: &str, value: impl ToString) -> Self {
        self.settings.push((path.to_owned(), value.to_string()));
        self
    }

    /// Builds it, in `fleet`, which is prepared and not more; all nodes are up.
    ///
    /// # Errors
    /// When something of it does not come up.
    pub async fn build_in(self, mut fleet: Fleet) -> anyhow::Result<Rack> {
        let network = Proxy::start(fleet.address()).await?;
        let packets = UdpSocket::bind("127.0.0.1:0").await.context("listening for wake-ups")?;
        let scripted = match &self.ups {
            None => Some(ScriptedUps::start(fleet.folder()).await?),
            Some(_) => None,
        };
        let entry = scripted.as_ref().map(ScriptedUps::entry).or(self.ups).unwrap_or_default();
        let mut settings: Vec<(String, String)> =
            SETTINGS.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect();
        let stages = self
            .stages
            .iter()
            .map(|(name, nodes)| format!("{{ name = {}, nodes = {} }}", Value::from(name.as_str()), toml_list(nodes)));
        let stages = stages.collect::<Vec<_>>().join(", ");
        settings.extend([
            ("endpoints".to_owned(), toml_list([network.endpoint()])),
            ("power.ups".to_owned(), format!("[{entry}]")),
            ("power.stage".to_owned(), format!("[{stages}]")),
            ("power.master".to_owned(), Value::from(self.master.as_deref().unwrap_or("none")).to_string()),
            ("power.wake_addresses".to_owned(), toml_list([packets.local_addr()?])),
        ]);
        for (number, (node, back)) in self.hosts.iter().enumerate() {
            let how = match back {
                Back::WakeOnLan => mac(number).map(|part| format!("{part:02x}")).join(":"),
                Back::PowerCycle => "power-cycle".to_owned(),
                Back::ByHand => "by-hand".to_owned(),
            };
            settings.push((format!("power.wake.{node}"), Value::from(how).to_string()));
        }
        for (path, value) in settings.into_iter().chain(self.settings) {
            fleet.settings.set(&path, value);
        }
        fleet.boot_again();
        let clock = match &self.master {
            Some(_) => Some(FakeTime::new(&fleet.folder().join("controller.clock"), "+0")?),
            None => None,
        };
        fleet.environment.extend(clock.iter().flat_map(FakeTime::environment));
        fleet.init().await?;
        fleet.start_controller().await?;
        write_pid(&mut fleet)?;
        let mut hosts = Vec::with_capacity(self.hosts.len());
        for (number, (node, back)) in self.hosts.iter().enumerate() {
            let mut agent = fleet.machine(node);
            let marker = fleet.folder().join(format!("{node}.switched-off"));
            let controller = match self.master.as_ref() == Some(node) {
                true => format!("$(cat {}) ", fleet.folder().join("controller.pid").display()),
                false => String::new(),
            };
            let calls = fleet.folder().join(format!("{node}.calls"));
            let off =
                format!("echo poweroff >> {}; touch {}; kill -9 {controller}$PPID", calls.display(), marker.display());
            agent.switched_by(&format!("echo reboot >> {}", calls.display()), &off);
            for (key, word) in [("k3s.stop_command", "stopped"), ("k3s.start_command", "started")] {
                let trace = fleet.folder().join(format!("{node}.k3s"));
                let script = format!("echo {word} >> {}", trace.display());
                agent.settings.set(key, toml_list(["/bin/sh", "-c", &script]));
            }
            agent.boot_again();
            let token = fleet.invite(&format!("--name {node}")).await?;
            let joined = agent.join(&network.endpoint(), &token, "").await?;
            ensure!(joined.code == Some(0), "join: {joined:?}");
            agent.start()?;
            hosts.push((node.clone(), Host::new(agent, *back, mac(number), &marker)));
        }
        for (node, _) in &self.hosts {
            fleet.wait_for_state(node, NodeState::Up).await?;
        }
        let client = Client::new(&fleet.state().join("admin.context"));
        let (folder, state) = (fleet.folder().to_owned(), fleet.state().to_owned());
        let names = self.hosts.into_iter().map(|(node, _)| node).collect();
        let mut strip = Strip::new(fleet, hosts.into_iter().collect(), self.master);
        (strip.ups, strip.clock) = (scripted, clock);
        let strip = Arc::new(Mutex::new(strip));
        let task = tokio::spawn(run(Arc::downgrade(&strip), packets));
        Ok(Rack { strip, client, network, folder, state, names, task })
    }

    /// Builds it in a folder of its own.
    ///
    /// # Errors
    /// When something of it does not come up.
    pub async fn build(self) -> anyhow::Result<Rack> {
        self.build_in(Fleet::prepare()?).await
    }
}

fn mac(number: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, u8::try_from(number).unwrap_or(u8::MAX)]
}

/// A controller, its nodes, and the strip that they hang on. Ends when dropped.
#[derive(Debug)]
pub struct Rack {
    strip: Arc<Mutex<Strip>>,
    client: Client,
    network: Proxy,
    folder: PathBuf,
    state: PathBuf,
    names: Vec<String>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Rack {
    fn drop(&mut self) {
        self.task.abort();
        if std::thread::panicking() {
            eprintln!("---- the strip ----\n{}", self.story());
        }
    }
}

impl Rack {
    fn strip(&self) -> MutexGuard<'_, Strip> {
        self.strip.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of the nodes.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The folder of all its files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The network between the nodes and the controller.
    pub fn network(&self) -> &Proxy {
        &self.network
    }

    /// The API, as the first admin.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// `ctl`, as the first admin.
    pub fn ctl(&self) -> Ctl {
        Ctl::with_context_file(&self.folder, &self.state.join("admin.context"))
    }

    /// The scripted UPS, with what a story makes of it.
    ///
    /// # Panics
    /// When the rack hangs on another.
    #[expect(clippy::expect_used, reason = "a story that asks for it has built the rack on it")]
    pub fn ups<T>(&self, with: impl FnOnce(&ScriptedUps) -> T) -> T {
        with(self.strip().ups.as_ref().expect("a scripted UPS"))
    }

    /// The scripted UPS tells this status from now on.
    pub fn ups_says(&self, words: &str) {
        self.ups(|ups| ups.status(words));
    }

    /// A hook of a node that is this shell script.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn hook(&self, node: &str, name: &str, script: &str) -> anyhow::Result<()> {
        let folder = self.folder.join(format!("{node}.hooks"));
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
        let file = folder.join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n"))?;
        Ok(fs::set_permissions(&file, Permissions::from_mode(0o755))?)
    }

    /// Whether a host is on.
    pub fn is_on(&self, node: &str) -> bool {
        self.strip().hosts.get(node).is_some_and(|host| host.on)
    }

    /// How often a host has switched itself off, and how often it lost its power while it ran.
    pub fn offs(&self, node: &str) -> (usize, usize) {
        self.strip().hosts.get(node).map_or((0, 0), |host| (host.offs, host.cut))
    }

    /// The hosts that are off.
    pub fn off(&self) -> Vec<String> {
        self.strip().hosts.iter().filter(|(_, host)| !host.on).map(|(name, _)| name.clone()).collect()
    }

    /// Somebody switches a host on.
    ///
    /// # Errors
    /// When it does not start.
    pub fn switch_on(&self, node: &str) -> anyhow::Result<()> {
        self.strip().switch_on(node)
    }

    /// Changes what a host's agent is started with.
    pub fn change_agent(&self, node: &str, change: impl FnOnce(&mut crate::Agent)) {
        if let Some(host) = self.strip().hosts.get_mut(node) {
            change(&mut host.agent);
        }
    }

    /// Kills an agent and starts it at once, in the same boot.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart_agent(&self, node: &str) -> anyhow::Result<()> {
        match self.strip().hosts.get_mut(node).filter(|host| host.on) {
            Some(host) => host.agent.start(),
            None => Ok(()),
        }
    }

    /// Kills the controller; its machine stays on.
    pub fn kill_controller(&self) {
        self.strip().fleet.halt_controller();
    }

    /// Starts the controller, in the same boot, unless its machine is off; whether it did.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_controller(&self) -> anyhow::Result<bool> {
        let mut strip = self.strip();
        let on = strip.master.as_ref().is_none_or(|master| strip.hosts.get(master).is_some_and(|host| host.on));
        if on {
            strip.fleet.spawn_controller()?;
            write_pid(&mut strip.fleet)?;
        }
        Ok(on)
    }

    /// Changes what the controller is started with.
    pub fn change_controller(&self, change: impl FnOnce(&mut Fleet)) {
        change(&mut self.strip().fleet);
    }

    /// What the controller remembers of power; null if it remembers nothing.
    pub fn memory(&self) -> Value {
        remembered(&self.state.join("power"))
    }

    /// What a node remembers of its way down; null if it remembers nothing.
    pub fn memory_of(&self, node: &str) -> Value {
        remembered(&self.folder.join(node).join("shutdown"))
    }

    /// The state of power.
    ///
    /// # Errors
    /// When the controller does not tell.
    pub async fn status(&self) -> anyhow::Result<v1::PowerStatus> {
        let request = v1::GetPowerStatusRequest {};
        self.client.ask(async |channel| Ok(PowerClient::new(channel).get_status(request).await?.into_inner())).await
    }

    /// The outages, newest first, drills too.
    ///
    /// # Errors
    /// When the controller does not tell.
    pub async fn outages(&self) -> anyhow::Result<Vec<v1::Outage>> {
        let request = v1::ListOutagesRequest { limit: 50, number: 0, with_drills: true };
        let asked = self.client.ask(async |channel| PowerClient::new(channel).list_outages(request).await);
        Ok(asked.await?.into_inner().outages)
    }

    /// Waits until an outage has a line of this kind and node, and returns it.
    ///
    /// # Errors
    /// When it does not come; tells the lines that there are.
    pub async fn wait_for_line(&self, outage: u64, node: &str, kind: &str) -> anyhow::Result<v1::OutageEvent> {
        let mut last = Vec::new();
        let what = format!("{kind} of {node:?} in outage {outage}");
        let found = wait_for(&what, async || {
            let outages = self.outages().await?;
            last = outages.into_iter().find(|one| one.number == outage).map(|one| one.events).unwrap_or_default();
            Ok(last.iter().find(|line| line.node == node && line.kind == kind).cloned())
        });
        found.await.with_context(|| told(&last))
    }

    /// Waits until an outage has ended, and returns it.
    ///
    /// # Errors
    /// When it does not end; tells the lines that there are.
    pub async fn wait_for_end(&self, outage: u64) -> anyhow::Result<v1::Outage> {
        let mut last = None;
        let what = format!("the end of outage {outage}");
        let found = wait_for_within(LONGEST_OUTAGE, &what, async || {
            last = self.outages().await?.into_iter().find(|one| one.number == outage);
            Ok(last.clone().filter(|one| one.ended_unix_ms.is_some()))
        });
        let found = found.await;
        found.with_context(|| last.map_or_else(|| "there is no such outage".to_owned(), |one| told(&one.events)))
    }

    /// Waits until all hosts are on, all nodes are up, and nothing goes on or is held any more.
    ///
    /// # Errors
    /// When that does not come.
    pub async fn wait_until_well(&self) -> anyhow::Result<()> {
        let mut problem = String::new();
        let well = wait_for("all to be well again", async || {
            problem = self.problem().await?;
            Ok(problem.is_empty().then_some(()))
        });
        well.await.with_context(|| problem)
    }

    /// What is not as it was before; empty if nothing.
    async fn problem(&self) -> anyhow::Result<String> {
        let off = self.off();
        if !off.is_empty() {
            return Ok(format!("off: {off:?}"));
        }
        let states = self.client.status().await?.nodes;
        let up = i32::from(v1::NodeState::Up);
        if let Some(node) = states.iter().find(|node| node.state != up) {
            return Ok(format!("{} is in state {}", node.name, node.state));
        }
        if let Some(outage) = self.status().await?.outage {
            return Ok(format!("outage {} goes on: {}", outage.number, told(&outage.events)));
        }
        if !self.memory()["state"]["held"].as_array().is_none_or(Vec::is_empty) {
            return Ok(format!("the controller holds {}", self.memory()["state"]["held"]));
        }
        let held = self.names.iter().find(|node| !self.memory_of(node)["hold_since_ms"].is_null());
        Ok(held.map(|node| format!("{node} holds K3s")).unwrap_or_default())
    }

    /// What the strip did, and when.
    pub fn story(&self) -> String {
        let strip = self.strip();
        let first = strip.story.first().map_or_else(now, |(at, _)| *at);
        let lines = strip.story.iter().map(|(at, what)| format!("{:7.2} {what}\n", (*at - first).as_secs_f64()));
        lines.collect()
    }

    /// A host takes so long to boot.
    pub fn boots_in(&self, boot: Duration) {
        self.strip().boot = boot;
    }

    /// The log of an agent.
    pub fn agent_log(&self, node: &str) -> String {
        self.strip().hosts.get(node).map_or_else(String::new, |host| host.agent.log())
    }

    /// The controller's log.
    pub fn controller_log(&self) -> String {
        self.strip().fleet.controller_log()
    }
}

/// The lines of a timeline, for a person.
pub fn told(lines: &[v1::OutageEvent]) -> String {
    let lines =
        lines.iter().map(|line| format!("\n{:8} {:10} {:20} {}", line.at_ms, line.node, line.kind, line.message));
    lines.collect()
}

/// The JSON behind the first line of a state file.
fn remembered(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_once('\n').and_then(|(_, json)| serde_json::from_str(json).ok()).unwrap_or_default()
}

/// Whether stories are to be told at their full length.
pub fn all_stories() -> bool {
    std::env::var_os(ALL).is_some_and(|value| !value.is_empty())
}

/// This moment, to measure by.
#[expect(clippy::disallowed_methods, reason = "the one clock of the harness")]
pub fn now() -> Instant {
    Instant::now()
}
