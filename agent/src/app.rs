//! The composition root: puts the parts together, runs them, takes them down.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rackhaven_pki::{Subject, random};
use rackhaven_proto::daemon::read_toml;
use rackhaven_proto::model::{NodeName, RunId, Severity};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::backup::{self, Backups, StoppedByShutdown};
use crate::config::{Config, RawConfig};
use crate::host::inhibit::{Inhibitor, Told};
use crate::host::linux::{CommandSwitch, LinuxClock, LinuxProbe, Place, Roots, StorageWatch};
use crate::host::units::UnitsWatch;
use crate::host::{AskedBeside, Clock, PowerSwitch, Probe};
use crate::k3s::{self, K3sOrders};
use crate::link::{Link, Node, Parts, Request};
use crate::logs::Logs;
use crate::service;
use crate::shutdown::{Ends, Event, RunningBackups, Setup, Shutdown, ToShutdown};
use crate::state::{Began, Journal, Spool, StateFolder, begin_run, end_run};
use crate::trust::BoardTrust;
use crate::waiting::{Joined, until_joined};

/// How often systemd is asked for failed units.
const UNITS_EVERY: Duration = Duration::from_secs(60);
/// How often disks are asked how they are: wear shows in weeks, and each asking runs a program.
const STORAGE_EVERY: Duration = Duration::from_secs(3600);
/// How long a stop may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Where an agent keeps what it knows and finds how it should be.
#[derive(Debug, Clone)]
pub struct Paths {
    /// agent.toml.
    pub config: PathBuf,
    /// The state folder.
    pub state: PathBuf,
    /// Where this boot's id is read, if not from the kernel.
    pub boot_id: Option<PathBuf>,
}

/// Reads the configuration; a file that is not there means all defaults.
///
/// # Errors
/// When it cannot be used.
pub fn read_config(path: &Path) -> anyhow::Result<Config> {
    Ok(read_toml::<RawConfig, Config>(path, true)?)
}

fn switch(config: &Config) -> Arc<dyn PowerSwitch> {
    let power = config.power.clone();
    Arc::new(CommandSwitch::new(power.reboot_command, power.poweroff_command, power.timeout, Place::beyond_sandbox()))
}

fn setup(config: &Config, backups: &Arc<StoppedByShutdown>) -> Arc<Setup> {
    let (shutdown, k3s) = (config.shutdown.clone(), config.k3s.clone());
    let place = Place::beyond_sandbox();
    Arc::new(Setup {
        shutdown,
        k3s,
        power: switch(config),
        backups: Arc::clone(backups) as Arc<dyn RunningBackups>,
        place,
    })
}

/// Where backups are configured, begun and reported.
fn backup_paths(paths: &Paths, config: &Config, node: NodeName) -> backup::Paths {
    let state = |name: &str| paths.state.join(name);
    backup::Paths {
        program: config.backup.engine.clone(),
        local: config.backup.jobs_dir.clone(),
        given: state("given-jobs"),
        runs: state("backup-runs"),
        state: state("backup"),
        status: config.backup.status_dir.clone(),
        node,
    }
}

/// Where orders about K3s are kept while they are carried out.
fn k3s_orders(paths: &Paths, config: &Config) -> K3sOrders {
    let paths = k3s::Paths {
        program: config.k3s.engine.clone(),
        state: paths.state.join("k3s"),
        status: config.backup.status_dir.clone(),
    };
    K3sOrders::new(paths, Place::beyond_sandbox())
}

/// Runs until told to stop. On a node that has not joined yet it waits for that first.
///
/// # Errors
/// When the node's identity is damaged, or a part cannot be started.
pub async fn run(paths: Paths, config: Config) -> anyhow::Result<()> {
    let folder = StateFolder::open(&paths.state).with_context(|| format!("making {}", paths.state.display()))?;
    let Some(Joined { credentials, waited }) = until_joined(&folder).await? else { return Ok(()) };
    // Written, perhaps, between the installation and the invitation.
    let config = if waited { read_config(&paths.config)? } else { config };
    let clock: Arc<dyn Clock> = Arc::new(LinuxClock);
    let mut roots = Roots::default();
    roots.boot_id = paths.boot_id.clone().unwrap_or(roots.boot_id);
    let probe = LinuxProbe::new(roots, Arc::clone(&clock));
    let boot_id = probe.facts().boot_id;
    let Began { last_run, stop_recorded, damaged, written } = begin_run(&folder, &boot_id, service::records_stops());
    let run_id = RunId(random()?);
    let first_run = last_run.is_none() && damaged.is_none();
    let (spool, mut complaints) = Spool::open(&folder, run_id, &boot_id);
    let (journal, damaged_journal) = Journal::open(&folder);
    let Subject::Node(name) = credentials.identity.subject.clone() else {
        bail!("the identity is of {}, not of a node", credentials.identity.subject);
    };
    let trust = Arc::new(BoardTrust::new(Arc::clone(&clock), folder.clock_floor()));
    let where_to = backup_paths(&paths, &config, name.clone());
    let (backups, of_backups, damaged_backups) =
        Backups::open(&folder, where_to, Place::beyond_sandbox(), Arc::clone(&clock), Arc::clone(&trust));
    let stopped = Arc::new(StoppedByShutdown(of_backups.told.clone()));
    let (shutdown, Ends { told, tells, let_go }, damaged_shutdown) = Shutdown::open(
        &folder,
        Arc::clone(&clock),
        &boot_id,
        last_run.as_ref(),
        stop_recorded,
        setup(&config, &stopped),
    );
    complaints.extend(damaged.into_iter().chain(damaged_journal).chain(damaged_shutdown).chain(damaged_backups));
    let (requests, asked) = mpsc::channel(4);
    let (tell_beside, asked_beside) = mpsc::channel(1);
    let parts = Parts {
        clock: Arc::clone(&clock),
        probe: Box::new(probe),
        power: switch(&config),
        spool,
        journal,
        run_id,
        last_run,
        first_run,
        requests: asked,
        asked_beside,
        logs: Logs::new(config.programs.journalctl.clone()),
        k3s: k3s_orders(&paths, &config),
        shutdown: told.clone(),
        shutdown_tells: tells,
        backups: of_backups.told.clone(),
        backups_tell: of_backups.tells,
    };
    let mut node = Node::new(parts);
    if let Err(error) = written {
        // A board whose disk is full or read-only must still be seen and switched off.
        let complaint = format!("the start could not be written down: {error}");
        tracing::error!("{complaint}");
        node.note("state.unwritable", Severity::Critical, &complaint);
    }
    for complaint in complaints {
        tracing::error!("{complaint}");
        node.note("state.damaged", Severity::Critical, &complaint);
    }
    let mut link = Link::new(folder.clone(), credentials, trust);
    tokio::spawn(watch_units(tell_beside.clone()));
    tokio::spawn(watch_storage(config.programs.smartctl.clone(), tell_beside));
    tokio::spawn(shutdown.run());
    tokio::spawn(backups.run());
    tokio::spawn(watch_machine(told.clone(), let_go));
    service::status(&format!("node {name}: looking for the controller"));
    service::ready();
    tracing::info!(%name, version = rackhaven_proto::VERSION, "agent started");
    let linked = tokio::spawn(async move { link.run(&mut node).await });
    let reason = tokio::select! {
        reason = wait_for_end(&paths, &requests, &told, &stopped) => reason?,
        // Only with an identity that cannot be used.
        ended = linked => return ended?.map_err(anyhow::Error::msg),
    };
    service::stopping();
    if let Err(error) = end_run(&folder, &boot_id, &reason, service::records_stops()) {
        tracing::error!(%error, "the stop could not be written down");
    }
    let (done, stopped) = oneshot::channel();
    // What is performed is cut short, and gone on with by the next run.
    if told.send(ToShutdown::Stop(done)).await.is_ok() {
        let _ = tokio::time::timeout(STOP_TIMEOUT, stopped).await;
    }
    let _ = requests.send(Request::Stop(reason)).await;
    // The link drops its end when it has said farewell.
    let _ = tokio::time::timeout(STOP_TIMEOUT, requests.closed()).await;
    Ok(())
}

async fn watch_units(told: mpsc::Sender<AskedBeside>) {
    let mut watch = UnitsWatch::default();
    let mut rounds = rounds(UNITS_EVERY);
    loop {
        rounds.tick().await;
        if told.send(AskedBeside::Units(watch.look().await)).await.is_err() {
            return;
        }
    }
}

async fn watch_storage(smartctl: String, told: mpsc::Sender<AskedBeside>) {
    let mut watch = StorageWatch::new(Roots::default(), &smartctl, Place::beyond_sandbox());
    let mut rounds = rounds(STORAGE_EVERY);
    loop {
        rounds.tick().await;
        if told.send(AskedBeside::Storage(watch.look().await)).await.is_err() {
            return;
        }
    }
}

fn rounds(every: Duration) -> tokio::time::Interval {
    let mut rounds = tokio::time::interval(every);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    rounds
}

/// Passes on what logind tells of this machine.
async fn watch_machine(told: mpsc::Sender<ToShutdown>, let_go: mpsc::Receiver<()>) {
    let (tell, mut tells) = mpsc::channel(1);
    tokio::spawn(Inhibitor::default().run(tell, let_go));
    while let Some(news) = tells.recv().await {
        let event = match news {
            Told::Stops(budget_ms) => Event::MachineStops { budget_ms },
            Told::Stays => Event::MachineStays,
        };
        if told.send(ToShutdown::Event(event)).await.is_err() {
            return;
        }
    }
}

/// Feeds the watchdog and reloads when asked to, until told to stop; why.
async fn wait_for_end(
    paths: &Paths,
    requests: &mpsc::Sender<Request>,
    shutdown: &mpsc::Sender<ToShutdown>,
    backups: &Arc<StoppedByShutdown>,
) -> anyhow::Result<String> {
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("waiting for SIGHUP")?;
    let watchdog = service::watchdog_pace();
    let mut feed = tokio::time::interval(watchdog.unwrap_or(Duration::from_secs(3600)));
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok("SIGTERM".to_owned()),
            _ = interrupt.recv() => return Ok("SIGINT".to_owned()),
            _ = hangup.recv() => match read_config(&paths.config) {
                Ok(fresh) => {
                    let _ = shutdown.send(ToShutdown::Setup(setup(&fresh, backups))).await;
                    let _ = requests.send(Request::Reload(switch(&fresh))).await;
                    let _ = backups.0.send(backup::ToBackups::Reload).await;
                }
                Err(error) => tracing::error!("the configuration was not reloaded: {error:#}"),
            },
            _ = feed.tick() => if watchdog.is_some() {
                service::feed_watchdog();
            },
        }
    }
}
