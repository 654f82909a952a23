//! `systemctl` and `journalctl` on a node that is a folder.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::paths::{at, pause, text, write};
use super::unit_file::Unit;

/// Where it is kept how units are.
pub(super) const FOLDER: &str = "/run/sd";
const UNITS: &str = "/etc/systemd/system";
const WANTS: &str = "/etc/systemd/system/multi-user.target.wants";
/// How long a stop may take.
const GRACE: Duration = Duration::from_secs(30);

/// How a unit is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) driver: u32,
    pub(super) active: String,
    pub(super) sub: String,
    pub(super) main_pid: u32,
    pub(super) restarts: u64,
}

impl State {
    /// What was last said of a unit.
    fn kept(unit: &str) -> Self {
        let kept = text(&format!("{FOLDER}/{unit}.state")).ok();
        kept.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// What is known of a unit.
    pub(super) fn load(unit: &str) -> Self {
        let state = Self::kept(unit);
        let is_alive = state.driver != 0 && kill(Pid::from_raw(state.driver.cast_signed()), None).is_ok();
        if is_alive || state.active == "failed" {
            return state;
        }
        Self { active: "inactive".to_owned(), sub: "dead".to_owned(), ..Self::default() }
    }

    pub(super) fn save(&self, unit: &str) -> anyhow::Result<()> {
        write(&format!("{FOLDER}/{unit}.state"), serde_json::to_vec(self)?, 0o644)
    }

    fn is_up(&self) -> bool {
        matches!(self.active.as_str(), "active" | "activating")
    }
}

/// A unit as it was when systemd was last told to read it.
pub(super) fn loaded(unit: &str) -> anyhow::Result<String> {
    let kept = format!("{FOLDER}/{unit}.loaded");
    if !at(&kept).exists() {
        let fresh = text(&format!("{UNITS}/{unit}")).with_context(|| format!("Unit {unit} not found."))?;
        write(&kept, fresh, 0o644)?;
    }
    text(&kept)
}

fn reload() -> anyhow::Result<()> {
    for entry in fs::read_dir(at(FOLDER)).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "loaded") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// `systemctl`.
pub(super) fn main(words: &[String]) -> anyhow::Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["daemon-reload"] => reload(),
        ["show", properties, unit] => {
            show(properties.strip_prefix("--property=").context("no properties")?, unit, false)
        }
        ["show", properties, "--value", unit] => {
            show(properties.strip_prefix("--property=").context("no properties")?, unit, true)
        }
        ["start", "--no-block", unit] => start(unit),
        ["restart", "--no-block", unit] => stop(unit).and_then(|()| start(unit)),
        ["start" | "restart", _] => bail!("the double would wait for ever here: --no-block is missing"),
        ["stop", unit] => stop(unit),
        ["reset-failed", unit] => {
            ensure!(State::load(unit).active == "failed", "Failed to reset failed state of unit {unit}: not loaded.");
            State::default().save(unit)
        }
        ["enable", unit] => {
            loaded(unit)?;
            fs::create_dir_all(at(WANTS))?;
            std::os::unix::fs::symlink(format!("{UNITS}/{unit}"), at(&format!("{WANTS}/{unit}"))).context("enabling")
        }
        ["disable", unit] => fs::remove_file(at(&format!("{WANTS}/{unit}"))).context("disabling"),
        ["is-active", unit] => {
            let state = State::load(unit);
            println!("{}", state.active);
            ensure!(state.active == "active", "not active");
            Ok(())
        }
        _ => bail!("the double's systemctl does not know {words:?}"),
    }
}

fn show(properties: &str, unit: &str, value_only: bool) -> anyhow::Result<()> {
    let state = State::load(unit);
    let load = match loaded(unit) {
        Err(_) => "not-found",
        Ok(text) if Unit::parse(&text).is_err() => "bad-setting",
        Ok(_) => "loaded",
    };
    let is_enabled = at(&format!("{WANTS}/{unit}")).symlink_metadata().is_ok();
    for property in properties.split(',') {
        let value = match property {
            "LoadState" => load.to_owned(),
            "ActiveState" => state.active.clone(),
            "SubState" => state.sub.clone(),
            "UnitFileState" if load == "not-found" => String::new(),
            "UnitFileState" => if is_enabled { "enabled" } else { "disabled" }.to_owned(),
            "NRestarts" => state.restarts.to_string(),
            "MainPID" => state.main_pid.to_string(),
            _ => bail!("the double knows no property {property}"),
        };
        println!("{}{value}", if value_only { String::new() } else { format!("{property}=") });
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "this is what systemd does")]
fn start(unit: &str) -> anyhow::Result<()> {
    if State::load(unit).is_up() {
        return Ok(());
    }
    Unit::parse(&loaded(unit)?).with_context(|| format!("Unit {unit} has a bad unit file setting."))?;
    let _ = fs::remove_file(at(&format!("{FOLDER}/{unit}.stop")));
    let mut driver = Command::new("/proc/self/exe");
    driver.arg0("systemd-double").arg(unit).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // It outlives whoever called, in a group of its own.
    let driver = driver.process_group(0).spawn().context("starting the driver of the unit")?;
    // It says itself how the unit is.
    let begun = Instant::now();
    while State::kept(unit).driver != driver.id() {
        ensure!(begun.elapsed() < GRACE, "the driver of {unit} says nothing");
        pause(Duration::from_millis(5));
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the double's clock")]
fn stop(unit: &str) -> anyhow::Result<()> {
    if !State::load(unit).is_up() {
        return Ok(());
    }
    write(&format!("{FOLDER}/{unit}.stop"), "", 0o644)?;
    let begun = Instant::now();
    while State::load(unit).is_up() {
        ensure!(begun.elapsed() < GRACE, "{unit} does not stop");
        pause(Duration::from_millis(10));
    }
    Ok(())
}

/// `journalctl … --lines=N --unit UNIT`.
pub(super) fn journal(words: &[String]) -> anyhow::Result<()> {
    let lines = words.iter().find_map(|word| word.strip_prefix("--lines=")).context("no --lines")?.parse::<usize>()?;
    let at_unit = words.iter().position(|word| word == "--unit").context("no --unit")?;
    let unit = words.get(at_unit + 1).context("no unit")?;
    let all = text(&format!("{FOLDER}/{unit}.journal")).unwrap_or_default();
    let all: Vec<&str> = all.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().for_each(|line| println!("{line}"));
    Ok(())
}
