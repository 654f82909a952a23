//! The power bench: from the UPS's change to every node having begun to go down. A real upsd, a real controller and real
//! agents, and beside them in the same run as many `upsmon` secondaries of Debian's, with its defaults and with the
//! fastest sensible settings. Then the controller with a thousand simulated agents. `tests/bench/power/run` runs it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use rackhaven_pki::clock::SystemClock;
use rackhaven_proto::v1;
use rackhaven_proto::v1::power_client::PowerClient;
use rackhaven_tests::process::command;
use rackhaven_tests::sim::{Gauge, enrol_many, run_agent};
use rackhaven_tests::ups::{Ups, nut_command};
use rackhaven_tests::{Agent, Daemon, Fleet, wait_for, wait_for_within};

#[derive(Parser)]
struct Flags {
    /// How often each case is measured
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Real agents, and secondaries of each kind
    #[arg(long, default_value_t = 10)]
    agents: usize,
    /// Simulated agents of the last case
    #[arg(long, default_value_t = 1000)]
    many: usize,
}

/// How an `upsmon` is set.
const DEFAULTS: &str = "POLLFREQ 5\nPOLLFREQALERT 5\nHOSTSYNC 15\nDEADTIME 15\nFINALDELAY 5\n";
/// No wait for a primary's word either: there is none, and it would make all others act at once.
const FASTEST: &str = "POLLFREQ 1\nPOLLFREQALERT 1\nHOSTSYNC 0\nDEADTIME 15\nFINALDELAY 0\n";

/// Seconds from a change of the UPS to the last of many.
#[derive(Default)]
struct Figures(Vec<f64>);

impl Figures {
    fn row(&mut self, name: &str, beside: Option<f64>) -> String {
        let median = self.median();
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else {
            return format!("{name:<52}  never");
        };
        let ratio = beside.map(|beside| format!("{:5.1}x", median / beside)).unwrap_or_default();
        format!("{name:<52}  {median:6.3} s  {first:6.3} – {last:.3}  {ratio}")
    }

    fn median(&mut self) -> f64 {
        self.0.sort_by(f64::total_cmp);
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

fn now_s() -> f64 {
    SystemClock::unix_ms() as f64 / 1000.0
}

/// The moment that a program wrote into a file.
fn moment(path: &Path) -> Option<f64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Waits until all have written; when the last did.
async fn last_of(paths: &[PathBuf]) -> Option<f64> {
    let all = || paths.iter().map(|path| moment(path)).collect::<Option<Vec<_>>>();
    let found = wait_for_within(Duration::from_secs(60), "all to have begun", async || Ok(all())).await.ok()?;
    found.into_iter().max_by(f64::total_cmp)
}

/// Secondaries of one kind.
struct Secondaries {
    daemons: Vec<Daemon>,
    begun: Vec<PathBuf>,
}

fn secondaries(ups: &Ups, folder: &Path, settings: &str, count: usize) -> anyhow::Result<Secondaries> {
    let (mut daemons, mut begun) = (Vec::new(), Vec::new());
    for number in 0..count {
        let own = folder.join(number.to_string());
        std::fs::create_dir_all(&own)?;
        let stamp = own.join("begun");
        let _ = std::fs::remove_file(&stamp);
        let conf = format!(
            "MONITOR {} 1 monuser secret secondary\nMINSUPPLIES 1\nSHUTDOWNCMD \"date +%s.%N > {}\"\n{settings}",
            ups.name(),
            stamp.display()
        );
        std::fs::write(own.join("upsmon.conf"), conf)?;
        let upsmon = nut_command("upsmon")?.get_program().to_owned();
        // Each keeps its process id where the others would.
        let script = format!("mount -t tmpfs none /run/nut && exec {} -F -p", Path::new(&upsmon).display());
        let mut unshared = command("unshare");
        unshared.args(["-m", "sh", "-c", &script]).env("NUT_CONFPATH", &own);
        daemons.push(Daemon::start("upsmon", unshared, &own)?);
        begun.push(stamp);
    }
    Ok(Secondaries { daemons, begun })
}

/// The rack: a controller and agents whose hook writes down when it began, and then waits to be ended.
struct Rack {
    fleet: Fleet,
    agents: Vec<Agent>,
    begun: Vec<PathBuf>,
}

async fn rack(ups: &Ups, count: usize) -> anyhow::Result<Rack> {
    let table = format!(
        "[{{ name = \"{}\", user = \"rackhaven\", password_file = \"{}\" }}]",
        ups.name(),
        ups.password_file("rackhaven").display()
    );
    let settings = [
        ("power.ups", table.as_str()),
        ("power.master", "\"none\""),
        ("power.mains_hold_seconds", "0.2"),
        ("power.steps.hooks_seconds", "600"),
    ];
    let fleet = Fleet::start_with(&settings).await?;
    let (mut agents, mut begun) = (Vec::new(), Vec::new());
    for number in 0..count {
        let name = format!("pi-{number}");
        let hooks = fleet.folder().join(format!("{name}.hooks"));
        std::fs::create_dir(&hooks)?;
        let stamp = fleet.folder().join(format!("{name}.begun"));
        let hook = hooks.join("10-stamp");
        std::fs::write(&hook, format!("#!/bin/sh\ndate +%s.%N >{}\nexec sleep 600\n", stamp.display()))?;
        std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        let mut agent = fleet.machine(&name);
        agent.settings.set("shutdown.hooks_dir", serde_json::Value::from(hooks.display().to_string()));
        // The defaults of upsmon take their time.
        agent.settings.set("shutdown.hook_timeout_seconds", 600);
        agent.boot_again();
        let token = fleet.invite(&format!("--name {name}")).await?;
        let joined = agent.join(&fleet.endpoint(), &token, "").await?;
        ensure!(joined.code == Some(0), "join: {joined:?}");
        agent.start()?;
        agents.push(agent);
        begun.push(stamp);
    }
    for number in 0..count {
        fleet.wait_for_state(&format!("pi-{number}"), rackhaven_proto::model::NodeState::Up).await?;
    }
    Ok(Rack { fleet, agents, begun })
}

impl Rack {
    async fn status(&self) -> anyhow::Result<v1::PowerStatus> {
        let ask = async |channel| PowerClient::new(channel).get_status(v1::GetPowerStatusRequest {}).await;
        Ok(self.fleet.client().ask(ask).await?.into_inner())
    }

    /// Waits until nothing goes on, and mains is known.
    async fn rest(&self) -> anyhow::Result<()> {
        wait_for("the outage to end", async || {
            let status = self.status().await?;
            Ok((status.outage.is_none() && status.supply() == v1::Supply::Mains).then_some(()))
        })
        .await?;
        self.begun.iter().for_each(|path| drop(std::fs::remove_file(path)));
        Ok(())
    }

    /// From the decision until the controller had heard of the last agent's first step, seconds.
    async fn first_steps_s(&self) -> anyhow::Result<f64> {
        let outage = self.status().await?.outage.context("no outage goes on")?;
        let trigger = outage.events.iter().find(|event| event.kind == "outage.trigger").context("no trigger")?;
        let mut firsts = BTreeMap::new();
        for event in outage.events.iter().filter(|event| event.kind == "node.step") {
            firsts.entry(&event.node).or_insert(event.at_ms);
        }
        let last_ms = firsts.into_values().max().context("no step")?;
        Ok(last_ms.saturating_sub(trigger.at_ms) as f64 / 1000.0)
    }
}

async fn measure(flags: &Flags) -> anyhow::Result<()> {
    let mut ups = Ups::start().await?;
    ups.set(&[("ups.status", "OL"), ("battery.charge", "100"), ("battery.charge.low", "20")]).await?;
    let rack = rack(&ups, flags.agents).await?;
    let folder = tempfile::tempdir()?;
    type Case = (&'static str, &'static [(&'static str, &'static str)], bool);
    let cases: [Case; 3] = [
        ("low battery, charge agrees", &[("ups.status", "OB LB"), ("battery.charge", "15")], true),
        ("low battery, charge reads high", &[("ups.status", "OB LB"), ("battery.charge", "90")], false),
        ("forced by the primary", &[("ups.status", "OB FSD"), ("battery.charge", "90")], false),
    ];
    println!("seconds from the UPS's change to the last of {} having begun; {} rounds", flags.agents, flags.rounds);
    println!("{:<52}  {:>8}  {:>6}", "", "median", "range");
    for (name, vars, with_upsmon) in cases {
        let mut figures: BTreeMap<&str, Figures> = BTreeMap::new();
        for round in 0..flags.rounds {
            rack.rest().await?;
            let peers = if with_upsmon {
                let fast = secondaries(&ups, &folder.path().join(format!("fast-{round}")), FASTEST, flags.agents)?;
                let slow = secondaries(&ups, &folder.path().join(format!("slow-{round}")), DEFAULTS, flags.agents)?;
                let logins = u32::try_from(flags.agents * 2)?;
                wait_for("the secondaries to log in", async || Ok((ups.logins().await? >= logins).then_some(())))
                    .await?;
                Some((fast, slow))
            } else {
                None
            };
            let began_s = now_s();
            ups.set_soon(vars)?;
            let ours = last_of(&rack.begun).await.context("the agents did not begin")?;
            figures.entry("1").or_default().0.push(ours - began_s);
            figures.entry("2").or_default().0.push(rack.first_steps_s().await?);
            if let Some((fast, slow)) = peers {
                figures.entry("3").or_default().0.extend(last_of(&fast.begun).await.map(|last| last - began_s));
                figures.entry("4").or_default().0.extend(last_of(&slow.begun).await.map(|last| last - began_s));
                drop((fast.daemons, slow.daemons));
            }
            ups.set(&[("ups.status", "OL"), ("battery.charge", "100")]).await?;
        }
        let ours = figures.get_mut("1").map_or(f64::NAN, Figures::median);
        let rows = [
            ("1", format!("{name}: Rackhaven"), None),
            ("2", "    from the decision to the last one's first step".to_owned(), None),
            ("3", "    upsmon, fastest sensible settings".to_owned(), Some(ours)),
            ("4", "    upsmon, defaults".to_owned(), Some(ours)),
        ];
        for (key, label, beside) in rows {
            if let Some(figures) = figures.get_mut(key) {
                println!("{}", figures.row(&label, beside));
            }
        }
    }
    drop(rack.agents);
    many(flags, ups).await
}

/// The controller with many simulated agents.
async fn many(flags: &Flags, mut ups: Ups) -> anyhow::Result<()> {
    ups.set(&[("ups.status", "OL"), ("battery.charge", "100")]).await?;
    let table = format!("[{{ name = \"{}\" }}]", ups.name());
    let settings = [
        ("power.ups", table.as_str()),
        ("power.master", "\"none\""),
        ("limits.enrolments_per_minute", "100000"),
        ("session.heartbeat_ms", "2000"),
        ("session.sample_ms", "5000"),
    ];
    let fleet = Fleet::start_with(&settings).await?;
    let token = fleet.invite(&format!("--uses {}", flags.many)).await?.parse()?;
    let endpoint = fleet.endpoint().parse()?;
    let names = (0..flags.many).map(|number| format!("sim-{number}")).collect();
    let nodes = enrol_many(&endpoint, &token, names).await?;
    let gauge = Arc::new(Gauge::default());
    for node in nodes {
        tokio::spawn(run_agent(endpoint.clone(), node, Arc::clone(&gauge)));
    }
    wait_for("all sessions", async || Ok((gauge.connected() >= flags.many).then_some(()))).await?;
    let client = fleet.client();
    let status = async || -> anyhow::Result<v1::PowerStatus> {
        let ask = async |channel| {
            PowerClient::new(channel).max_decoding_message_size(16 << 20).get_status(v1::GetPowerStatusRequest {}).await
        };
        Ok(client.ask(ask).await?.into_inner())
    };
    wait_for("mains", async || Ok((status().await?.supply() == v1::Supply::Mains).then_some(()))).await?;
    let began_s = now_s();
    ups.set_soon(&[("ups.status", "OB FSD")])?;
    wait_for("all orders", async || Ok((gauge.ordered_ms().len() >= flags.many).then_some(()))).await?;
    let last_s = gauge.ordered_ms().into_iter().max().unwrap_or_default() as f64 / 1000.0;
    let outage = status().await?.outage.context("no outage")?;
    let trigger = outage.events.iter().find(|event| event.kind == "outage.trigger").context("no trigger")?;
    let decided_s = trigger.wall_unix_ms as f64 / 1000.0;
    println!("{:<52}  {:6.2} s", format!("forced, {} simulated: the last has its order", flags.many), last_s - began_s);
    println!("{:<52}  {:6.3} s", "    of that, from the decision on", last_s - decided_s);
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(measure(&flags))
}
