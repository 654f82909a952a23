//! A node that is a folder: what the kernel would say, programs that stand in for the system's, and K3s's engine.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prost::Message;
use rackhaven_proto::model::k3s::{K3sOrder, K3sTask};
use rackhaven_proto::v1;
use rackhaven_proto::v1::k3s_step::State as StepState;

use super::release::double;
use super::systemctl::{FOLDER, State};
use super::{DoubleRelease, paths};
use crate::Program;
use crate::address;
use crate::ctl::Outcome;
use crate::process::{command, run_to_end};

/// What a good board's kernel says.
const FILES: [(&str, &str); 14] = [
    ("proc/cmdline", "root=/dev/mmcblk0p2 rootwait\n"),
    ("proc/meminfo", "MemTotal:        4000000 kB\n"),
    ("proc/modules", "br_netfilter 1 0 - Live 0x0\noverlay 1 0 - Live 0x0\nvxlan 1 0 - Live 0x0\n"),
    ("proc/net/tcp", "  sl  local_address rem_address   st\n"),
    ("proc/net/udp", "  sl  local_address rem_address   st\n"),
    (
        "proc/net/route",
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n",
    ),
    ("proc/swaps", "Filename Type Size Used Priority\n"),
    ("proc/sys/net/ipv4/ip_forward", "1\n"),
    ("proc/sys/kernel/random/boot_id", "11111111-0000-4000-8000-000000000001\n"),
    ("proc/sys/kernel/hostname", "board\n"),
    ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n"),
    ("sys/class/net/eth0/operstate", "up\n"),
    ("etc/os-release", "ID=debian\n"),
    ("etc/systemd/system/multi-user.target.wants/.keep", ""),
];

/// What stands in for programs that K3s's engine calls.
const SCRIPTS: [(&str, &str); 6] = [
    (
        "modprobe",
        "case $1 in --dry-run) exit 0 ;; esac\necho \"$1 1 0 - Live 0x0\" >>\"$K3S_DOUBLE_ROOT/proc/modules\"",
    ),
    ("timedatectl", "echo yes"),
    (
        "ip",
        "case \"$*\" in\n'-json address show') cat \"$K3S_DOUBLE_ROOT/run/addresses.json\" ;;\n'link delete '*) rm -r \
         \"$K3S_DOUBLE_ROOT/sys/class/net/$3\" ;;\n*) exit 9 ;;\nesac",
    ),
    ("iptables-save", "cat \"$K3S_DOUBLE_ROOT/run/rules\" 2>/dev/null || exit 1"),
    ("iptables-restore", "cat >\"$K3S_DOUBLE_ROOT/run/rules\""),
    ("ip6tables-save", "exit 1"),
];

/// A node. Whatever runs on it ends on drop.
#[derive(Debug)]
pub struct Board {
    top: tempfile::TempDir,
    /// Its address, at which its API listens if it is a server.
    pub address: std::net::IpAddr,
}

/// The engine's end: what it reported, and what it printed.
#[derive(Debug, Clone)]
pub struct Engine {
    /// The news with the report.
    pub news: v1::K3sNews,
    /// Its process.
    pub outcome: Outcome,
}

impl Engine {
    /// The report.
    pub fn report(&self) -> v1::K3sReport {
        self.news.report.clone().unwrap_or_default()
    }

    /// `NAME STATE` of all steps.
    pub fn steps(&self) -> Vec<String> {
        let word = |step: &v1::K3sStep| match StepState::try_from(step.state) {
            Ok(StepState::Running) => "running",
            Ok(StepState::Unchanged) => "unchanged",
            Ok(StepState::Done) => "done",
            Ok(StepState::Failed) => "failed",
            Ok(StepState::Skipped) => "skipped",
            Ok(StepState::Unspecified) | Err(_) => "?",
        };
        self.news.steps.iter().map(|step| format!("{} {}", step.name, word(step))).collect()
    }

    /// The text of a step; empty if there was none of that name.
    pub fn text(&self, name: &str) -> String {
        self.news.steps.iter().find(|step| step.name == name).map_or_else(String::new, |step| step.text.clone())
    }

    /// Refuses an order that was not carried out.
    ///
    /// # Errors
    /// When it was not.
    pub fn fine(self) -> anyhow::Result<Self> {
        ensure!(self.report().failure.is_empty(), "{}; steps: {:?}", self.report().failure, self.steps());
        Ok(self)
    }
}

impl Board {
    /// A good one, on which nothing is installed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        let top = tempfile::Builder::new().prefix("rackhaven-k3s-").tempdir().context("making a folder")?;
        let board = Self { top, address: address::fresh().ip() };
        for folder in ["usr/local/bin", "var/lib", "run", "tmp", "sys/class/net"] {
            fs::create_dir_all(board.root().join(folder))?;
        }
        FILES.iter().try_for_each(|(path, text)| board.put(path, text))?;
        fs::create_dir(board.bin())?;
        for name in ["systemctl", "journalctl"] {
            symlink(double()?, board.bin().join(name))?;
        }
        for (name, script) in SCRIPTS {
            let place = board.bin().join(name);
            fs::write(&place, format!("#!/bin/sh\n{script}\n"))?;
            fs::set_permissions(&place, fs::Permissions::from_mode(0o755))?;
        }
        Ok(board)
    }

    /// The node's files.
    pub fn root(&self) -> PathBuf {
        self.top.path().join("root")
    }

    /// Where the agent would keep what the engine needs.
    pub fn agent_folder(&self) -> PathBuf {
        self.top.path().join("agent")
    }

    pub(super) fn bin(&self) -> PathBuf {
        self.top.path().join("bin")
    }

    /// Writes a file of the node.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, path: &str, text: &str) -> anyhow::Result<()> {
        let place = self.root().join(path.trim_start_matches('/'));
        fs::create_dir_all(place.parent().context("a file in no folder")?)?;
        fs::write(&place, text).with_context(|| format!("writing {}", place.display()))
    }

    /// A file of the node; empty if there is none.
    pub fn read(&self, path: &str) -> String {
        let place = self.root().join(path.trim_start_matches('/'));
        fs::read(place).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether there is something.
    pub fn has(&self, path: &str) -> bool {
        self.root().join(path.trim_start_matches('/')).symlink_metadata().is_ok()
    }

    /// Lets a server listen at this board's own address: what an admin would add.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn bind_own_address(&self) -> anyhow::Result<()> {
        self.put("/etc/rancher/k3s/config.yaml.d/address.yaml", &format!("bind-address: {}\n", self.address))
    }

    /// Where its API is, if it is a server.
    pub fn url(&self) -> String {
        format!("https://{}:6443", self.address)
    }

    /// A program that runs on this node.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = command(program);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.bin().display())).env(paths::ROOT, self.root());
        command
    }

    /// The engine with this order, whose files are made ready as the agent does it.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn engine(&self, release: Option<&DoubleRelease>, task: K3sTask, start_s: u64) -> anyhow::Result<Command> {
        let artifacts = release.map_or_else(|| Ok(Vec::new()), DoubleRelease::artifacts)?;
        let folder = self.agent_folder();
        fs::create_dir_all(folder.join("artifacts"))?;
        for artifact in &artifacts {
            let from = release.map(|release| match artifact.kind.as_str() {
                "k3s" => release.program.clone(),
                _ => release.images.clone(),
            });
            fs::copy(from.context("no release")?, folder.join("artifacts").join(artifact.sha256.to_string()))?;
        }
        let order = K3sOrder { id: "order-1".parse()?, requested_by: "user anna".to_owned(), artifacts, task };
        fs::write(folder.join("order"), v1::K3sOrder::from(order).encode_to_vec())?;
        let _ = fs::remove_file(folder.join("result"));
        let mut engine = self.command(Program::K3s.path()?);
        engine.arg("run").arg("--root").arg(self.root());
        for name in ["order", "status", "result", "artifacts"] {
            engine.arg(format!("--{name}")).arg(folder.join(name));
        }
        engine.args(["--start-timeout-s", &start_s.to_string()]);
        Ok(engine)
    }

    /// Has the engine carry out an order.
    ///
    /// # Errors
    /// When it ends without a report.
    pub async fn order(&self, release: Option<&DoubleRelease>, task: K3sTask) -> anyhow::Result<Engine> {
        self.finish(self.engine(release, task, 60)?).await
    }

    /// Runs an engine to its end.
    ///
    /// # Errors
    /// When it ends without a report.
    pub async fn finish(&self, engine: Command) -> anyhow::Result<Engine> {
        let outcome = run_to_end(engine).await?;
        let news = self.result().with_context(|| format!("no report: {outcome:?}"))?;
        Ok(Engine { news, outcome })
    }

    fn result(&self) -> anyhow::Result<v1::K3sNews> {
        Ok(v1::K3sNews::decode(fs::read(self.agent_folder().join("result"))?.as_slice())?)
    }

    /// What the engine says while it works.
    pub fn status(&self) -> Option<v1::K3sNews> {
        v1::K3sNews::decode(fs::read(self.agent_folder().join("status")).ok()?.as_slice()).ok()
    }

    /// `systemctl` on this node.
    ///
    /// # Errors
    /// When it fails.
    pub async fn systemctl(&self, words: &[&str]) -> anyhow::Result<String> {
        let mut systemctl = self.command(self.bin().join("systemctl"));
        systemctl.args(words);
        let outcome = run_to_end(systemctl).await?;
        ensure!(outcome.code == Some(0), "systemctl {words:?}: {}", outcome.err);
        Ok(outcome.out)
    }

    /// How often K3s has been started, by what it wrote.
    pub fn process(&self, unit: &str) -> u32 {
        self.state(unit).map_or(0, |state| state.main_pid)
    }

    fn state(&self, unit: &str) -> Option<State> {
        serde_json::from_str(&self.read(&format!("{FOLDER}/{unit}.state"))).ok()
    }

    /// All paths of the node with kind, permissions and bytes, without what the kernel and systemd keep for themselves.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn tree(&self) -> anyhow::Result<Vec<String>> {
        let mut all = Vec::new();
        walk(&self.root(), &self.root(), &mut all)?;
        all.retain(|line| {
            !["proc/", "run/sd", "run/rackhaven-k3s.lock", "run/rules"].iter().any(|start| line.starts_with(start))
        });
        Ok(all)
    }
}

fn walk(root: &Path, folder: &Path, all: &mut Vec<String>) -> anyhow::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    entries.sort();
    for path in entries {
        let metadata = path.symlink_metadata()?;
        let name = path.strip_prefix(root)?.display().to_string();
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_symlink() {
            all.push(format!("{name} -> {}", fs::read_link(&path)?.display()));
        } else if metadata.is_dir() {
            all.push(format!("{name}/ {mode:o}"));
            walk(root, &path, all)?;
        } else if metadata.is_file() {
            let sum = rackhaven_pki::hex(&rackhaven_pki::sha256(&fs::read(&path)?));
            all.push(format!("{name} {mode:o} {sum}"));
        }
    }
    Ok(())
}

impl Drop for Board {
    fn drop(&mut self) {
        for unit in ["k3s.service", "k3s-agent.service"] {
            if std::thread::panicking() && self.has(&format!("{FOLDER}/{unit}.journal")) {
                let journal = self.read(&format!("{FOLDER}/{unit}.journal"));
                let lines: Vec<&str> = journal.lines().collect();
                eprintln!("---- {unit} ----\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
            }
            if let Some(state) = self.state(unit) {
                [state.driver, state.main_pid].into_iter().for_each(|pid| self.end(pid.cast_signed()));
            }
        }
        let shown = fs::read_dir(self.root().join("proc")).into_iter().flatten().flatten();
        for pid in shown.filter(|entry| entry.path().is_symlink()) {
            if let Ok(pid) = pid.file_name().to_string_lossy().parse() {
                self.end(pid);
            }
        }
    }
}

impl Board {
    /// Ends a process, if it is one of this node's: its number may be another's by now.
    fn end(&self, pid: i32) {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mark = format!("{}={}", paths::ROOT, self.root().display());
        if pid > 1 && String::from_utf8_lossy(&environment).split('\0').any(|line| line == mark) {
            // It may have ended.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
