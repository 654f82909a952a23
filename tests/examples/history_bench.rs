//! The history bench: a year of many nodes, written minute by minute through the controller's store, its size, and how
//! long it takes to ask for it. Then the minutes of a thousand nodes: how long one takes to be stored, and how long others
//! wait for the controller meanwhile. `tests/bench/history/run` runs it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use rackhaven_controller::config::HistoryConfig;
use rackhaven_controller::history::{Keep, MinuteRow, MinuteSum};
use rackhaven_controller::store::History;
use rackhaven_pki::clock::SystemClock;
use rackhaven_proto::model::NodeName;
use rackhaven_proto::v1::Point;
use rackhaven_tests::sim::{Gauge, enrol_many, run_agent};
use rackhaven_tests::{Fleet, wait_for};
use rusqlite::Connection;

#[derive(Parser)]
struct Flags {
    /// Nodes of the year
    #[arg(long, default_value_t = 20)]
    nodes: usize,
    /// Its days
    #[arg(long, default_value_t = 365)]
    days: i64,
    /// How often each question is asked
    #[arg(long, default_value_t = 30)]
    rounds: usize,
    /// Nodes of which single minutes are stored, and simulated agents
    #[arg(long, default_value_t = 1000)]
    many: usize,
    /// How long their controller is watched
    #[arg(long, default_value_t = 200)]
    seconds: u64,
}

/// As shipped.
const KEEP: Keep = Keep::new(&HistoryConfig {
    enabled: true,
    recent_points: 60,
    minutes_keep_hours: 48,
    ten_minutes_keep_days: 90,
    two_hours_keep_days: 1100,
});

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn now() -> Instant {
    Instant::now()
}

/// Milliseconds that something took, many times.
#[derive(Default)]
struct Took(Vec<f64>);

impl Took {
    async fn of<T>(&mut self, what: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let began = now();
        let done = what.await;
        self.0.push(began.elapsed().as_secs_f64() * 1000.0);
        done
    }

    fn row(&mut self, name: &str) {
        self.0.sort_by(f64::total_cmp);
        let at = |share: f64| {
            self.0.get(((self.0.len() as f64 - 1.0) * share).round() as usize).copied().unwrap_or(f64::NAN)
        };
        println!("{name:<58} {:9.2} {:9.2} {:9.2} ms", at(0.5), at(0.99), at(1.0));
    }
}

/// Figures that change as those of a board do: noise, a daily wave, now and then a spike.
struct Board {
    name: NodeName,
    sum: MinuteSum,
    seed: u64,
}

impl Board {
    fn new(number: usize) -> anyhow::Result<Self> {
        let seed = number as u64 * 0x9e37_79b9_7f4a_7c15 + 1;
        Ok(Self { name: format!("pi-{number}").parse()?, sum: MinuteSum::default(), seed })
    }

    /// From 0 to 1.
    fn noise(&mut self) -> f32 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed % 10_000) as f32 / 10_000.0
    }

    /// The minute before `minute`, of four samples.
    fn minute(&mut self, minute: i64) -> Option<MinuteRow> {
        let wave = ((minute % 1440) as f32 / 1440.0 * std::f32::consts::TAU).sin();
        let busy = if self.noise() > 0.98 { 60.0 } else { 0.0 };
        let mut over = None;
        for second in [5, 20, 35, 50] {
            let cpu = 15.0 + 8.0 * wave + 12.0 * self.noise() + busy;
            let point = Point {
                wall_unix_ms: (minute * 60 + second) * 1000,
                cpu_percent: Some(cpu),
                memory_used_percent: Some(45.0 + 3.0 * wave + self.noise()),
                temperature_celsius: Some(48.0 + cpu / 8.0 + self.noise()),
                load_one: Some(cpu / 25.0 + self.noise() / 5.0),
                disk_used_percent: Some(37.0 + (minute % 40_000) as f32 / 2000.0),
            };
            over = self.sum.add(&self.name, &point).or(over);
        }
        over
    }
}

/// Writes the minutes that end at `until_s`; how long each took to be stored.
async fn write(folder: &Path, nodes: usize, minutes: i64, until_s: i64) -> anyhow::Result<[Took; 3]> {
    let (history, _) = History::open(folder)?;
    let mut boards = (0..nodes).map(Board::new).collect::<Result<Vec<_>, _>>()?;
    let last = until_s.div_euclid(60);
    let [mut usual, mut tens, mut hours] = [Took::default(), Took::default(), Took::default()];
    for minute in last - minutes..=last {
        let rows: Vec<_> = boards.iter_mut().filter_map(|board| board.minute(minute)).collect();
        let took = if minute % 120 == 0 {
            &mut hours
        } else if minute % 10 == 0 {
            &mut tens
        } else {
            &mut usual
        };
        took.of(async { Ok(history.store_minutes(rows.into(), minute * 60, KEEP).await?) }).await?;
    }
    Ok([usual, tens, hours])
}

/// How many rows and bytes each table has.
fn sizes(file: &Path, nodes: usize) -> anyhow::Result<()> {
    let database = Connection::open(file)?;
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let whole = std::fs::metadata(file)?.len() as f64;
    println!("{:<58} {:9.2} MB, {:.3} MB a node", "history.db", whole / 1e6, whole / 1e6 / nodes as f64);
    for table in ["by_minute", "by_ten_minutes", "by_two_hours"] {
        let rows: u32 = database.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get(0))?;
        let sql = "SELECT SUM(pgsize) FROM dbstat WHERE name = ?1";
        let bytes: i64 = database.query_row(sql, [table], |row| row.get(0))?;
        let (a_row, a_node) = (bytes as f64 / f64::from(rows), bytes as f64 / 1e3 / nodes as f64);
        println!("    {table:<54} {rows:9} rows, {a_row:.1} bytes each; {a_node:.0} KB a node");
    }
    Ok(())
}

async fn year(flags: &Flags) -> anyhow::Result<()> {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
    let until_s = SystemClock::unix_ms() / 1000;
    println!(
        "{:<58} {:>9} {:>9} {:>9}",
        format!("{} nodes, {} days", flags.nodes, flags.days),
        "median",
        "p99",
        "most"
    );
    let [mut usual, mut tens, mut hours] = write(folder.path(), flags.nodes, flags.days * 1440, until_s).await?;
    usual.row("a minute stored, in memory");
    tens.row("    the tenth of them");
    hours.row("    the last of two hours");
    let file = folder.path().join("history.db");
    sizes(&file, flags.nodes)?;

    let mut fleet = Fleet::start_with(&[("limits.enrolments_per_minute", "100000")]).await?;
    let token = fleet.invite(&format!("--uses {}", flags.nodes)).await?.parse()?;
    let names = (0..flags.nodes).map(|number| format!("pi-{number}")).collect();
    enrol_many(&fleet.endpoint().parse()?, &token, names).await?;
    fleet.stop_controller().await?;
    std::fs::copy(&file, fleet.state().join("history.db"))?;
    fleet.start_controller().await?;
    for (since, since_s) in [("24h", 86_400), ("7d", 604_800), ("90d", 7_776_000), ("365d", 31_536_000)] {
        let [mut drawn, mut all, mut rpc] = [Took::default(), Took::default(), Took::default()];
        for round in 0..flags.rounds {
            let name = format!("pi-{}", round % flags.nodes);
            let page = drawn.of(fleet.ctl().ok(&format!("node show {name} --since {since}"))).await?;
            ensure!(page.contains("HEARD"), "no drawing: {page}");
            let csv = all.of(fleet.ctl().ok(&format!("node show {name} --since {since} -o csv"))).await?;
            ensure!(csv.lines().count() > 900, "{} lines of {since}", csv.lines().count());
            let history = rpc.of(Box::pin(fleet.client().history(&name, since_s, 0))).await?;
            ensure!(history.heard_minutes > 1000, "little of {since}");
        }
        drawn.row(&format!("ctl node show NODE --since {since}, a process"));
        all.row("    the same as CSV, up to 1,500 points");
        rpc.row("    the answer of as many, on an open connection");
    }
    Ok(())
}

async fn many(flags: &Flags) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    println!("{} nodes, {} to disk", flags.many, folder.path().display());
    let [mut usual, mut tens, mut hours] =
        write(folder.path(), flags.many, 6 * 60 + 1, SystemClock::unix_ms() / 1000).await?;
    usual.row("a minute stored");
    tens.row("    the tenth of them");
    hours.row("    the last of two hours");
    for enabled in ["false", "true"] {
        let settings = [
            ("history.enabled", enabled),
            ("limits.enrolments_per_minute", "100000"),
            ("session.heartbeat_ms", "2000"),
            ("session.sample_ms", "5000"),
        ];
        let fleet = Fleet::start_with(&settings).await?;
        let token = fleet.invite(&format!("--uses {}", flags.many)).await?.parse()?;
        let endpoint = fleet.endpoint().parse()?;
        let names = (0..flags.many).map(|number| format!("sim-{number}")).collect();
        let gauge = Arc::new(Gauge::default());
        let mut agents = tokio::task::JoinSet::new();
        for node in enrol_many(&endpoint, &token, names).await? {
            agents.spawn(run_agent(endpoint.clone(), node, Arc::clone(&gauge)));
        }
        wait_for("all sessions", async || Ok((gauge.connected() >= flags.many).then_some(()))).await?;
        let (began, mut took) = (now(), Took::default());
        while began.elapsed() < Duration::from_secs(flags.seconds) {
            took.of(Box::pin(fleet.client().node("sim-0"))).await.context("asking")?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        took.row(&format!("one node asked for, {} simulated agents, history {enabled}", flags.many));
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(async {
        Box::pin(year(&flags)).await?;
        Box::pin(many(&flags)).await
    })
}
