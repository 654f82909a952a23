//! Processes that live no longer than the story that started them.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::Context;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::ctl::Outcome;
use crate::wait::{PATIENCE, wait_for};

/// How much of a log is shown when a story fails.
const SHOWN_LINES: usize = 60;

/// A command that dies with the thread that runs the story, in a process group of its own.
#[expect(clippy::disallowed_methods, reason = "the one place where the harness starts a child")]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.process_group(0).stdin(Stdio::null());
    // What the one who runs the tests has set must not change what they find.
    for name in ["RUST_LOG", "RACKHAVEN_TOKEN", "RACKHAVEN_CONTEXT", "NOTIFY_SOCKET", "WATCHDOG_USEC", "JOURNAL_STREAM"]
    {
        command.env_remove(name);
    }
    let die_with_parent = || nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(Into::into);
    // SAFETY: between fork and exec only the system call prctl is made, which is async-signal-safe; a story that is
    // killed itself cannot clean up, and would leave its daemons behind.
    #[expect(unsafe_code, reason = "there is no safe way to run something in the child before exec")]
    unsafe {
        command.pre_exec(die_with_parent);
    }
    command
}

/// Runs a command to its end.
///
/// # Errors
/// When it cannot be started, or does not end.
pub async fn run_to_end(command: Command) -> anyhow::Result<Outcome> {
    let mut command = tokio::process::Command::from(command);
    let running = command.kill_on_drop(true).output();
    let done = tokio::time::timeout(PATIENCE, running).await.context("it does not end")?.context("starting it")?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Outcome { code: done.status.code(), out: text(done.stdout), err: text(done.stderr) })
}

/// A process that runs in the background. Killed with all of its children when dropped.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    ended: Option<ExitStatus>,
    output: PathBuf,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command`; what it says goes to `NAME.out` and `NAME.log` in `folder`, behind what is there.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> anyhow::Result<Self> {
        let (output, log) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.log")));
        let child = command
            .stdout(append(&output)?)
            .stderr(append(&log)?)
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        Ok(Self { name: name.to_owned(), child, ended: None, output, log })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, but not its children.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill(pid(&self.child), signal).with_context(|| format!("sending {signal} to {}", self.name))
    }

    /// Kills it as the kernel would, without a warning, and waits for its end.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.ended().await.map(drop)
    }

    /// Asks it to end (SIGTERM) and waits for it.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.ended().await
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        wait_for(&what, async || self.poll_end()).await
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn poll_end(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().with_context(|| format!("waiting for {}", self.name))?;
        }
        Ok(self.ended)
    }

    /// All that it wrote to standard error, in earlier runs too.
    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// All that it wrote to standard output, in earlier runs too.
    pub fn output(&self) -> String {
        read(&self.output)
    }

    /// Resident memory, bytes.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().context("reading VmRSS")?;
        Ok(kib * 1024)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Its children too, and those only that it left behind: a group outlives its leader.
        let _ = killpg(pid(&self.child), Signal::SIGKILL);
        let ended = self.child.wait();
        if std::thread::panicking() {
            let how = ended.map_or_else(|error| error.to_string(), describe);
            let log = read(&self.log);
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
            eprintln!("---- {} ({how}), last {} lines of its log ----\n{}", self.name, last.len(), last.join("\n"));
        }
    }
}

fn describe(status: ExitStatus) -> String {
    match status.signal() {
        Some(9) => "running until now, or killed".to_owned(),
        _ => status.to_string(),
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

fn append(path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.with_context(|| format!("opening {}", path.display()))
}

fn read(path: &Path) -> String {
    std::fs::read(path).map_or_else(|error| error.to_string(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}
