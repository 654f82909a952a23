//! The fleet bench: a real controller as a process of its own, and simulated agents in this one. Figures go to standard
//! output as a table; `tests/bench/fleet/run` builds and runs it.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use rackhaven_pki::clock::SystemClock;
use rackhaven_pki::{Credentials, Token, client};
use rackhaven_proto::model::Endpoint;
use rackhaven_proto::v1;
use rackhaven_proto::v1::fleet_client::FleetClient;
use rackhaven_tests::sim::{Gauge, SimNode, connect, enrol_many, run_agent};
use tokio::task::JoinSet;
use tonic::transport::Channel;

#[derive(Parser)]
struct Flags {
    /// Folder with the release binaries
    #[arg(long)]
    binaries: PathBuf,
    /// Agents of the main measurement
    #[arg(long, default_value_t = 1000)]
    agents: usize,
    /// Agents that are only held
    #[arg(long, default_value_t = 5000)]
    many: usize,
    /// Seconds of the main measurement
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Connections of the churn
    #[arg(long, default_value_t = 10_000)]
    churn: usize,
    /// Measure `ctl status` as a cold process, and nothing else
    #[arg(long)]
    only_status: bool,
}

struct Controller {
    child: Child,
    folder: PathBuf,
    binaries: PathBuf,
    endpoint: Endpoint,
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the bench's one place that starts processes")]
fn program(binaries: &Path, name: &str) -> std::process::Command {
    std::process::Command::new(binaries.join(name))
}

impl Controller {
    fn start(binaries: &Path, folder: &Path) -> anyhow::Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let config = folder.join("controller.toml");
        std::fs::write(
            &config,
            format!(
                "listen = \"{address}\"\nsocket = \"\"\n[history]\nenabled = false\n[limits]\nenrolments_per_minute = 100000\n\
                 [log]\nfilter = \"error\"\n"
            ),
        )?;
        let made = program(binaries, "rackhaven-controller")
            .args(["init", "--endpoint", &address, "--state-dir"])
            .arg(folder.join("state"))
            .arg("--config")
            .arg(&config)
            .stdout(Stdio::null())
            .status()?;
        ensure!(made.success(), "init failed");
        let child = Self::spawn(binaries, folder)?;
        Ok(Self { child, folder: folder.to_owned(), binaries: binaries.to_owned(), endpoint: address.parse()? })
    }

    fn spawn(binaries: &Path, folder: &Path) -> anyhow::Result<Child> {
        Ok(program(binaries, "rackhaven-controller")
            .args(["run", "--state-dir"])
            .arg(folder.join("state"))
            .arg("--config")
            .arg(folder.join("controller.toml"))
            .spawn()?)
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn restart(&mut self) -> anyhow::Result<()> {
        self.child = Self::spawn(&self.binaries, &self.folder)?;
        Ok(())
    }

    async fn admin(&self) -> anyhow::Result<FleetClient<Channel>> {
        let context = self.folder.join("state/admin.context");
        let credentials = Credentials::from_toml(&std::fs::read_to_string(context)?)?;
        let tls = client::tls(&credentials, Arc::new(SystemClock))?;
        let began = now();
        loop {
            match client::dial(&self.endpoint, &tls, &credentials.cluster_id.server_name()).await {
                Ok(stream) => {
                    return Ok(FleetClient::new(client::channel(stream).await?).max_decoding_message_size(64 << 20));
                }
                Err(error) if began.elapsed() > Duration::from_secs(20) => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Resident and proportional memory, KiB.
    fn memory_kib(&self) -> anyhow::Result<(u64, u64)> {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).context("smaps_rollup")?;
            Ok::<u64, anyhow::Error>(line.trim().trim_end_matches(" kB").trim().parse()?)
        };
        Ok((field("Rss:")?, field("Pss:")?))
    }

    /// CPU time used so far, seconds.
    fn cpu_s(&self) -> anyhow::Result<f64> {
        let mut total_ns = 0_u64;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
            total_ns += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(total_ns as f64 / 1e9)
    }
}

async fn invite(controller: &Controller, uses: u32) -> anyhow::Result<Token> {
    let request = v1::InviteNodeRequest { ttl_seconds: 3600, uses, ..v1::InviteNodeRequest::default() };
    Ok(controller.admin().await?.invite_node(request).await?.into_inner().token.parse()?)
}

/// Enrols nodes in portions of what one invitation allows.
async fn enrol(controller: &Controller, count: usize, from: usize) -> anyhow::Result<Vec<SimNode>> {
    const PORTION: usize = 1000;
    let mut nodes = Vec::with_capacity(count);
    let names: Vec<String> = (from..from + count).map(|number| format!("sim-{number:05}")).collect();
    for portion in names.chunks(PORTION) {
        let token = invite(controller, u32::try_from(portion.len())?).await?;
        nodes.extend(enrol_many(&controller.endpoint, &token, portion.to_vec()).await?);
    }
    Ok(nodes)
}

/// Waits until so many agents are connected; how long it took.
async fn wait_connected(gauge: &Gauge, count: usize, limit: Duration) -> anyhow::Result<Duration> {
    let began = now();
    while gauge.connected() < count {
        if began.elapsed() > limit {
            bail!("{} of {count} agents connected after {limit:?}", gauge.connected());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(began.elapsed())
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100].as_secs_f64() * 1000.0
}

fn row(what: &str, value: String, goal: &str) {
    println!("{what:<58} {value:>14}   {goal}");
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    raise_file_limit()?;
    let folder = tempfile::tempdir()?;
    let mut controller = Controller::start(&flags.binaries, folder.path())?;
    let mut admin = controller.admin().await?;
    let mut nodes = enrol(&controller, 10.min(flags.agents), 0).await?;
    let gauge = Arc::new(Gauge::default());
    let mut agents = JoinSet::new();
    cold_status(&controller, &nodes, &gauge, &mut agents, "at most 20, aim 5").await?;
    nodes.extend(enrol(&controller, flags.agents - nodes.len(), nodes.len()).await?);
    cold_status(&controller, &nodes, &gauge, &mut agents, "at most 50, aim 10").await?;
    agents.shutdown().await;
    if flags.only_status {
        return Ok(());
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Enrolment has its own memory: a fresh controller is what is measured.
    controller.kill()?;
    controller.restart()?;
    drop(controller.admin().await?);
    let (empty_rss, _) = controller.memory_kib()?;
    row("controller without agents, RSS", format!("{empty_rss} KiB"), "");

    let gauge = Arc::new(Gauge::default());
    for node in &nodes {
        agents.spawn(run_agent(controller.endpoint.clone(), node.clone(), Arc::clone(&gauge)));
    }
    let took = wait_connected(&gauge, nodes.len(), Duration::from_secs(60)).await?;
    row(&format!("{} agents connected at once in", nodes.len()), format!("{:.2} s", took.as_secs_f64()), "");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let cpu_before = controller.cpu_s()?;
    let mut latencies = Vec::new();
    admin = controller.admin().await.unwrap_or(admin);
    let began = now();
    let mut status_cpu = 0.0;
    while began.elapsed() < Duration::from_secs(flags.seconds) {
        let before = controller.cpu_s()?;
        let asked = now();
        let status = admin.get_status(v1::GetStatusRequest {}).await?.into_inner();
        latencies.push(asked.elapsed());
        status_cpu += controller.cpu_s()? - before;
        ensure!(status.nodes.len() == nodes.len(), "{} nodes in the status", status.nodes.len());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let cpu = (controller.cpu_s()? - cpu_before - status_cpu) / began.elapsed().as_secs_f64() * 100.0;
    let (rss, _) = controller.memory_kib()?;
    let each = (rss - empty_rss) as f64 / nodes.len() as f64;
    latencies.sort();
    row("memory of an agent in the controller", format!("{each:.1} KiB"), "at most 48, aim 36");
    row("controller's CPU, of one core", format!("{cpu:.2} %"), "prototype 1.1-1.4");
    row("status on an open connection, p50", format!("{:.1} ms", percentile(&latencies, 50)), "prototype 1-9");
    row("status on an open connection, p99", format!("{:.1} ms", percentile(&latencies, 99)), "");

    controller.kill()?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let began = now();
    controller.restart()?;
    wait_connected(&gauge, 1, Duration::from_secs(60)).await?;
    wait_connected(&gauge, nodes.len(), Duration::from_secs(60)).await?;
    row(
        &format!("{} agents back after the controller's restart", nodes.len()),
        format!("{:.2} s", began.elapsed().as_secs_f64()),
        "at most 5, aim 2",
    );
    agents.shutdown().await;

    let before = churn(&controller, &nodes, flags.churn / 2).await?;
    let after = churn(&controller, &nodes, flags.churn / 2).await?;
    let growth = after as f64 / before as f64;
    row(&format!("RSS after {} sessions opened and dropped", flags.churn), format!("{after} KiB"), "");
    row("the same against half as many", format!("{growth:.2}"), "no growth: 1.0");

    if flags.many > nodes.len() {
        let mut all = nodes;
        all.extend(enrol(&controller, flags.many - all.len(), all.len()).await?);
        controller.kill()?;
        controller.restart()?;
        drop(controller.admin().await?);
        let gauge = Arc::new(Gauge::default());
        for node in &all {
            agents.spawn(run_agent(controller.endpoint.clone(), node.clone(), Arc::clone(&gauge)));
        }
        let took = wait_connected(&gauge, all.len(), Duration::from_secs(120)).await?;
        row(&format!("{} agents connected at once in", all.len()), format!("{:.2} s", took.as_secs_f64()), "");
        let cpu_before = controller.cpu_s()?;
        let began = now();
        tokio::time::sleep(Duration::from_secs(flags.seconds.min(30))).await;
        let cpu = (controller.cpu_s()? - cpu_before) / began.elapsed().as_secs_f64() * 100.0;
        ensure!(gauge.connected() == all.len(), "{} of {} agents held", gauge.connected(), all.len());
        ensure!(gauge.opened() == all.len(), "{} sessions for {} agents", gauge.opened(), all.len());
        let (rss, _) = controller.memory_kib()?;
        row(&format!("{} sessions held, none lost: RSS", all.len()), format!("{rss} KiB"), "held");
        row("controller's CPU, of one core", format!("{cpu:.2} %"), "prototype 2.9");
    }
    Ok(())
}

/// Connects all nodes, then times `ctl status` from its start to its end, many times.
async fn cold_status(
    controller: &Controller,
    nodes: &[SimNode],
    gauge: &Arc<Gauge>,
    agents: &mut JoinSet<()>,
    goal: &str,
) -> anyhow::Result<()> {
    for node in &nodes[gauge.connected()..] {
        agents.spawn(run_agent(controller.endpoint.clone(), node.clone(), Arc::clone(gauge)));
    }
    wait_connected(gauge, nodes.len(), Duration::from_secs(60)).await?;
    let context = controller.folder.join("state/admin.context");
    let mut times = Vec::new();
    for _ in 0..60 {
        let mut ctl = program(&controller.binaries, "ctl");
        ctl.arg("--context-file").arg(&context).arg("status").stdin(Stdio::null());
        let began = now();
        let output = tokio::task::spawn_blocking(move || ctl.output()).await??;
        times.push(began.elapsed());
        ensure!(output.status.success(), "ctl status: {}", String::from_utf8_lossy(&output.stderr));
    }
    times.sort();
    let what = format!("ctl status, cold process, {} nodes: median", nodes.len());
    row(&what, format!("{:.1} ms", percentile(&times, 50)), goal);
    row("  the fastest of 60", format!("{:.1} ms", percentile(&times, 0)), "");
    Ok(())
}

/// Opens and drops sessions; the controller's RSS at the end, KiB.
async fn churn(controller: &Controller, nodes: &[SimNode], count: usize) -> anyhow::Result<u64> {
    const AT_A_TIME: usize = 50;
    let mut running = JoinSet::new();
    for number in 0..count {
        let (endpoint, node) = (controller.endpoint.clone(), nodes[number % nodes.len()].clone());
        running.spawn(async move { connect(&endpoint, &node).await.map(drop) });
        if running.len() >= AT_A_TIME
            && let Some(done) = running.join_next().await
        {
            done??;
        }
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(controller.memory_kib()?.0)
}

fn raise_file_limit() -> anyhow::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
