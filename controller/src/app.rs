//! The composition root: puts the parts together, runs them, takes them down.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use rackhaven_pki::clock::TrustClock;
use rackhaven_pki::{CertificateInfo, PrivateKey, Validity, durable, server};
use rackhaven_proto::daemon::read_toml;
use rackhaven_proto::model::{NodeState, Severity};
use rackhaven_proto::v1::controller_message::Body;
use rustls::ServerConfig;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::access::Directory;
use crate::alerts::{self, Desk};
use crate::backup::{self, Backups};
use crate::clock::Clock;
use crate::commands::Commands;
use crate::config::{Config, RawConfig};
use crate::core::{Cluster, Core};
use crate::events::Events;
use crate::fleet::{Registry, StateChange};
use crate::history::{Keep, MinuteRow};
use crate::init::{StateFiles, issue_server, read_authority};
use crate::k3s::{self, Artifacts};
use crate::logs::LogDesk;
use crate::metrics;
use crate::net::{Connections, Denials, Gate, TlsListener, serve_socket};
use crate::power::config::PowerConfig;
use crate::power::{self, Power};
use crate::service;
use crate::store::{BackupFilter, History, Store, StoreError};
use crate::waiting::{Found, until_initialised};

/// How often liveness is looked at.
const SWEEP: Duration = Duration::from_millis(250);
/// How often minutes are stored and bounds are seen to.
const MAINTENANCE: Duration = Duration::from_secs(30);
/// How long after a change of nodes, users or certificates the store is copied.
const COPY_DELAY: Duration = Duration::from_secs(2);

/// Where a controller keeps what it knows and finds how it should be.
#[derive(Debug, Clone)]
pub struct Paths {
    /// controller.toml.
    pub config: PathBuf,
    /// The state folder.
    pub state: PathBuf,
    /// Where the id of this boot is read.
    pub boot_id: PathBuf,
}

/// Reads the configuration; a file that is not there means all defaults.
///
/// # Errors
/// When it cannot be used.
pub fn read_config(path: &Path) -> anyhow::Result<Config> {
    Ok(read_toml::<RawConfig, Config>(path, true)?)
}

/// The id of this boot; empty if it cannot be read, and then every start counts as one after a boot.
fn read_boot_id(path: &Path) -> String {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_else(|error| {
        tracing::error!(path = %path.display(), %error, "the boot's id cannot be read");
        String::new()
    })
}

/// Runs until told to stop. Where there is no cluster yet it waits for one first.
///
/// # Errors
/// When a part cannot be started.
pub async fn run(paths: Paths, config: Config) -> anyhow::Result<()> {
    let files = StateFiles::new(&paths.state);
    let Some(Found { cluster, waited }) = until_initialised(&files).await? else { return Ok(()) };
    // Written, perhaps, between the installation and the initialisation.
    let config = if waited { read_config(&paths.config)? } else { config };
    raise_file_limit();
    let clock = Arc::new(Clock::start());
    let (store, restored) = open_store(&paths.state)?;
    let boot_id = read_boot_id(&paths.boot_id);
    let power = power::start(&paths.state, &config.power, &clock, &store, boot_id).await?;
    let complaint = power.complaint.clone();
    let (power, drive) = power.split();
    let core = Arc::new(assemble(&files, cluster, config, Arc::clone(&clock), store, power).await?);
    if let Some(complaint) = complaint {
        core.events.observe(&clock, None, "state.damaged", Severity::Critical, complaint).await;
    }
    if let Some(message) = restored {
        core.events.observe(&clock, None, "store.restored", Severity::Critical, message).await;
    }
    core.access_changed.notify_one();
    let tls = Arc::new(ArcSwap::new(server_tls(&files, &core)?));
    let gate = Arc::new(Gate::new(Arc::clone(&core), service::routes(&core)));
    let mut tasks = tokio::task::JoinSet::new();
    let config = core.config.load_full();
    for address in &config.listen {
        let listener = TlsListener::bind(*address, Arc::clone(&tls), Arc::clone(&gate))
            .with_context(|| format!("listening on {address}"))?;
        tracing::info!(%address, "listening");
        tasks.spawn(listener.serve());
    }
    if let Some(path) = &config.socket {
        match serve_socket(path, Arc::clone(&gate)) {
            Ok(serving) => drop(tasks.spawn(serving)),
            // Without it root still gets in with admin.context.
            Err(error) => tracing::warn!(path = %path.display(), %error, "no Unix socket"),
        }
    }
    for listener in metrics::listeners(&core) {
        tasks.spawn(listener.serve());
    }
    tasks.spawn(watch_nodes(Arc::clone(&core)));
    let driven = tokio::spawn(power::drive(Arc::clone(&core), drive));
    tasks.spawn(backup::keep_watch(Arc::clone(&core)));
    tasks.spawn(k3s::nodes::keep(Arc::clone(&core)));
    tasks.spawn(k3s::cordon::settle(Arc::clone(&core)));
    tasks.spawn(alerts::drive(Arc::clone(&core)));
    tasks.spawn(alerts::deliver(Arc::clone(&core)));
    tasks.spawn(keep_copy(Arc::clone(&core)));
    tasks.spawn(maintain(Arc::clone(&core), files.clone(), tls));
    let status = format!("cluster {}", core.cluster.name);
    let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
    tracing::info!(cluster = core.cluster.name, id = %core.cluster.id, "ready");
    tokio::select! {
        ended = wait_for_end(&core, &paths) => ended?,
        // A controller that does not look after power is worse than one that the service manager starts anew: that goes
        // on where it was.
        ended = driven => match ended {
            Ok(()) => bail!("power is not driven any more"),
            Err(error) => bail!("power is not driven any more: {error}"),
        },
    }
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    tasks.shutdown().await;
    // The minute under way, too.
    store_minutes(&core, i64::MAX).await;
    if let Err(error) = core.store.copy().await {
        tracing::warn!(%error, "the store could not be copied");
    }
    if let Some(path) = &config.socket {
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

/// Opens the store. A damaged one is set aside and the last good copy takes its place; without a copy nothing is
/// changed, because an empty store would lock every node out without a word.
fn open_store(folder: &Path) -> anyhow::Result<(Store, Option<String>)> {
    let (path, copy) = Store::paths(folder);
    let reason = match Store::open_existing(folder) {
        Ok(store) => return Ok((store, None)),
        Err(StoreError::Damaged { reason, .. }) => reason,
        Err(error) => return Err(error.into()),
    };
    let found = std::fs::metadata(&copy).and_then(|metadata| metadata.modified());
    let Ok(copied) = found else {
        bail!(
            "{} is damaged ({reason}) and there is no copy {}; nothing was changed. Bring back a backup of {}",
            path.display(),
            copy.display(),
            folder.display()
        );
    };
    let kept = if path.exists() {
        format!("set aside as {}", durable::set_aside(&path)?.display())
    } else {
        "nothing was left to set aside".to_owned()
    };
    for suffix in ["-wal", "-shm"] {
        let beside = PathBuf::from(format!("{}{suffix}", path.display()));
        if beside.exists() {
            durable::set_aside(&beside)?;
        }
    }
    std::fs::copy(&copy, &path).with_context(|| format!("copying {}", copy.display()))?;
    let age =
        copied.elapsed().map_or_else(|_| "an unknown time".to_owned(), |age| format!("{} min", age.as_secs() / 60));
    let message = format!(
        "the store was damaged ({reason}), {kept}; its copy of {age} ago took its place: check `ctl user list` and \
         `ctl node list` for what was changed since"
    );
    Ok((Store::open(folder)?, Some(message)))
}

async fn assemble(
    files: &StateFiles,
    cluster: Cluster,
    config: Config,
    clock: Arc<Clock>,
    store: Store,
    power: Power,
) -> anyhow::Result<Core> {
    let authority = read_authority(files, &cluster)?;
    let (nodes, users) = (store.nodes().await?, store.users().await?);
    let backups = Backups::load(backup::Loaded {
        jobs: store.backup_jobs().await?,
        runs: store.backup_runs_that_count().await?,
        archives: store.backup_archives(BackupFilter::default()).await?,
        troubles: store.backup_troubles().await?,
        given: store.given_jobs().await?,
    });
    let (stored, silences, cursor) = store.alerts().await?;
    let stored = alerts::core::Alerts::load(stored, silences, power.now_ms(clock.boot_ms()));
    let (certificates, open) = (store.certificates().await?, store.open_commands().await?);
    // The clock cannot be before the newest certificate was issued.
    clock.has_passed(certificates.iter().map(|row| row.issued_ms).max().unwrap_or(0));
    let (now_ms, wall_ms) = (clock.monotonic_ms(), clock.wall_ms());
    let history = if config.history.enabled {
        let (history, message) = History::open(&files.folder)?;
        if let Some(message) = message {
            tracing::error!("{message}");
        }
        // A node may have been removed while nothing was kept, or just before an end.
        history.keep_only(nodes.iter().map(|row| row.name.to_string()).collect()).await?;
        Some(history)
    } else {
        None
    };
    let k3s_folder = files.folder.join("k3s");
    let k3s_cluster = Arc::new(k3s::cluster::Cluster::open(&k3s_folder));
    let k3s = k3s::api::Api::new(k3s_folder.join("kubeconfig.yaml"), config.k3s.kubeconfig.clone());
    let artifacts = Artifacts::new(k3s_folder);
    artifacts.clean();
    Ok(Core {
        registry: Registry::load(nodes, config.history.recent_points, now_ms),
        directory: Directory::load(certificates, users),
        events: Events::new(store.clone()),
        commands: Commands::load(store.clone(), open, now_ms, wall_ms),
        artifacts,
        k3s_orders: k3s::OrderDesk::default(),
        k3s_cluster,
        k3s,
        k3s_nodes: k3s::nodes::Nodes::default(),
        logs: LogDesk::default(),
        denials: Denials::new(store.clone()),
        connections: Connections::default(),
        access_changed: Notify::new(),
        minutes: Mutex::default(),
        swept_ms: AtomicU64::new(now_ms),
        server_certificate_ends_s: AtomicI64::new(0),
        config: ArcSwap::from_pointee(config),
        clock,
        store,
        power,
        alerts: Desk::new(stored, cursor),
        backups,
        history,
        authority,
        cluster,
    })
}

/// The server's certificate, renewed first when two thirds of its life are over or it cannot be read.
fn server_tls(files: &StateFiles, core: &Core) -> anyhow::Result<Arc<ServerConfig>> {
    let path = files.server();
    let now_s = core.clock.now_unix_s().max(core.clock.floor_unix_s());
    let current = std::fs::read_to_string(&path).ok().and_then(|pem| {
        let info = CertificateInfo::from_pem(&pem).ok()?;
        (PrivateKey::from_pem(&pem).is_ok() && info.renew_unix_s() > now_s).then_some(pem)
    });
    let pem = match current {
        Some(pem) => pem,
        None => {
            let life_s = core.config.load().certificates.server_life_s;
            issue_server(files, &core.authority, Validity { now_unix_s: now_s, life_s })?;
            tracing::info!("the controller's certificate was renewed");
            std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?
        }
    };
    let info = CertificateInfo::from_pem(&pem)?;
    core.server_certificate_ends_s.store(info.not_after_unix_s, Ordering::Relaxed);
    let clock: Arc<dyn TrustClock> = Arc::clone(&core.clock) as Arc<dyn TrustClock>;
    Ok(server::tls(&pem, &PrivateKey::from_pem(&pem)?, core.authority.certificate_pem(), clock)?)
}

/// Renews the store's copy when it matters, some seconds after the first of many changes.
async fn keep_copy(core: Arc<Core>) {
    loop {
        core.access_changed.notified().await;
        tokio::time::sleep(COPY_DELAY).await;
        if let Err(error) = core.store.copy().await {
            tracing::warn!(%error, "the store could not be copied");
        }
    }
}

/// Lets time pass for the nodes, and tells what it changed.
async fn watch_nodes(core: Arc<Core>) {
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        sweep.tick().await;
        let now_ms = core.clock.monotonic_ms();
        core.registry.tick(now_ms, &core.thresholds());
        for change in core.registry.take_changes(now_ms) {
            tell_change(&core, change).await;
        }
        core.commands.sweep(now_ms).await;
        core.swept_ms.store(now_ms, Ordering::Relaxed);
    }
}

async fn tell_change(core: &Core, change: StateChange) {
    let StateChange { node, before, now, silent_ms } = change;
    let (kind, severity, message) = match now {
        NodeState::Up if before == NodeState::Unknown => {
            ("node.up", Severity::Info, format!("{node} is up for the first time"))
        }
        NodeState::Up => ("node.up", Severity::Info, format!("{node} is up again, it was {before}")),
        NodeState::Off => ("node.off", Severity::Info, format!("{node} is off, as it was told")),
        _ => {
            let silence = silent_ms.map_or_else(
                || "not heard of since the controller started".to_owned(),
                |ms| format!("silent for {} s", ms / 1000),
            );
            ("node.down", Severity::Critical, format!("{node} is down: {silence}"))
        }
    };
    let wall_ms = core.clock.wall_ms();
    let heard_ms = silent_ms.map(|silent| wall_ms.saturating_sub_unsigned(silent));
    if let Err(error) = core.store.set_node_state(node.clone(), now, wall_ms, heard_ms).await {
        tracing::error!(%node, %error, "a node's state could not be stored");
    }
    core.events.observe(&core.clock, Some(&node), kind, severity, message).await;
}

/// Stores minutes, forgets what is beyond its bounds, renews the server's certificate.
async fn maintain(core: Arc<Core>, files: StateFiles, tls: Arc<ArcSwap<ServerConfig>>) {
    let mut rounds = tokio::time::interval(MAINTENANCE);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    rounds.tick().await;
    loop {
        rounds.tick().await;
        store_minutes(&core, core.clock.wall_ms()).await;
        core.denials.sweep();
        if let Err(error) = core.store.prune(core.clock.wall_ms()).await {
            tracing::error!(%error, "the store could not be pruned");
        }
        match server_tls(&files, &core) {
            Ok(config) => tls.store(config),
            Err(error) => tracing::error!("the controller's certificate: {error:#}"),
        }
    }
}

/// Stores the minutes that are over by `wall_ms`. What the disk refuses is kept for the next time.
async fn store_minutes(core: &Core, wall_ms: i64) {
    let Some(history) = &core.history else { return };
    core.add_minutes(core.registry.end_minutes(wall_ms.div_euclid(60_000)));
    let mut rows = std::mem::take(&mut *core.minutes.lock().unwrap_or_else(PoisonError::into_inner));
    rows.retain(|row| core.registry.contains(row.node.as_str()));
    let rows: Arc<[MinuteRow]> = rows.into();
    let keep = Keep::new(&core.config.load().history);
    if let Err(error) = history.store_minutes(Arc::clone(&rows), core.clock.wall_ms().div_euclid(1000), keep).await {
        tracing::error!(%error, "minutes could not be stored");
        core.add_minutes(rows.iter().cloned());
    }
}

/// Feeds the watchdog and reloads when asked to, until told to stop.
async fn wait_for_end(core: &Core, paths: &Paths) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("waiting for SIGHUP")?;
    let watchdog = sd_notify::watchdog_enabled();
    let mut feed = tokio::time::interval(watchdog.map_or(Duration::from_secs(3600), |limit| limit / 2));
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => reload(core, paths).await,
            _ = feed.tick() => if watchdog.is_some() {
                // Only if the store answers: a controller that cannot remember is restarted.
                let _ = core.store.prune(core.clock.wall_ms()).await;
                let _ = sd_notify::notify(&[NotifyState::Watchdog]);
            },
        }
    }
}

/// Takes up what can be changed while running, and says what cannot.
async fn reload(core: &Core, paths: &Paths) {
    let fresh = match read_config(&paths.config) {
        Ok(fresh) => fresh,
        Err(error) => return tracing::error!("the configuration was not reloaded: {error:#}"),
    };
    let old = core.config.load_full();
    let fixed = [
        ("listen", old.listen != fresh.listen),
        ("socket", old.socket != fresh.socket),
        ("metrics", old.metrics != fresh.metrics),
        ("history", old.history != fresh.history),
        ("power.ups, power.witnesses, power.facade", needs_restart(&old.power, &fresh.power)),
        ("log", old.log != fresh.log),
        ("limits.enrolments_per_minute", old.limits.enrolments_per_minute != fresh.limits.enrolments_per_minute),
    ];
    for (key, _) in fixed.iter().filter(|(_, changed)| *changed) {
        tracing::warn!("{key} was changed; this takes a restart");
    }
    let mut fresh = fresh;
    if needs_restart(&old.power, &fresh.power) {
        // The core counts UPSes and witnesses by their places.
        let (upses, witnesses) = (old.power.upses.clone(), old.power.witnesses.clone());
        fresh.power = PowerConfig { upses, witnesses, ..fresh.power };
        fresh.power.policy.ups_count = old.power.policy.ups_count;
        fresh.power.policy.minimum_supplies = old.power.policy.minimum_supplies;
    }
    core.k3s.configure(fresh.k3s.kubeconfig.clone());
    core.config.store(Arc::new(fresh));
    for outbox in core.registry.outboxes() {
        outbox.try_send(Body::Settings(service::settings(core)));
    }
    tracing::info!("configuration reloaded");
}

/// Whether what listens or is listened to has changed.
fn needs_restart(old: &PowerConfig, new: &PowerConfig) -> bool {
    old.upses != new.upses || old.witnesses != new.witnesses || old.facade != new.facade
}

/// Each session takes a file descriptor: as many as the system allows.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!(%error, "the limit of open files stays at {soft}");
    }
}
