//! The metrics bench: a real controller with simulated agents, and a real Prometheus that scrapes it.
//! `tests/bench/metrics/run` runs it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use rackhaven_pki::clock::SystemClock;
use rackhaven_tests::prometheus::Scrape;
use rackhaven_tests::sim::{Gauge, enrol_many, run_agent};
use rackhaven_tests::{Fleet, Prometheus, address, wait_for, wait_for_within, web};
use tokio::task::JoinSet;

/// How often Prometheus scrapes, one after another: as it does without being told, and often enough that the cost of one
/// scrape can be told from everything else.
const RHYTHMS_MS: [u32; 2] = [15_000, 2_000];
const OPEN: &str = "Accept: application/openmetrics-text;version=1.0.0";

#[derive(Parser)]
struct Flags {
    /// Simulated agents
    #[arg(long, default_value_t = 500)]
    agents: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 90)]
    seconds: u64,
}

/// What the controller has used.
#[derive(Debug, Clone, Copy)]
struct Used {
    cpu_s: f64,
    resident_bytes: u64,
    at_ms: i64,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    raise_file_limit()?;
    let target = address::fresh();
    let mut fleet = started(target).await?;
    let agents = connected(&fleet, flags.agents).await?;
    let period = Duration::from_secs(flags.seconds);
    println!("{} nodes, {} s each", flags.agents, flags.seconds);
    let before = used(&mut fleet)?;
    tokio::time::sleep(period).await;
    let alone = used(&mut fleet)?;
    row("not scraped", "CPU of one core", format!("{:.2} %", share(before, alone) * 100.0));
    row("", "resident", mib(alone.resident_bytes));
    for every_ms in RHYTHMS_MS {
        let folder = fleet.folder().join(format!("every-{every_ms}"));
        std::fs::create_dir(&folder)?;
        let scrape = Scrape { target, every_ms, token_file: None, rules: None };
        let prometheus = Prometheus::start(&folder, &scrape).await?;
        let samples = wait_for("the first scrape", async || prometheus.value("scrape_samples_scraped").await);
        let samples = samples.await?;
        let began = used(&mut fleet)?;
        tokio::time::sleep(period).await;
        let ended = used(&mut fleet)?;
        let over = |function: &str| format!("{function}_over_time(scrape_duration_seconds[{}s])", flags.seconds);
        let value = async |query: String| {
            anyhow::Ok(prometheus.value(&query).await?.with_context(|| format!("nothing answers {query}"))?)
        };
        let scrapes = value(over("count")).await?;
        let added_s = ended.cpu_s - began.cpu_s - share(before, alone) * seconds(began, ended);
        row(&format!("scraped each {} s", every_ms / 1000), "scrapes", format!("{scrapes}, {samples} series"));
        row("", "duration by Prometheus, mean", format!("{:.1} ms", value(over("avg")).await? * 1000.0));
        row("", "duration by Prometheus, longest", format!("{:.1} ms", value(over("max")).await? * 1000.0));
        row("", "CPU of one core", format!("{:.2} %", share(began, ended) * 100.0));
        // Of few, it is lost in what else goes on.
        if scrapes >= 20.0 {
            row("", "CPU of one scrape", format!("{:.1} ms", added_s / scrapes * 1000.0));
        }
        row("", "resident", mib(ended.resident_bytes));
    }
    let answer = web::get(target, "/metrics", &[OPEN]).await?;
    ensure!(answer.status == 200 && answer.body.ends_with("# EOF\n"), "{}", answer.head);
    row("one answer", "size", mib(answer.body.len() as u64));
    drop(agents);
    Ok(())
}

async fn started(target: SocketAddr) -> anyhow::Result<Fleet> {
    let mut fleet = Fleet::prepare()?;
    for (key, value) in [
        ("session.heartbeat_ms", "2000"),
        ("session.sample_ms", "5000"),
        ("limits.enrolments_per_minute", "100000"),
        ("log.filter", "'error'"),
    ] {
        fleet.settings.set(key, value);
    }
    fleet.settings.set("metrics.listen", format!("'{target}'"));
    fleet.init().await?;
    fleet.start_controller().await?;
    Ok(fleet)
}

/// Agents that are connected, and have said enough to have all of their metrics.
async fn connected(fleet: &Fleet, count: usize) -> anyhow::Result<JoinSet<()>> {
    let endpoint = fleet.endpoint().parse()?;
    let token = fleet.invite(&format!("--uses {count}")).await?.parse()?;
    let names = (0..count).map(|number| format!("sim-{number:05}")).collect();
    let nodes = enrol_many(&endpoint, &token, names).await?;
    let gauge = Arc::new(Gauge::default());
    let mut agents = JoinSet::new();
    for node in nodes {
        agents.spawn(run_agent(endpoint.clone(), node, Arc::clone(&gauge)));
    }
    let patience = Duration::from_secs(120);
    wait_for_within(patience, "all agents", async || Ok((gauge.connected() == count).then_some(()))).await?;
    // A full minute is behind them when it is measured, and connecting is not.
    tokio::time::sleep(Duration::from_secs(60)).await;
    Ok(agents)
}

fn used(fleet: &mut Fleet) -> anyhow::Result<Used> {
    /// What the kernel counts in on every machine that this runs on.
    const TICKS_PER_SECOND: f64 = 100.0;
    let daemon = fleet.controller()?;
    let path = format!("/proc/{}/stat", daemon.pid());
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // Behind the name, which may hold anything: the 12th and 13th field are user's and system's time.
    let (_, fields) = text.rsplit_once(") ").context("no name in stat")?;
    let ticks: Vec<f64> = fields.split(' ').skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(Used {
        cpu_s: ticks.iter().sum::<f64>() / TICKS_PER_SECOND,
        resident_bytes: daemon.resident_bytes()?,
        at_ms: SystemClock::unix_ms(),
    })
}

fn seconds(from: Used, to: Used) -> f64 {
    (to.at_ms - from.at_ms) as f64 / 1000.0
}

/// Of one core.
fn share(from: Used, to: Used) -> f64 {
    (to.cpu_s - from.cpu_s) / seconds(from, to)
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0)
}

fn row(case: &str, what: &str, value: String) {
    println!("{case:<20}  {what:<34}  {value}");
}

fn raise_file_limit() -> anyhow::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
