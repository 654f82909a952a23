//! Other programs that the engine runs: systemctl, ip, k3s itself. Each is a process group of its own, has its time, and
//! ends with the engine's interest in it.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::clock::steady;
use crate::news::shown;
use crate::stop::Stop;

/// The most that is taken of what a program says, bytes.
const MAX_SAID_BYTES: u64 = 4 * 1024 * 1024;
/// How often it is looked whether a program has ended.
const LOOK: Duration = Duration::from_millis(5);
/// How long what a program has written may take to come, once it has ended.
const GRACE: Duration = Duration::from_secs(1);
/// Time for a program that has no reason to take long.
pub const SHORT: Duration = Duration::from_secs(30);

/// A command that inherits nothing of the terminal, and speaks so that its words can be read by a program.
#[expect(clippy::disallowed_methods, reason = "the engine's one place where other programs are started")]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).env("LC_ALL", "C").process_group(0);
    command
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit status; none if a signal ended it.
    pub code: Option<i32>,
    /// Which signal ended it.
    pub signal: Option<i32>,
    /// What it wrote to its standard output.
    pub output: Vec<u8>,
    /// The last lines that it wrote to its standard error, fit for a terminal.
    pub said: String,
}

impl Ended {
    /// Whether it did what it was to do.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.code == Some(0)
    }

    /// Its standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    /// Refuses an end that is not fine, by what the program said.
    ///
    /// # Errors
    /// When it failed.
    pub fn fine(self, doing: &str) -> io::Result<Self> {
        if self.is_fine() {
            return Ok(self);
        }
        let how = match (self.code, self.signal) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "an unknown end".to_owned(),
        };
        let said = if self.said.is_empty() { String::new() } else { format!(": {}", self.said) };
        Err(io::Error::other(format!("{doing}: {how}{said}")))
    }
}

/// Runs a program to its end.
///
/// # Errors
/// When it cannot be started, takes too long, says too much, or the engine is to stop.
pub fn run(command: Command, input: &[u8], time: Duration, stop: &Stop) -> io::Result<Ended> {
    watch(command, input, time, stop, &mut || Ok(()))
}

/// The same, and looks at what it does while it runs; `look` may end it.
///
/// # Errors
/// As there, and what `look` ended it by.
pub fn watch(
    mut command: Command,
    input: &[u8],
    time: Duration,
    stop: &Stop,
    look: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<Ended> {
    let name = shown(&command.get_program().to_string_lossy());
    let error = |kind: io::ErrorKind, text: String| io::Error::new(kind, format!("{name} {text}"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().map_err(|cause| io::Error::new(cause.kind(), format!("starting {name}: {cause}")))?;
    let output = read_aside(child.stdout.take());
    let said = read_aside(child.stderr.take());
    let stdin = child.stdin.take();
    let input = input.to_vec();
    // A program that does not want its input says why by its end.
    std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
    let deadline = steady() + time;
    let ended = loop {
        if let Some(status) = child.try_wait()? {
            break Ok(status);
        }
        if stop.is_requested() {
            break Err(error(io::ErrorKind::Interrupted, "was stopped".to_owned()));
        }
        if steady() >= deadline {
            break Err(error(io::ErrorKind::TimedOut, format!("took longer than {} s", time.as_secs())));
        }
        if let Err(error) = look() {
            break Err(error);
        }
        std::thread::sleep(LOOK);
    };
    // What it left behind in its group goes too, so that its output comes to an end.
    end_group(&mut child);
    let status = ended?;
    let output = output.recv_timeout(GRACE).unwrap_or_default();
    if output.len() as u64 > MAX_SAID_BYTES {
        return Err(error(io::ErrorKind::Other, format!("says more than {MAX_SAID_BYTES} bytes")));
    }
    let said = said.recv_timeout(GRACE).unwrap_or_default();
    Ok(Ended { code: status.code(), signal: status.signal(), output, said: last_lines(&said) })
}

fn end_group(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may be gone already.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

fn read_aside(pipe: Option<impl Read + Send + 'static>) -> std::sync::mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read until an error is what there is.
        let _ = pipe.map(|pipe| pipe.take(MAX_SAID_BYTES + 1).read_to_end(&mut bytes));
        // Nobody may want it any more.
        let _ = sender.send(bytes);
    });
    receiver
}

/// The last five lines in one.
pub fn last_lines(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    shown(&lines[lines.len().saturating_sub(5)..].join(" | "))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use super::{Ended, command, run, watch};
    use crate::stop::Stop;

    fn shell(script: &str, time: Duration, stop: &Stop) -> std::io::Result<Ended> {
        let mut shell = command("sh");
        shell.args(["-c", script]);
        run(shell, b"hello", time, stop)
    }

    #[test]
    fn it_hears_speaks_and_ends() {
        let time = Duration::from_secs(60);
        let ended = shell("cat; printf '\\033[2Jbad\\nworse\\n' >&2; exit 3", time, &Stop::default()).unwrap();
        assert_eq!((ended.text().as_str(), ended.said.as_str()), ("hello", "\u{fffd}[2Jbad | worse"));
        assert_eq!(ended.fine("sh").unwrap_err().to_string(), "sh: exit status 3: \u{fffd}[2Jbad | worse");
        let ended = shell("sleep 1000 & echo here", time, &Stop::default()).unwrap();
        assert_eq!((ended.text().as_str(), ended.is_fine()), ("here\n", true));
    }

    #[test]
    fn it_has_its_time() {
        let late = shell("sleep 1000", Duration::from_millis(50), &Stop::default()).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        let stop = Stop::default();
        stop.request();
        let stopped = shell("sleep 1000", Duration::from_secs(60), &stop).unwrap_err();
        assert_eq!(stopped.kind(), ErrorKind::Interrupted);
        let mut looks = 0;
        let mut sleep = command("sleep");
        sleep.arg("1000");
        let ended = watch(sleep, b"", Duration::from_secs(60), &Stop::default(), &mut || {
            looks += 1;
            if looks < 3 { Ok(()) } else { Err(ErrorKind::StorageFull.into()) }
        });
        assert_eq!((ended.unwrap_err().kind(), looks), (ErrorKind::StorageFull, 3));
        let absent = run(command("/nonexistent/ip"), b"", Duration::from_secs(1), &stop).unwrap_err();
        assert!(absent.to_string().starts_with("starting /nonexistent/ip: "), "{absent}");
    }
}
