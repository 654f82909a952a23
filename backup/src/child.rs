//! Other programs that the engine runs: ssh, rsync, hooks. Each is a process group of its own and ends with the engine's
//! interest in it.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::outcome::shown;
use crate::stop::Stop;

/// The most that is kept of what a program says on its standard error, bytes.
const MAX_SAID_BYTES: usize = 8 * 1024;
/// How often it is looked whether a program has ended, or shall be ended.
const LOOK: Duration = Duration::from_millis(5);
/// How long a program may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(1);

/// A command that inherits nothing of the terminal, and speaks so that its words can be read by a program.
#[expect(clippy::disallowed_methods, reason = "the engine's one place where other programs are started")]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).env("LC_ALL", "C").process_group(0);
    command
}

/// A program that runs. Dropped, it is killed with all that it started.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    group: Option<Pid>,
    said: Option<JoinHandle<Vec<u8>>>,
    ended: Option<ExitStatus>,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// The end of what it said on its standard error, fit for a terminal.
    pub said: String,
}

impl Ended {
    /// The exit status as people write it.
    pub fn word(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "an unknown end".to_owned(),
        }
    }
}

impl Running {
    /// Starts it. What it says on its standard error is kept, as far as it is the end.
    ///
    /// # Errors
    /// When it cannot be started; the error names it.
    pub fn start(command: Command) -> io::Result<Self> {
        Self::start_heard(command, |_| {})
    }

    /// As [`Self::start`]; each line of its standard error is heard as it comes.
    ///
    /// # Errors
    /// When it cannot be started; the error names it.
    pub fn start_heard(mut command: Command, hear: impl FnMut(&str) + Send + 'static) -> io::Result<Self> {
        let name = shown(command.get_program().as_encoded_bytes());
        let spawned = command.stderr(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| io::Error::new(error.kind(), format!("starting {name}: {error}")))?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let said = child.stderr.take().map(|stderr| std::thread::spawn(move || last_of(stderr, hear)));
        Ok(Self { name, child, group, said, ended: None })
    }

    /// Its standard input, if that was piped.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Its standard output, if that was piped.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits until it ends. It is ended when `deadline` comes, or when `stop` says so.
    ///
    /// # Errors
    /// `TimedOut` at the deadline, `Interrupted` when it was stopped.
    pub fn wait(&mut self, deadline: Option<Instant>, stop: &Stop) -> io::Result<Ended> {
        loop {
            if self.is_over() {
                // What it left behind in its group goes too, so that its standard error comes to an end. Before its
                // number is given back: afterwards the group may be another's.
                self.signal(Signal::KILL);
                let status = self.child.wait()?;
                self.ended = Some(status);
                let said = self.said.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
                return Ok(Ended { status, said: shown(String::from_utf8_lossy(&said).trim().as_bytes()) });
            }
            if stop.is_requested() {
                self.end();
                return Err(io::Error::new(io::ErrorKind::Interrupted, format!("{} was stopped", self.name)));
            }
            if deadline.is_some_and(|deadline| crate::clock::steady() >= deadline) {
                self.end();
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{} took too long", self.name)));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Asks it to end, and makes it end after a moment.
    fn end(&mut self) {
        self.signal(Signal::TERM);
        let deadline = crate::clock::steady() + GRACE;
        while crate::clock::steady() < deadline {
            if self.is_over() {
                break;
            }
            std::thread::sleep(LOOK);
        }
        self.signal(Signal::KILL);
        self.ended = self.child.wait().ok();
    }

    /// Whether it has ended. Its number stays its own until it is waited for.
    fn is_over(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        self.group.is_none_or(|pid| !matches!(waitid(WaitId::Pid(pid), options), Ok(None) | Err(Errno::INTR)))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It may be gone already.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none() {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Runs a short program to its end: gives it `input`, and takes at most `limit_bytes` of its output.
///
/// # Errors
/// When it cannot be started, takes too long, is stopped, or says more.
pub fn run(
    mut command: Command,
    input: &[u8],
    limit_bytes: usize,
    deadline: Instant,
    stop: &Stop,
) -> io::Result<(Vec<u8>, Ended)> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = Running::start(command)?;
    let (stdin, stdout) = (running.stdin(), running.stdout());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program that does not want its input says why by its end.
            stdin.map(|mut stdin| stdin.write_all(input))
        });
        let output = read_aside(scope, stdout, limit_bytes);
        let ended = running.wait(Some(deadline), stop);
        // Without its process the pipes end; the threads do too.
        drop(running);
        let ended = ended?;
        let output = match output.recv_timeout(GRACE) {
            Ok(output) => output?,
            Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::TimedOut.into()),
            Err(RecvTimeoutError::Disconnected) => Vec::new(),
        };
        if output.len() > limit_bytes {
            return Err(io::Error::other(format!("it says more than {limit_bytes} bytes")));
        }
        Ok((output, ended))
    })
}

fn read_aside<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    stdout: Option<ChildStdout>,
    limit_bytes: usize,
) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = sync_channel(1);
    scope.spawn(move || {
        let mut output = Vec::new();
        let read = stdout.map_or(Ok(0), |stdout| stdout.take(limit_bytes as u64 + 1).read_to_end(&mut output));
        // Nobody may want it any more.
        let _ = sender.send(read.map(|_| output));
    });
    receiver
}

/// Reads to the end, tells each line, and keeps the end.
fn last_of(stderr: ChildStderr, mut hear: impl FnMut(&str)) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    // A line that does not end is cut.
    while let Ok(1..) = (&mut reader).take(MAX_SAID_BYTES as u64).read_until(b'\n', &mut line) {
        hear(String::from_utf8_lossy(&line).trim_end());
        kept.append(&mut line);
        if kept.len() > 2 * MAX_SAID_BYTES {
            kept.drain(..kept.len() - MAX_SAID_BYTES);
        }
    }
    kept.drain(..kept.len().saturating_sub(MAX_SAID_BYTES));
    kept
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use super::{command, run};
    use crate::stop::Stop;

    fn shell(script: &str, input: &[u8], stop: &Stop) -> std::io::Result<(Vec<u8>, super::Ended)> {
        let mut shell = command("sh");
        shell.args(["-c", script]);
        run(shell, input, 100, crate::clock::steady() + Duration::from_secs(60), stop)
    }

    #[test]
    fn it_hears_speaks_and_ends() {
        let (output, ended) = shell("cat; printf '\\033[2Jbad\\n' >&2; exit 3", b"hello", &Stop::default()).unwrap();
        assert_eq!(output, b"hello");
        assert_eq!((ended.word().as_str(), ended.said.as_str()), ("exit status 3", "\\u{1b}[2Jbad"));
    }

    #[test]
    fn what_it_leaves_behind_keeps_nobody_waiting() {
        let (output, ended) = shell("sleep 1000 & echo here", b"", &Stop::default()).unwrap();
        assert_eq!((output.as_slice(), ended.status.success()), (&b"here\n"[..], true));
    }

    #[test]
    fn it_is_stopped_with_all_that_it_started() {
        let stop = Stop::default();
        stop.request();
        let error = shell("trap '' TERM; sleep 1000", b"", &stop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    }

    #[test]
    fn it_may_not_say_too_much() {
        let error = shell("yes | head -c 1000", b"", &Stop::default()).unwrap_err();
        assert_eq!(error.to_string(), "it says more than 100 bytes");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(command("/nonexistent/rsync"), b"", 1, crate::clock::steady(), &Stop::default()).unwrap_err();
        assert!(error.to_string().starts_with("starting /nonexistent/rsync: "), "{error}");
    }
}
