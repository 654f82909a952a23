//! A real Prometheus, and its tool that checks what is meant for it.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::ctl::Outcome;
use crate::process::{Daemon, command, run_to_end};
use crate::wait::wait_for;
use crate::{address, web};

/// The name of the scrape's job.
const JOB: &str = "rackhaven";

/// A Prometheus with a folder of its own. Ends when dropped.
#[derive(Debug)]
pub struct Prometheus {
    daemon: Daemon,
    address: SocketAddr,
}

/// What is scraped, and how.
#[derive(Debug, Clone)]
pub struct Scrape<'a> {
    /// Where the metrics are.
    pub target: SocketAddr,
    /// Between two scrapes, milliseconds.
    pub every_ms: u32,
    /// The file of the bearer token, if one is shown.
    pub token_file: Option<&'a Path>,
    /// A file of rules.
    pub rules: Option<&'a Path>,
}

impl Prometheus {
    /// Starts it with its data in `folder`, and waits until it is ready.
    ///
    /// # Errors
    /// When it is not there, or does not become ready.
    pub async fn start(folder: &Path, scrape: &Scrape<'_>) -> anyhow::Result<Self> {
        let Scrape { target, every_ms, token_file, rules } = scrape;
        let config = folder.join("prometheus.yml");
        let files: Vec<_> = rules.iter().collect();
        let credentials = token_file
            .map(|file| format!("    authorization: {{credentials_file: {}}}\n", file.display()))
            .unwrap_or_default();
        let text = format!(
            "global: {{scrape_interval: {every_ms}ms, scrape_timeout: {every_ms}ms, evaluation_interval: {every_ms}ms}}\n\
             rule_files: {files:?}\nscrape_configs:\n  - job_name: {JOB}\n{credentials}\
             \x20   static_configs: [{{targets: ['{target}']}}]\n",
        );
        fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
        let address = address::fresh();
        let mut command = tool("prometheus")?;
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()))
            .arg(format!("--web.listen-address={address}"));
        let daemon = Daemon::start("prometheus", command, folder)?;
        let mut prometheus = Self { daemon, address };
        let ready = wait_for("Prometheus to be ready", async || {
            if let Some(status) = prometheus.daemon.poll_end()? {
                bail!("it ended with {status}");
            }
            Ok((web::get(address, "/-/ready", &[]).await?.status == 200).then_some(()))
        });
        ready.await?;
        Ok(prometheus)
    }

    /// What it answers to a query now: each series' labels and value.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn query(&self, query: &str) -> anyhow::Result<Vec<(Value, f64)>> {
        let data = self.api(&format!("query?query={}", percent_encoded(query))).await?;
        let series = data["result"].as_array().with_context(|| format!("{query}: {data}"))?;
        let value = |one: &Value| -> anyhow::Result<(Value, f64)> {
            let value = one["value"][1].as_str().with_context(|| format!("{query}: {one}"))?;
            Ok((one["metric"].clone(), value.parse()?))
        };
        series.iter().map(value).collect()
    }

    /// The first value of a query; none if there is no series.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn value(&self, query: &str) -> anyhow::Result<Option<f64>> {
        Ok(self.query(query).await?.first().map(|(_, value)| *value))
    }

    /// What its API says: `targets`, `rules`.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn api(&self, path: &str) -> anyhow::Result<Value> {
        let answer = web::get(self.address, &format!("/api/v1/{path}"), &[]).await?;
        let mut json: Value = serde_json::from_str(&answer.body).with_context(|| answer.body.clone())?;
        ensure!(json["status"] == "success", "{path}: {json}");
        Ok(json["data"].take())
    }

    /// Its log.
    pub fn log(&self) -> String {
        self.daemon.log()
    }
}

/// `promtool` with these words; a file is its standard input.
///
/// # Errors
/// When it is not there.
pub async fn promtool(words: &[&str], input: Option<&Path>) -> anyhow::Result<Outcome> {
    let mut command = tool("promtool")?;
    command.args(words);
    if let Some(input) = input {
        command.stdin(File::open(input).with_context(|| format!("opening {}", input.display()))?);
    }
    run_to_end(command).await
}

fn tool(name: &str) -> anyhow::Result<Command> {
    let test = std::env::current_exe().context("finding the test binary")?;
    let unpacked = test.ancestors().nth(3).map(|target| target.join("tools/prometheus/usr/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain(unpacked);
    let found: Option<PathBuf> = folders.find_map(|folder| Some(folder.join(name)).filter(|file| file.is_file()));
    Ok(command(found.with_context(|| format!("{name} is not there; run tests/prometheus"))?))
}

fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let encode = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}
