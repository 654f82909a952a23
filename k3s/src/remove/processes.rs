//! Ends what outlives K3s: pods, and what holds them.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::bail;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::clock::steady;
use crate::news::Done;
use crate::order::Work;
use crate::paths::{DATA, PROGRAM};

/// How long the kernel may take to end what was killed.
const TIME: Duration = Duration::from_secs(20);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);

/// A process, as far as it counts here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    /// The path of its program, as its first argument has it.
    program: String,
    /// Its control group.
    group: String,
}

/// Those that are K3s's: what its own programs are, what runs in the groups of its pods, and all that these started.
fn of_k3s(all: &[Process], data: &str, program: &str) -> BTreeSet<i32> {
    let is_pod = |group: &str| group.split('/').any(|part| part == "kubepods" || part.starts_with("kubepods."));
    let is_unit = |group: &str| group.split('/').any(|part| part == "k3s.service" || part == "k3s-agent.service");
    let is_own = |process: &&Process| {
        process.program.starts_with(&format!("{data}/data/"))
            || process.program == program
            || is_pod(&process.group)
            || is_unit(&process.group)
    };
    let mut found: BTreeSet<i32> = all.iter().filter(is_own).map(|process| process.pid).collect();
    loop {
        let more: Vec<i32> = all
            .iter()
            .filter(|process| found.contains(&process.parent) && !found.contains(&process.pid))
            .map(|process| process.pid)
            .collect();
        if more.is_empty() {
            // Nobody ends the first process, or itself.
            found.remove(&1);
            found.remove(&std::process::id().cast_signed());
            return found;
        }
        found.extend(more);
    }
}

fn list(work: &Work) -> Vec<Process> {
    let pids = work.root.names("/proc").into_iter().filter_map(|name| name.parse::<i32>().ok());
    let of_pid = |pid: i32| {
        let status = work.root.told(&format!("/proc/{pid}/stat"));
        // The name, in brackets, may hold anything.
        let (_, after) = status.rsplit_once(')')?;
        let parent = after.split_ascii_whitespace().nth(1)?.parse().ok()?;
        let arguments = work.root.told(&format!("/proc/{pid}/cmdline"));
        let program = arguments.split('\0').next().unwrap_or_default().to_owned();
        Some(Process { pid, parent, program, group: work.root.told(&format!("/proc/{pid}/cgroup")) })
    };
    pids.filter_map(of_pid).collect()
}

fn found(work: &Work) -> BTreeSet<i32> {
    let place = |path: &str| work.root.at(path).display().to_string();
    // A group's line is HIERARCHY:CONTROLLERS:PATH.
    let processes: Vec<Process> = list(work)
        .into_iter()
        .map(|process| Process { group: process.group.replace(['\n', ':'], "/"), ..process })
        .collect();
    of_k3s(&processes, &place(DATA), &place(PROGRAM))
}

/// Ends them all, and waits until they are gone.
pub(super) fn end(work: &mut Work) -> anyhow::Result<Done> {
    let first = found(work);
    if first.is_empty() {
        return Ok(Done::Unchanged("none is left".to_owned()));
    }
    let begun = steady();
    loop {
        let left = found(work);
        if left.is_empty() {
            return Ok(Done::Changed(format!("{} ended", first.len())));
        }
        if steady().duration_since(begun) >= TIME {
            bail!("{} processes do not end: {:?}", left.len(), left.iter().take(10).collect::<Vec<_>>());
        }
        kill(work, &left);
        work.pause(LOOK)?;
    }
}

/// By a handle, and only what still is what it was: a number may be given to another process.
fn kill(work: &Work, pids: &BTreeSet<i32>) {
    let handles: Vec<_> = pids
        .iter()
        .filter_map(|pid| Some((*pid, pidfd_open(Pid::from_raw(*pid)?, PidfdFlags::empty()).ok()?)))
        .collect();
    let still = found(work);
    for (_, handle) in handles.iter().filter(|(pid, _)| still.contains(pid)) {
        // It may have ended meanwhile.
        let _ = pidfd_send_signal(handle, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::{Process, of_k3s};

    #[test]
    fn golden() {
        let process = |pid: i32, parent: i32, program: &str, group: &str| Process {
            pid,
            parent,
            program: program.to_owned(),
            group: group.to_owned(),
        };
        let all = [
            process(1, 0, "/sbin/init", "0///init.scope"),
            process(10, 1, "/usr/local/bin/k3s", "0///system.slice/k3s.service"),
            process(11, 1, "/var/lib/rancher/k3s/data/abc/bin/containerd-shim-runc-v2", "0///system.slice/k3s.service"),
            process(12, 11, "/pause", "0///kubepods.slice/kubepods-besteffort.slice/x"),
            process(13, 1, "/app", "4/memory//kubepods/besteffort/pod1"),
            process(14, 12, "/usr/bin/sh", "0///elsewhere"),
            process(20, 1, "/usr/bin/containerd-shim-runc-v2", "0///system.slice/docker.service"),
            process(21, 20, "/app", "0///docker/abc"),
            process(22, 1, "/usr/local/bin/k3s-backup", "0///system.slice/mykubepods.service"),
        ];
        let ours: Vec<i32> = of_k3s(&all, "/var/lib/rancher/k3s", "/usr/local/bin/k3s").into_iter().collect();
        assert_eq!(ours, [10, 11, 12, 13, 14]);
        let only_init = [process(1, 0, "/usr/local/bin/k3s", "")];
        assert!(of_k3s(&only_init, "/var/lib/rancher/k3s", "/usr/local/bin/k3s").is_empty());
    }
}
