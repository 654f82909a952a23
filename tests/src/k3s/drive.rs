//! What systemd is for one unit: starts it, hears whether it is up, and starts it again.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::paths::{ROOT, at, end_with_node, pause, text};
use super::systemctl::{FOLDER, State, loaded};
use super::unit_file::{Unit, environment};

/// How often it looks.
const LOOK: Duration = Duration::from_millis(10);
/// Before it is started again, a unit waits so many times less than it says.
const HASTE: u64 = 10;
/// How long a process may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(10);

/// `systemd-double UNIT`: until it is stopped.
pub(super) fn main(words: &[String]) -> anyhow::Result<()> {
    let name = words.first().context("no unit")?;
    end_with_node();
    let unit = Unit::parse(&loaded(name)?)?;
    let mut state = State { driver: std::process::id(), ..State::default() };
    let ended = drive(name, &unit, &mut state);
    if let Err(error) = &ended {
        say(name, &format!("{error:#}"))?;
    }
    (state.active, state.main_pid) = (if ended.is_ok() { "inactive" } else { "failed" }.to_owned(), 0);
    state.sub = if ended.is_ok() { "dead" } else { "failed" }.to_owned();
    state.save(name)
}

fn say(name: &str, line: &str) -> anyhow::Result<()> {
    let mut journal = OpenOptions::new().create(true).append(true).open(at(&format!("{FOLDER}/{name}.journal")))?;
    writeln!(journal, "{line}").context("writing the journal")
}

fn is_stopped(name: &str) -> bool {
    at(&format!("{FOLDER}/{name}.stop")).exists()
}

fn drive(name: &str, unit: &Unit, state: &mut State) -> anyhow::Result<()> {
    let place = at(&format!("{FOLDER}/{name}.notify"));
    let _ = std::fs::remove_file(&place);
    let socket = UnixDatagram::bind(&place).context("binding the socket of notifications")?;
    socket.set_nonblocking(true)?;
    loop {
        (state.active, state.sub) = ("activating".to_owned(), "start".to_owned());
        state.save(name)?;
        for (command, may_fail) in &unit.before {
            let ended = child(name, unit, command, None)?.wait()?;
            ensure!(ended.success() || *may_fail, "{} failed: {ended}", command.join(" "));
        }
        let mut main = child(name, unit, &unit.start, Some(&place))?;
        state.main_pid = main.id();
        if !unit.is_notify {
            (state.active, state.sub) = ("active".to_owned(), "running".to_owned());
        }
        state.save(name)?;
        let ended = loop {
            if let Some(ended) = main.try_wait()? {
                break ended;
            }
            if is_stopped(name) {
                return end(&mut main);
            }
            let mut datagram = [0; 1024];
            if let Ok(length) = socket.recv(&mut datagram)
                && String::from_utf8_lossy(&datagram[..length]).lines().any(|line| line == "READY=1")
            {
                (state.active, state.sub) = ("active".to_owned(), "running".to_owned());
                state.save(name)?;
            }
            pause(LOOK);
        };
        say(name, &format!("{name}: Main process exited, {ended}"))?;
        if is_stopped(name) {
            return Ok(());
        }
        ensure!(unit.restarts, "it has ended: {ended}");
        (state.active, state.sub, state.main_pid) = ("activating".to_owned(), "auto-restart".to_owned(), 0);
        state.restarts += 1;
        state.save(name)?;
        for _ in 0..unit.restart_ms / HASTE / 10 {
            pause(LOOK);
            if is_stopped(name) {
                return Ok(());
            }
        }
    }
}

/// What runs besides goes on: `KillMode=process`.
#[expect(clippy::disallowed_methods, reason = "the double's clock")]
fn end(main: &mut Child) -> anyhow::Result<()> {
    let pid = Pid::from_raw(main.id().cast_signed());
    kill(pid, Signal::SIGTERM)?;
    let begun = Instant::now();
    while main.try_wait()?.is_none() {
        if begun.elapsed() > GRACE {
            kill(pid, Signal::SIGKILL)?;
        }
        pause(LOOK);
    }
    Ok(())
}

fn child(name: &str, unit: &Unit, words: &[String], notify: Option<&std::path::Path>) -> anyhow::Result<Child> {
    let (program, arguments) = words.split_first().context("no command")?;
    let place = if program.starts_with('/') { at(program) } else { program.into() };
    let log = || OpenOptions::new().create(true).append(true).open(at(&format!("{FOLDER}/{name}.journal")));
    #[expect(clippy::disallowed_methods, reason = "this is what systemd does")]
    let mut command = Command::new(&place);
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(log()?).stderr(log()?).process_group(0);
    for name in ["PATH", ROOT] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    for (file, may_be_missing) in &unit.environment {
        match text(file) {
            Ok(text) => drop(command.envs(environment(&text)?)),
            Err(error) => ensure!(*may_be_missing, "Failed to load environment files: {error:#}"),
        }
    }
    if let Some(notify) = notify {
        command.env("NOTIFY_SOCKET", notify);
    }
    command.spawn().with_context(|| format!("Failed to execute {program}"))
}
