use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use crate::host::{PowerError, PowerSwitch, Switching};

/// How much of what the command says is kept.
const MAX_STDERR_BYTES: usize = 1024;
/// How many of its last lines are told.
const MAX_STDERR_LINES: usize = 3;
/// How long to wait for the rest of what it said, once it has ended; a child of its own may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Switches the board by running a command, such as `systemctl poweroff`: the service manager stops all services and
/// unmounts all disks, which no one else can do as well.
#[derive(Debug, Clone)]
pub struct CommandSwitch {
    reboot: Vec<String>,
    power_off: Vec<String>,
    timeout: Duration,
}

impl CommandSwitch {
    /// Will run these command lines, each for at most `timeout`.
    pub fn new(reboot: Vec<String>, power_off: Vec<String>, timeout: Duration) -> Self {
        Self { reboot, power_off, timeout }
    }
}

impl PowerSwitch for CommandSwitch {
    fn reboot(&self) -> Switching<'_> {
        Box::pin(run(&self.reboot, self.timeout))
    }

    fn power_off(&self) -> Switching<'_> {
        Box::pin(run(&self.power_off, self.timeout))
    }
}

/// The only call that takes the machine down.
async fn run(argv: &[String], limit: Duration) -> Result<(), PowerError> {
    let command = argv.join(" ");
    let mut child = match start(argv) {
        Ok(child) => child,
        Err(source) => return Err(PowerError::Start { command, source }),
    };
    match timeout(limit, ending(&mut child)).await {
        Ok(Ok((status, _))) if status.success() => Ok(()),
        Ok(Ok((status, stderr))) => Err(PowerError::Failed { command, status, stderr }),
        Ok(Err(source)) => Err(PowerError::Start { command, source }),
        Err(_) => {
            // It may have ended just now, and then there is nothing to kill.
            let _ = child.start_kill();
            Err(PowerError::TimedOut { command, timeout_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX) })
        }
    }
}

fn start(argv: &[String]) -> std::io::Result<Child> {
    let [program, arguments @ ..] = argv else {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "no command is configured"));
    };
    #[expect(clippy::disallowed_methods, reason = "the one place where the agent starts a child")]
    let mut command = Command::new(program);
    // Not killed with the future: an order that was given stands, even if no one waits for the answer.
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()
}

/// Waits for the end, reading along, so that a talkative command is not stopped by a full pipe.
async fn ending(child: &mut Child) -> std::io::Result<(ExitStatus, String)> {
    let mut stderr = child.stderr.take();
    let mut said = Vec::new();
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            Some(more) = listen(&mut stderr, &mut said) => if !more { stderr = None },
        }
    };
    let rest = async { while listen(&mut stderr, &mut said).await == Some(true) {} };
    let _ = timeout(LAST_WORDS, rest).await;
    Ok((status, last_lines(&said)))
}

/// Reads a piece, keeping the end of what was said. Whether there may be more; None when there is nothing to read.
async fn listen(stderr: &mut Option<ChildStderr>, said: &mut Vec<u8>) -> Option<bool> {
    let mut piece = [0; 512];
    let length = stderr.as_mut()?.read(&mut piece).await.unwrap_or(0);
    said.extend_from_slice(piece.get(..length)?);
    said.drain(..said.len().saturating_sub(MAX_STDERR_BYTES));
    Some(length > 0)
}

fn last_lines(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let mut lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let surplus = lines.len().saturating_sub(MAX_STDERR_LINES);
    lines.drain(..surplus);
    lines.join("; ").chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CommandSwitch, last_lines};
    use crate::host::{PowerError, PowerSwitch};

    fn shell(script: &str, timeout_ms: u64) -> CommandSwitch {
        let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
        CommandSwitch::new(argv, vec![], Duration::from_millis(timeout_ms))
    }

    #[tokio::test]
    async fn success_and_failure() {
        assert!(shell("echo ignored; exit 0", 10_000).reboot().await.is_ok());
        let refused = shell("echo one >&2; echo >&2; echo two >&2; echo three >&2; echo four >&2; exit 3", 10_000);
        let error = refused.reboot().await.unwrap_err();
        assert!(error.to_string().ends_with("ended with exit status: 3: two; three; four"), "{error}");
    }

    #[tokio::test]
    async fn what_cannot_start_says_so() {
        let missing = CommandSwitch::new(vec!["/no/such/command".to_owned()], vec![], Duration::from_secs(1));
        let error = missing.reboot().await.unwrap_err();
        assert_eq!(error.to_string(), "starting \"/no/such/command\"");
        assert!(matches!(missing.power_off().await, Err(PowerError::Start { .. })));
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed() {
        let error = shell("exec sleep 600", 50).reboot().await.unwrap_err();
        assert!(matches!(error, PowerError::TimedOut { timeout_ms: 50, .. }), "{error}");
    }

    #[tokio::test]
    async fn neither_a_flood_nor_a_pipe_held_open_stops_it() {
        let flood = shell("head -c 1000000 /dev/zero >&2; sleep 5 & exit 1", 10_000);
        let error = tokio::time::timeout(Duration::from_secs(4), flood.reboot()).await.unwrap().unwrap_err();
        assert!(matches!(error, PowerError::Failed { .. }), "{error}");
    }

    #[test]
    fn the_last_lines_are_fit_to_log() {
        assert_eq!(last_lines(b"a\r\n\x1b[1mb\n\n"), "a; [1mb");
        assert_eq!(last_lines(b""), "");
    }
}
