//! A fleet made of agents in one process: each speaks the real protocol over real mutual TLS, and measures nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use rackhaven_pki::clock::SystemClock;
use rackhaven_pki::{Credentials, PrivateKey, Token, client};
use rackhaven_proto::model::{Endpoint, Hello, NodeFacts, NodeName, RunId};
use rackhaven_proto::v1;
use rackhaven_proto::v1::agent_message::Body;
use rackhaven_proto::v1::controller_message::Body as FromController;
use rackhaven_proto::v1::enrolment_client::EnrolmentClient;
use rackhaven_proto::v1::sessions_client::SessionsClient;
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

/// A simulated node: its name, and the TLS side of its identity.
#[derive(Clone)]
pub struct SimNode {
    name: NodeName,
    tls: Arc<ClientConfig>,
    server_name: Arc<str>,
}

/// How many of the simulated agents have a session now, and how many sessions there were.
#[derive(Debug, Default)]
pub struct Gauge {
    connected: AtomicUsize,
    opened: AtomicUsize,
    ordered_ms: Mutex<Vec<i64>>,
    full_disks: AtomicUsize,
}

impl Gauge {
    /// So many more file systems appear on each agent, all of them full.
    pub fn fill_disks(&self, count: usize) {
        self.full_disks.store(count, Ordering::Relaxed);
    }

    /// Agents with a session.
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// When orders to go down arrived, milliseconds since 1970-01-01 UTC.
    pub fn ordered_ms(&self) -> Vec<i64> {
        self.ordered_ms.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sessions that were welcomed since the start.
    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

/// Enrols one node by an invitation.
///
/// # Errors
/// When the controller refuses.
pub async fn enrol(endpoint: &Endpoint, token: &Token, name: &str) -> anyhow::Result<SimNode> {
    let key = PrivateKey::generate()?;
    let tls = client::enrolment_tls(token.ca_fingerprint, Arc::new(SystemClock))?;
    let stream = client::dial(endpoint, &tls, "controller.internal").await?;
    let request = v1::EnrolRequest {
        token_id: token.id.to_string(),
        token_secret: token.secret().to_owned(),
        csr_der: key.signing_request()?,
        kind: v1::SubjectKind::Node.into(),
        name: name.to_owned(),
        fallback_name: String::new(),
    };
    let answer = EnrolmentClient::new(client::channel(stream).await?).enrol(request).await?;
    let credentials = Credentials::from_enrolment(token, &key, endpoint, answer.into_inner())?;
    Ok(SimNode {
        name: name.parse()?,
        tls: client::tls(&credentials, Arc::new(SystemClock))?,
        server_name: credentials.cluster_id.server_name().into(),
    })
}

/// Enrols many nodes, some at a time.
///
/// # Errors
/// When one of them is refused.
pub async fn enrol_many(endpoint: &Endpoint, token: &Token, names: Vec<String>) -> anyhow::Result<Vec<SimNode>> {
    const AT_A_TIME: usize = 16;
    let mut nodes = Vec::with_capacity(names.len());
    let mut running = JoinSet::new();
    for name in names {
        let (endpoint, token) = (endpoint.clone(), token.clone());
        running.spawn(async move { enrol(&endpoint, &token, &name).await });
        if running.len() >= AT_A_TIME
            && let Some(done) = running.join_next().await
        {
            nodes.push(done??);
        }
    }
    while let Some(done) = running.join_next().await {
        nodes.push(done??);
    }
    Ok(nodes)
}

/// Connects once, as the holder of the node's certificate.
///
/// # Errors
/// When the controller cannot be reached or is not trusted.
pub async fn connect(endpoint: &Endpoint, node: &SimNode) -> anyhow::Result<Channel> {
    let stream = client::dial(endpoint, &node.tls, &node.server_name).await?;
    Ok(client::channel(stream).await?)
}

/// Runs an agent for ever: a session, and another when it breaks, with the real agent's back-off.
pub async fn run_agent(endpoint: Endpoint, node: SimNode, gauge: Arc<Gauge>) {
    let mut back_off = rackhaven_agent::link::BackOff::default();
    loop {
        // How it ended is of no interest here: the gauge tells.
        let _ = session(&endpoint, &node, &gauge, &mut back_off).await;
        let jitter = rackhaven_pki::random::<1>().map_or(0.5, |[byte]| f64::from(byte) / 256.0);
        tokio::time::sleep(Duration::from_millis(back_off.next_ms(jitter))).await;
    }
}

async fn session(
    endpoint: &Endpoint,
    node: &SimNode,
    gauge: &Gauge,
    back_off: &mut rackhaven_agent::link::BackOff,
) -> anyhow::Result<()> {
    let channel = connect(endpoint, node).await?;
    let (outbox, outgoing) = mpsc::channel(4);
    let hello = hello(node).context("hello")?;
    outbox.try_send(message(Body::Hello(hello)))?;
    let mut inbound = SessionsClient::new(channel).open(ReceiverStream::new(outgoing)).await?.into_inner();
    let welcome = match inbound.message().await?.and_then(|message| message.body) {
        Some(FromController::Welcome(welcome)) => welcome,
        other => return Err(anyhow!("not a welcome: {other:?}")),
    };
    back_off.reset();
    let settings = welcome.settings.unwrap_or_default();
    let _counted = Counted::new(gauge);
    let mut heartbeat = tokio::time::interval(Duration::from_millis(settings.heartbeat_ms.max(100).into()));
    // Real agents did not all start in the same instant.
    let phase = rackhaven_pki::random::<2>().map_or(0, u16::from_le_bytes);
    let period = Duration::from_millis(settings.sample_ms.max(100).into());
    let mut samples = tokio::time::interval(period);
    samples.reset_after(period * u32::from(phase) / 65_536);
    let mut sequence = 0;
    loop {
        tokio::select! {
            received = inbound.message() => {
                let Some(message) = received? else { return Ok(()) };
                if let Some(answer) = message.body.and_then(|body| obey(body, gauge)) {
                    outbox.send(self::message(answer)).await?;
                }
            }
            _ = heartbeat.tick() => {
                let wall_unix_ms = SystemClock::unix_ms();
                outbox.send(message(Body::Heartbeat(v1::Heartbeat { wall_unix_ms }))).await?;
            }
            _ = samples.tick() => {
                sequence += 1;
                let mut sample = sample(sequence);
                sample.file_systems.extend((0..gauge.full_disks.load(Ordering::Relaxed)).map(full_disk));
                outbox.send(message(Body::Sample(sample))).await?;
            }
        }
    }
}

/// Takes an order to go down, or its end.
fn obey(body: FromController, gauge: &Gauge) -> Option<Body> {
    let (order_id, state) = match body {
        FromController::Shutdown(order) => {
            gauge.ordered_ms.lock().unwrap_or_else(PoisonError::into_inner).push(SystemClock::unix_ms());
            (order.order_id, v1::shutdown_progress::State::Running)
        }
        FromController::ShutdownAbort(abort) => (abort.order_id, v1::shutdown_progress::State::Aborted),
        _ => return None,
    };
    Some(Body::ShutdownProgress(v1::ShutdownProgress {
        order_id,
        state: state.into(),
        ..v1::ShutdownProgress::default()
    }))
}

/// Counts a session while it lives.
struct Counted<'a>(&'a Gauge);

impl<'a> Counted<'a> {
    fn new(gauge: &'a Gauge) -> Self {
        gauge.connected.fetch_add(1, Ordering::Relaxed);
        gauge.opened.fetch_add(1, Ordering::Relaxed);
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.connected.fetch_sub(1, Ordering::Relaxed);
    }
}

fn message(body: Body) -> v1::AgentMessage {
    v1::AgentMessage { body: Some(body) }
}

fn hello(node: &SimNode) -> anyhow::Result<v1::Hello> {
    let facts = NodeFacts {
        hostname: node.name.to_string(),
        arch: "arm64".to_owned(),
        os: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        kernel: "6.6.31+rpt-rpi-v8".to_owned(),
        model: "Raspberry Pi 4 Model B Rev 1.4".to_owned(),
        cpu_count: 4,
        memory_total_bytes: 3_981_000_000,
        boot_id: "2f1f2b52-6f5d-4f0a-9a57-0d6a4e2f3c11".to_owned(),
        wake_macs: Vec::new(),
    };
    let hello = Hello {
        node: node.name.clone(),
        agent_version: rackhaven_proto::VERSION.to_owned(),
        run_id: RunId(rackhaven_pki::random()?),
        facts,
        last_run: None,
        wall_unix_ms: SystemClock::unix_ms(),
    };
    Ok(hello.into())
}

fn full_disk(number: usize) -> v1::FileSystem {
    v1::FileSystem {
        mount_point: format!("/srv/{number}"),
        fs_type: "ext4".to_owned(),
        total_bytes: 1_000_000,
        used_bytes: 995_000,
        available_bytes: 5_000,
        ..v1::FileSystem::default()
    }
}

/// What a Raspberry Pi 4 with one SD card and a VPN reports.
pub fn sample(sequence: u64) -> v1::Sample {
    let load = (sequence % 40) as f32;
    v1::Sample {
        sequence,
        wall_unix_ms: SystemClock::unix_ms(),
        uptime_seconds: 86_400.0 + sequence as f64 * 5.0,
        cpu: Some(v1::Cpu { total_percent: load, core_percent: vec![load; 4] }),
        load: Some(v1::Load { one: load / 25.0, five: 0.5, fifteen: 0.4 }),
        memory: Some(v1::Memory {
            total_bytes: 3_981_000_000,
            available_bytes: 2_600_000_000,
            swap_total_bytes: 0,
            swap_used_bytes: 0,
        }),
        pressure: Some(v1::Pressure {
            cpu_some_percent: Some(0.3),
            io_some_percent: Some(1.1),
            ..v1::Pressure::default()
        }),
        file_systems: ["/", "/boot/firmware"]
            .into_iter()
            .map(|mount| v1::FileSystem {
                mount_point: mount.to_owned(),
                fs_type: "ext4".to_owned(),
                total_bytes: 31_000_000_000,
                available_bytes: 20_000_000_000,
                used_bytes: 9_600_000_000,
                inodes_total: Some(1_900_000),
                inodes_used: Some(120_000),
                read_only: false,
            })
            .collect(),
        disks: vec![v1::Disk {
            name: "mmcblk0".to_owned(),
            read_bytes_per_second: 0,
            written_bytes_per_second: 40_960,
            busy_percent: 0.8,
            read_bytes_total: Some(910_000_000),
            written_bytes_total: Some(sequence * 204_800),
        }],
        networks: ["eth0", "ztabcdef12"]
            .into_iter()
            .map(|name| v1::NetworkInterface {
                name: name.to_owned(),
                received_bytes_per_second: 5_300,
                sent_bytes_per_second: 8_200,
                errors_total: 0,
                received_bytes_total: Some(sequence * 26_500),
                sent_bytes_total: Some(sequence * 41_000),
            })
            .collect(),
        temperatures: vec![v1::Temperature { sensor: "cpu-thermal".to_owned(), celsius: 47.2 }],
        throttling: Some(v1::Throttling::default()),
        units: Some(v1::Units::default()),
        agent: Some(v1::AgentCost { resident_bytes: 3_100_000, cpu_percent: 0.02 }),
        storage: vec![v1::StorageHealth {
            device: "mmcblk0".to_owned(),
            model: "SD32G".to_owned(),
            file_system_errors: Some(0),
            ..v1::StorageHealth::default()
        }],
        k3s: None,
    }
}
