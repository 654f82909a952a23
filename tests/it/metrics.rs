//! What Prometheus is told: by the judgement of others, and as the documents say.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rackhaven_controller::alerts::rules::RULES;
use rackhaven_controller::metrics::catalogue::{ALL, Family};
use rackhaven_proto::model::NodeState;
use rackhaven_proto::v1;
use rackhaven_proto::v1::agent_message::Body;
use rackhaven_tests::hand::{self, HandSession, heartbeat};
use rackhaven_tests::process::{command, run_to_end};
use rackhaven_tests::prometheus::{Scrape, promtool};
use rackhaven_tests::{Fleet, Kube, Prometheus, Ups, address, sim, wait_for, wait_until, web};

const OPEN: &str = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";

/// Reads OpenMetrics as its authors' own library does, and prints the names of samples.
const PARSER: &str = "import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
for family in parse(sys.stdin.read()):
    for sample in family.samples:
        print(sample.name)
";

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn text_of(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A fleet that is asked for its metrics at this address.
async fn fleet(more: &[(&str, &str)]) -> (Fleet, SocketAddr) {
    let address = address::fresh();
    let listen = format!("'{address}'");
    let settings: Vec<_> = more.iter().copied().chain([("metrics.listen", &*listen)]).collect();
    let fleet = Fleet::start_with(&settings).await.unwrap();
    wait_until("the metrics to be served", async || web::get(address, "/healthz", &[]).await.is_ok()).await.unwrap();
    (fleet, address)
}

/// Waits for metrics that hold this line.
async fn metrics_with(address: SocketAddr, line: &str) -> String {
    wait_for(&format!("the metrics to hold {line}"), async || {
        let answer = web::get(address, "/metrics", &[]).await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        Ok(Some(answer.body).filter(|body| body.lines().any(|own| own == line)))
    })
    .await
    .unwrap()
}

/// The names of the samples of a text.
fn names(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

/// The words of a text that are names of metrics, or of what the rules record.
fn metrics_named(text: &str) -> BTreeSet<String> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let words = text.split(|c| !in_name(c));
    let named = |word: &&str| ["rackhaven_", "rackhaven:", "process_"].iter().any(|start| word.starts_with(start));
    words.map(|word| word.trim_end_matches(':')).filter(named).map(str::to_owned).collect()
}

fn now_ms() -> i64 {
    match heartbeat() {
        Body::Heartbeat(heartbeat) => heartbeat.wall_unix_ms,
        _ => unreachable!(),
    }
}

/// A node that has every sensor and a backup that went well, spoken by hand.
async fn a_full_node(fleet: &Fleet) -> HandSession {
    let token = fleet.invite("--name pi-1").await.unwrap();
    let node = hand::join(&fleet.endpoint().parse().unwrap(), &token, "pi-1").await.unwrap();
    let session = HandSession::open(&node).await.unwrap();
    session.send(heartbeat()).await.unwrap();
    let mut sample = sim::sample(3);
    sample.file_systems[1].mount_point = "/mnt/a \"b\" \\c ä".to_owned();
    sample.storage = vec![v1::StorageHealth {
        device: "mmcblk0".to_owned(),
        used_life_percent: Some(10.0),
        bad_sectors: Some(0),
        file_system_errors: Some(0),
        celsius: Some(31.0),
        ..v1::StorageHealth::default()
    }];
    sample.k3s = Some(v1::K3sUnit { unit: "k3s-agent".to_owned(), state: "active".to_owned() });
    session.send(Body::Sample(sample)).await.unwrap();
    let job = v1::BackupJob {
        name: "etc".to_owned(),
        engine: "tar".to_owned(),
        repository: "/mnt/nas".to_owned(),
        schedule: "daily".to_owned(),
        next_unix_ms: Some(now_ms() + 3_600_000),
        ..v1::BackupJob::default()
    };
    let run = v1::BackupRun {
        run_id: "r-1".to_owned(),
        job: job.name.clone(),
        action: "save".to_owned(),
        trigger: "schedule".to_owned(),
        started_unix_ms: now_ms() - 60_000,
        ended_unix_ms: now_ms(),
        outcome: v1::BackupOutcome::Ok.into(),
        bytes_read: 4096,
        bytes_stored: 1024,
        ..v1::BackupRun::default()
    };
    session.send(Body::BackupJobs(v1::BackupJobs { jobs: vec![job], given_revision: 0 })).await.unwrap();
    session.send(Body::BackupReport(v1::BackupReport { run: Some(run), archives: None })).await.unwrap();
    session
}

/// Every metric that there is comes out of the real controller, is taken by two parsers that others have written, and is
/// what the documents, the rules and the dashboard name.
#[tokio::test]
async fn every_metric_is_taken_by_others_and_named_in_the_documents() {
    let mut ups = Ups::start().await.unwrap();
    ups.set(&[("ups.status", "OB DISCHRG"), ("ups.temperature", "31.5")]).await.unwrap();
    let (kube, kubeconfig) = (Kube::start().await.unwrap(), tempfile::NamedTempFile::new().unwrap());
    kube.with(|world| world.add_node("pi-1", true));
    fs::write(kubeconfig.path(), kube.controller_kubeconfig().unwrap()).unwrap();
    let (fleet, address) = fleet(&[
        ("k3s.kubeconfig", &format!("'{}'", kubeconfig.path().display())),
        ("session.heartbeat_ms", "60000"),
        ("power.ups", &format!("[{{ name = \"{}\" }}]", ups.name())),
        ("power.witnesses", &format!("['{}']", ups.address())),
        ("alerts.channel", "[{ name = \"hook\", kind = \"webhook\", url = \"http://127.0.0.1:1/\" }]"),
    ])
    .await;
    let _session = a_full_node(&fleet).await;
    let wanted: BTreeSet<String> = ALL.iter().map(Family::sample_name).collect();
    let mut missing = BTreeSet::new();
    let plain = wait_for("every metric", async || {
        let body = web::get(address, "/metrics", &[]).await?.body;
        missing = wanted.difference(&names(&body)).cloned().collect();
        Ok(Some(body).filter(|_| missing.is_empty()))
    });
    let plain = plain.await.unwrap_or_else(|error| panic!("{error:#}: {missing:?}"));
    assert_eq!(names(&plain), wanted, "no more than is in the catalogue");
    for line in [
        "rackhaven_node_up{node=\"pi-1\"} 1",
        "rackhaven_node_temperature_celsius{node=\"pi-1\",sensor=\"cpu-thermal\"} 47.2",
        "rackhaven_node_pressure_ratio{node=\"pi-1\",resource=\"io\",waiting=\"some\"} 0.011",
        "rackhaven_node_filesystem_readonly{node=\"pi-1\",mountpoint=\"/mnt/a \\\"b\\\" \\\\c ä\",fstype=\"ext4\"} 0",
        "rackhaven_backup_last_success_read_bytes{node=\"pi-1\",backup=\"etc\"} 4096",
        "rackhaven_power_supply{supply=\"battery\"} 1",
        "rackhaven_alerts_firing{rule=\"on-battery\",severity=\"warning\"} 1",
    ] {
        metrics_with(address, line).await;
    }

    let saved = fleet.folder().join("metrics");
    fs::write(&saved, &plain).unwrap();
    let checked = promtool(&["check", "metrics"], Some(&saved)).await.unwrap();
    assert_eq!((checked.code, checked.out.as_str(), checked.err.as_str()), (Some(0), "", ""), "promtool complains");

    let open = web::get(address, "/metrics", &[OPEN]).await.unwrap();
    assert_eq!(open.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    fs::write(&saved, &open.body).unwrap();
    let mut parser = command("/usr/bin/python3");
    parser.args(["-c", PARSER]).stdin(fs::File::open(&saved).unwrap());
    let parsed = run_to_end(parser).await.unwrap();
    assert_eq!(parsed.code, Some(0), "{}", parsed.err);
    assert_eq!(parsed.out.lines().map(str::to_owned).collect::<BTreeSet<_>>(), wanted);

    let rules = text_of("packaging/prometheus/rackhaven.rules.yml");
    let recorded: BTreeSet<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect();
    for (place, text) in [("rules", &rules), ("dashboard", &text_of("packaging/grafana/rackhaven.json"))] {
        let named = metrics_named(text);
        assert!(named.len() > 20, "{place}: {named:?}");
        let unknown: Vec<_> =
            named.iter().filter(|name| !wanted.contains(*name) && !recorded.contains(name.as_str())).collect();
        assert!(unknown.is_empty(), "{place}: not exported: {unknown:?}");
    }
}

/// The table of the document is that of the catalogue.
#[test]
fn the_document_has_every_metric() {
    let document = text_of("docs/metrics.md");
    let is_row = |line: &&str| ["| `rackhaven_", "| `process_"].iter().any(|start| line.starts_with(start));
    let told: Vec<_> = document.lines().filter(is_row).collect();
    let row = |family: &Family| {
        let labels = family.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        format!("| `{}` | {} | {labels} | {} |", family.sample_name(), family.kind.as_str(), family.help)
    };
    let wanted: Vec<_> = ALL.iter().map(row).collect();
    assert_eq!(told, wanted, "the table should be:\n{}", wanted.join("\n"));
}

/// Each rule of the controller has its alert in the file, or is left to the one that takes the controller's own word.
#[tokio::test]
async fn the_rules_mirror_the_controllers() {
    let path = file("packaging/prometheus/rackhaven.rules.yml");
    let checked = promtool(&["check", "rules", "--lint-fatal", path.to_str().unwrap()], None).await.unwrap();
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let text = fs::read_to_string(&path).unwrap();
    let mirrored: BTreeSet<_> = text.lines().filter_map(|line| line.trim().strip_prefix("rule: ")).collect();
    let known: BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
    assert!(mirrored.is_subset(&known), "not rules of the controller: {:?}", mirrored.difference(&known));
    let left_out = text.split("rule!~\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert_eq!(left_out.split('|').collect::<BTreeSet<_>>(), mirrored, "told twice, or not at all");
    // Thresholds and times are the shipped ones.
    let alert = |rule: &str| {
        let blocks = text.split("- alert: ").filter(|block| block.contains(&format!("rule: {rule}\n")));
        blocks.collect::<Vec<_>>().join("\n")
    };
    for rule in RULES.iter().filter(|rule| mirrored.contains(rule.name)) {
        let block = alert(rule.name);
        // What is foretold is asked in other words.
        let thresholds = rule.warning.iter().chain(&rule.critical).filter(|_| !rule.less_is_worse);
        for threshold in thresholds {
            let share = format!(">= {:.2}", threshold / 100.0);
            let plain = format!(">= {threshold}");
            assert!(block.contains(&share) || block.contains(&plain), "{}: {threshold} is not in {block}", rule.name);
        }
        let waits = match rule.for_s {
            0 => continue,
            seconds if seconds % 60 == 0 => format!("for: {}m\n", seconds / 60),
            seconds => format!("for: {seconds}s\n"),
        };
        assert!(block.contains(&waits), "{}: not {waits:?} in {block}", rule.name);
    }
}

/// The dashboard is JSON whose panels ask the source that is chosen.
#[test]
fn the_dashboard_can_be_loaded() {
    let dashboard: serde_json::Value = serde_json::from_str(&text_of("packaging/grafana/rackhaven.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has a number of its own");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{panel}");
        for target in targets {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{panel}");
        }
    }
}

/// A real Prometheus scrapes real agents, takes the rules, and tells of a node's death.
#[tokio::test]
async fn a_real_prometheus_scrapes_answers_and_alerts() {
    let token = tempfile::NamedTempFile::new().unwrap();
    fs::write(token.path(), "hunter2\n").unwrap();
    let (fleet, address) = fleet(&[("metrics.token_file", &format!("'{}'", token.path().display()))]).await;
    let _nas = fleet.join("nas").await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    fs::write(token.path(), "hunter2").unwrap();
    let rules = file("packaging/prometheus/rackhaven.rules.yml");
    let scrape = Scrape { target: address, every_ms: 500, token_file: Some(token.path()), rules: Some(&rules) };
    let prometheus = Prometheus::start(fleet.folder(), &scrape).await.unwrap();
    wait_until("both nodes to be known", async || {
        prometheus.value("sum(rackhaven_node_up)").await.is_ok_and(|sum| sum == Some(2.0))
    })
    .await
    .unwrap();
    // As the metrics' names promise.
    wait_until("what the rules record", async || {
        prometheus
            .query("rackhaven:node_memory_usage:ratio")
            .await
            .is_ok_and(|series| series.len() == 2 && series.iter().all(|(_, share)| (0.0..1.0).contains(share)))
    })
    .await
    .unwrap();
    let targets = prometheus.api("targets").await.unwrap();
    assert_eq!(targets["activeTargets"][0]["lastError"], "", "{targets}");
    let groups = prometheus.api("rules").await.unwrap();
    for rule in groups["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap()) {
        assert_ne!(rule["health"], "err", "{rule}");
    }
    // Each question of the dashboard is one that Prometheus understands.
    let dashboard: serde_json::Value = serde_json::from_str(&text_of("packaging/grafana/rackhaven.json")).unwrap();
    for target in
        dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array()).flatten()
    {
        let asked = target["expr"].as_str().unwrap();
        let asked = asked.replace("$node", ".*").replace("$job", "rackhaven").replace("$__rate_interval", "1m");
        prometheus.query(&asked).await.unwrap_or_else(|error| panic!("{asked}: {error:#}"));
    }
    pi.kill().await.unwrap();
    wait_until("the alert", async || {
        let firing =
            "ALERTS{alertname=\"RackhavenNodeDown\",node=\"pi-1\",alertstate=\"firing\",severity=\"critical\"}";
        prometheus.value(firing).await.is_ok_and(|value| value == Some(1.0))
    })
    .await
    .unwrap();
    assert_eq!(prometheus.value("sum(rackhaven_node_up)").await.unwrap(), Some(1.0));
    let measured = prometheus.query("rackhaven_node_load1").await.unwrap();
    assert!(measured.iter().all(|(labels, _)| labels["node"] == "nas"), "{measured:?}");
}

/// What was measured on a node is not told of one that is gone, and is again when it is back.
#[tokio::test]
async fn measurements_go_with_their_node() {
    let (fleet, address) = fleet(&[]).await;
    let mut pi = fleet.join("pi-1").await.unwrap();
    let up = metrics_with(address, "rackhaven_node_up{node=\"pi-1\"} 1").await;
    assert!(up.contains("rackhaven_node_info{node=\"pi-1\""));
    wait_until("a sample", async || {
        web::get(address, "/metrics", &[]).await.is_ok_and(|answer| answer.body.contains("rackhaven_node_load1{"))
    })
    .await
    .unwrap();
    pi.kill().await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Down).await.unwrap();
    let down = metrics_with(address, "rackhaven_node_up{node=\"pi-1\"} 0").await;
    for gone in ["load1", "cpu_usage_ratio", "memory_size_bytes", "filesystem_size_bytes", "uptime_seconds"] {
        assert!(!down.contains(&format!("rackhaven_node_{gone}")), "{gone} is told of a dead node");
    }
    assert!(down.contains("rackhaven_node_state{node=\"pi-1\",state=\"down\"} 1"));
    assert!(down.contains("rackhaven_node_last_seen_timestamp_seconds{node=\"pi-1\"}"));
    pi.start().unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    wait_until("a sample", async || {
        web::get(address, "/metrics", &[]).await.is_ok_and(|answer| answer.body.contains("rackhaven_node_load1{"))
    })
    .await
    .unwrap();
}
