use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::host::ChildError;

/// How much of what a child says is kept: the end of it, bytes.
const MAX_SAID_BYTES: usize = 4096;
/// How many of its last lines an error tells.
const MAX_ERROR_LINES: usize = 3;
/// How long to wait for the rest of what it said, once it has ended; a child of its own may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How long a child that was asked to end may take before it is killed.
const TERM_GRACE: Duration = Duration::from_secs(2);

/// A program to be run, without a shell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job<'a> {
    /// Program and arguments.
    pub(crate) argv: &'a [String],
    /// Added to the agent's own environment.
    pub(crate) environment: &'a [(&'a str, &'a str)],
    /// Whether it goes on when nobody waits for it any more, as an order does that was given to the service manager.
    /// Others are ended with all their own children.
    pub(crate) stands: bool,
    /// Where it runs.
    pub(crate) place: Place,
}

/// Where a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// As the agent's child, in its sandbox if it has one.
    Here,
    /// As a unit of its own that systemd starts: beyond the agent's sandbox and limits.
    Unit,
}

impl Place {
    /// Beyond the sandbox that systemd made for the agent; here if it made none.
    pub fn beyond_sandbox() -> Self {
        if super::is_service() { Self::Unit } else { Self::Here }
    }
}

/// Runs a child to its end, for at most `limit`; the last lines of what it said.
pub(crate) async fn run(job: Job<'_>, limit: Duration) -> Result<Vec<String>, ChildError> {
    let command = job.argv.join(" ");
    let mut running = match start(job, limit) {
        Ok(started) => started,
        Err(source) => return Err(ChildError::Start { command, source }),
    };
    let mut said = Vec::new();
    match timeout(limit, ending(&mut running, &mut said)).await {
        Ok(Ok(status)) if status.success() => Ok(lines(&said)),
        Ok(Ok(status)) => Err(ChildError::Failed { command, status, said: last_lines(&said) }),
        Ok(Err(source)) => Err(ChildError::Start { command, source }),
        Err(_) => {
            if job.stands {
                // It may have ended just now, and then there is nothing to kill.
                let _ = running.child.start_kill();
            }
            Err(ChildError::TimedOut { command, timeout_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX) })
        }
    }
}

/// A child whose output is read while it runs. Dropped, it is ended with all its own children.
pub(crate) struct Speaking {
    running: Running,
    command: String,
    /// What was read and is not a whole line yet.
    rest: Vec<u8>,
    /// The line that is being read is too long, and passed over to its end.
    skips: bool,
}

impl Speaking {
    /// Longest line, bytes; of a longer one nothing is told.
    const MAX_LINE_BYTES: usize = 256 * 1024;
    /// Most that is read at a time, bytes.
    const PIECE_BYTES: usize = 16 * 1024;

    /// Starts it, for at most `limit` if systemd runs it.
    pub(crate) fn start(job: Job<'_>, limit: Duration) -> Result<Self, ChildError> {
        let command = job.argv.join(" ");
        match start(job, limit) {
            Ok(running) => Ok(Self { running, command, rest: Vec::new(), skips: false }),
            Err(source) => Err(ChildError::Start { command, source }),
        }
    }

    /// The next whole lines, as many as have come; none when there are no more.
    pub(crate) async fn lines(&mut self) -> Option<Vec<Vec<u8>>> {
        loop {
            let mut piece = vec![0; Self::PIECE_BYTES];
            let length = self.running.output.as_mut()?.read(&mut piece).await.unwrap_or(0);
            if length == 0 {
                self.running.output = None;
                let last = std::mem::take(&mut self.rest);
                return (!last.is_empty()).then(|| vec![last]);
            }
            self.rest.extend_from_slice(piece.get(..length)?);
            let mut lines = Vec::new();
            while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.rest.drain(..=end).collect();
                line.pop();
                if !std::mem::take(&mut self.skips) {
                    lines.push(line);
                }
            }
            if self.rest.len() > Self::MAX_LINE_BYTES {
                self.skips = true;
                self.rest.clear();
            }
            if !lines.is_empty() {
                return Some(lines);
            }
        }
    }

    /// How it ended, after its last line. `said`: what it told of its failure.
    pub(crate) async fn end(mut self, said: String) -> Result<(), ChildError> {
        let command = std::mem::take(&mut self.command);
        match self.running.child.wait().await {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(ChildError::Failed { command, status, said }),
            Err(source) => Err(ChildError::Start { command, source }),
        }
    }
}

/// A child that runs.
struct Running {
    child: Child,
    output: Option<pipe::Receiver>,
    group: bool,
    unit: Option<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(id) = self.child.id().filter(|_| self.group).and_then(|id| i32::try_from(id).ok()) else { return };
        if let Some(unit) = &self.unit {
            // It is systemd's child. Nobody waits for the answer; should there be none, the unit has its own limit.
            let _ = command(&["systemctl".to_owned(), "stop".to_owned(), "--no-block".to_owned(), unit.clone()])
                .map(|mut stop| stop.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn());
        }
        let group = Pid::from_raw(id);
        // It may have ended just now.
        let _ = killpg(group, Signal::SIGTERM);
        // Its last words must not end it, while it puts away what it has begun.
        let output = self.output.take();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                tokio::time::sleep(TERM_GRACE).await;
                let _ = killpg(group, Signal::SIGKILL);
                drop(output);
            })),
            Err(_) => drop(killpg(group, Signal::SIGKILL)),
        }
    }
}

fn start(job: Job<'_>, limit: Duration) -> std::io::Result<Running> {
    let unit = (job.place == Place::Unit).then(unit_name);
    let (reader, writer) = std::io::pipe()?;
    let mut command = match &unit {
        Some(unit) => command(&as_unit(unit, job, limit))?,
        None => command(job.argv)?,
    };
    command.envs(job.environment.iter().copied());
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    if !job.stands {
        command.process_group(0);
    }
    let child = command.spawn()?;
    let output = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
    Ok(Running { child, output: Some(output), group: !job.stands, unit })
}

fn command(argv: &[String]) -> std::io::Result<Command> {
    let [program, arguments @ ..] = argv else {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "no command is configured"));
    };
    #[expect(clippy::disallowed_methods, reason = "the one place where the agent starts a child")]
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// A name that no unit has that may still run, not even one of an agent before this.
fn unit_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("rackhaven-job-{}-{}.service", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The command line that has systemd run it, waits for its end, and passes on what it says and how it ended
/// (systemd-run(1)).
fn as_unit(unit: &str, job: Job<'_>, limit: Duration) -> Vec<String> {
    let grace_s = TERM_GRACE.as_secs();
    let mut argv: Vec<String> =
        ["systemd-run", "--quiet", "--wait", "--collect", "--pipe", "--service-type=exec"].map(str::to_owned).into();
    argv.push(format!("--unit={unit}"));
    argv.push(format!("--property=TimeoutStopSec={grace_s}"));
    // Also if the agent does not live to see it.
    argv.push(format!("--property=RuntimeMaxSec={}", limit.as_secs().saturating_add(grace_s)));
    argv.extend(job.environment.iter().map(|(name, value)| format!("--setenv={name}={value}")));
    argv.push("--".to_owned());
    // systemd expands variables in what it runs (systemd.service(5), "Command lines").
    argv.extend(job.argv.iter().map(|word| word.replace('$', "$$")));
    argv
}

/// Waits for the end, reading along, so that a talkative command is not stopped by a full pipe.
async fn ending(running: &mut Running, said: &mut Vec<u8>) -> std::io::Result<ExitStatus> {
    let Running { child, output, .. } = running;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            Some(more) = listen(output, said) => if !more { *output = None },
        }
    };
    let rest = async { while listen(output, said).await == Some(true) {} };
    let _ = timeout(LAST_WORDS, rest).await;
    Ok(status)
}

/// Reads a piece, keeping the end of what was said. Whether there may be more; None when there is nothing to read.
async fn listen(output: &mut Option<pipe::Receiver>, said: &mut Vec<u8>) -> Option<bool> {
    let mut piece = [0; 512];
    let length = output.as_mut()?.read(&mut piece).await.unwrap_or(0);
    said.extend_from_slice(piece.get(..length)?);
    said.drain(..said.len().saturating_sub(MAX_SAID_BYTES));
    Some(length > 0)
}

/// What was said, fit to log.
fn lines(said: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(said);
    let plain = |line: &str| line.trim().chars().filter(|c| !c.is_control()).collect::<String>();
    text.lines().map(plain).filter(|line| !line.is_empty()).collect()
}

fn last_lines(said: &[u8]) -> String {
    let lines = lines(said);
    lines.get(lines.len().saturating_sub(MAX_ERROR_LINES)..).unwrap_or_default().join("; ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Job, Place, Speaking, as_unit, last_lines, run};
    use crate::host::ChildError;

    async fn shell(script: &str, stands: bool, limit_ms: u64) -> Result<Vec<String>, ChildError> {
        let argv = ["sh", "-c", script].map(str::to_owned);
        let job = Job { argv: &argv, environment: &[("RACKHAVEN_WORD", "storm")], stands, place: Place::Here };
        run(job, Duration::from_millis(limit_ms)).await
    }

    #[tokio::test]
    async fn what_it_says_is_kept_in_order() {
        let said = shell("echo one; echo $RACKHAVEN_WORD >&2; echo three", false, 10_000).await.unwrap();
        assert_eq!(said, ["one", "storm", "three"]);
    }

    #[tokio::test]
    async fn a_group_is_ended_with_its_leader() {
        let folder = tempfile::tempdir().unwrap();
        let [ready, ended] = ["ready", "ended"].map(|name| folder.path().join(name));
        let appears = async |path: &std::path::Path| {
            while !path.exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        // The grandchild would live on, and says so when it is asked to end.
        let script = format!(
            "(trap 'echo > {}; exit' TERM; echo > {}; while :; do sleep 0.05; done) & wait",
            ended.display(),
            ready.display()
        );
        tokio::select! {
            ran = shell(&script, false, 600_000) => panic!("it has ended: {ran:?}"),
            () = appears(&ready) => {}
        }
        appears(&ended).await;
    }

    #[tokio::test]
    async fn neither_a_flood_nor_a_pipe_held_open_stops_it() {
        let flood = shell("head -c 1000000 /dev/zero >&2; sleep 5 & exit 1", true, 10_000);
        let error = tokio::time::timeout(Duration::from_secs(4), flood).await.unwrap().unwrap_err();
        assert!(matches!(error, ChildError::Failed { .. }), "{error}");
    }

    async fn spoken(script: &str) -> (Vec<String>, Result<(), ChildError>) {
        let argv = ["sh", "-c", script].map(str::to_owned);
        let job = Job { argv: &argv, environment: &[], stands: false, place: Place::Here };
        let mut speaking = Speaking::start(job, Duration::from_secs(60)).unwrap();
        let mut all = Vec::new();
        while let Some(lines) = speaking.lines().await {
            all.extend(lines.into_iter().map(|line| String::from_utf8(line).unwrap()));
        }
        (all, speaking.end(String::new()).await)
    }

    #[tokio::test]
    async fn lines_come_whole_and_those_that_are_too_long_do_not() {
        let (lines, ended) = spoken("echo a; head -c 1000000 /dev/zero; echo; printf 'b\n\nc'; exit 3").await;
        assert_eq!(lines, ["a", "b", "", "c"]);
        assert!(matches!(ended, Err(ChildError::Failed { .. })), "{ended:?}");
        let (lines, ended) = spoken("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done").await;
        assert_eq!((lines.len(), lines.last().map(String::as_str)), (20_000, Some("line 19999")));
        ended.unwrap();
    }

    #[test]
    fn a_unit_gets_its_words_unchanged_and_a_limit_of_its_own() {
        let argv = ["/etc/rackhaven/shutdown.d/10-$HOME".to_owned(), "%n ${X}".to_owned()];
        let environment = [("RACKHAVEN_REASON", "the $ fell")];
        let job = Job { argv: &argv, environment: &environment, stands: false, place: Place::Unit };
        let words = as_unit("rackhaven-job-1-1.service", job, Duration::from_millis(2_500));
        let end = words.iter().position(|word| word == "--").unwrap();
        assert_eq!(words[end + 1..], ["/etc/rackhaven/shutdown.d/10-$$HOME", "%n $${X}"]);
        assert!(words.contains(&"--setenv=RACKHAVEN_REASON=the $ fell".to_owned()), "{words:?}");
        assert!(words.contains(&"--property=RuntimeMaxSec=4".to_owned()), "{words:?}");
    }

    #[test]
    fn the_last_lines_are_fit_to_log() {
        assert_eq!(last_lines(b"a\r\n\x1b[1mb\n\n"), "a; [1mb");
        assert_eq!(last_lines(b""), "");
        assert_eq!(last_lines(b"1\n2\n3\n4\n"), "2; 3; 4");
    }
}
