//! Puts right what can be.

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::Context;

use super::Fix;
use super::boot::with_memory;
use super::facts::Facts;
use crate::child::{SHORT, command, run};
use crate::files;
use crate::order::Work;
use crate::paths::{MODULES_LOAD, SYSCTL};

/// What was done.
pub(super) struct Fixed {
    pub(super) text: String,
    pub(super) needs_reboot: bool,
}

pub(super) fn perform(work: &Work, facts: &Facts, fix: Fix) -> anyhow::Result<Fixed> {
    match fix {
        Fix::Cmdline => cmdline(work, facts),
        Fix::Module(name) => module(work, name),
        Fix::Forward => forward(work),
    }
}

fn cmdline(work: &Work, facts: &Facts) -> anyhow::Result<Fixed> {
    let (path, line) = facts.cmdline.as_ref().context("there is no line of the firmware's")?;
    let (changed, added) = with_memory(line).context("nothing is missing in it")?;
    let place = work.root.at(path);
    let mode = fs::metadata(&place).map_or(0o644, |metadata| metadata.mode() & 0o7777);
    files::replace(&place, &changed, mode)?;
    Ok(Fixed { text: format!("appended to {path}: {added}"), needs_reboot: true })
}

fn module(work: &Work, name: &str) -> anyhow::Result<Fixed> {
    let mut modprobe = command("modprobe");
    modprobe.arg(name);
    run(modprobe, b"", SHORT, work.stop)?.fine(&format!("modprobe {name}"))?;
    add_line(work, MODULES_LOAD, name)?;
    Ok(Fixed { text: format!("loaded, at each boot too ({MODULES_LOAD})"), needs_reboot: false })
}

fn forward(work: &Work) -> anyhow::Result<Fixed> {
    fs::write(work.root.at("/proc/sys/net/ipv4/ip_forward"), "1\n").context("switching it on")?;
    add_line(work, SYSCTL, "net.ipv4.ip_forward = 1")?;
    Ok(Fixed { text: format!("switched on, at each boot too ({SYSCTL})"), needs_reboot: false })
}

/// A line of a file that is ours.
fn add_line(work: &Work, path: &str, line: &str) -> anyhow::Result<()> {
    let mut text = String::from_utf8_lossy(&work.root.read(path)?.unwrap_or_default()).into_owned();
    if text.lines().any(|other| other == line) {
        return Ok(());
    }
    if text.is_empty() {
        text = "# Written by Rackhaven for K3s.\n".to_owned();
    }
    text.push_str(line);
    text.push('\n');
    let place = work.root.at(path);
    if let Some(folder) = place.parent() {
        files::make_folder(folder, 0o755)?;
    }
    Ok(files::replace(&place, text.as_bytes(), 0o644)?)
}
