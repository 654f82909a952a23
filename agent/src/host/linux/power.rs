use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::child::{self, Job, Place};
use crate::host::{ChildError, PowerSwitch, Switching};

/// Switches the board by running a command, such as `systemctl poweroff`: the service manager stops all services and
/// unmounts all disks, which no one else can do as well.
#[derive(Debug, Clone)]
pub struct CommandSwitch {
    reboot: Vec<String>,
    power_off: Vec<String>,
    timeout: Duration,
    place: Place,
}

impl CommandSwitch {
    /// Will run these command lines, each for at most `timeout`, and there if they are not systemctl's.
    pub fn new(reboot: Vec<String>, power_off: Vec<String>, timeout: Duration, place: Place) -> Self {
        Self { reboot, power_off, timeout, place }
    }

    fn place(&self, argv: &[String]) -> Place {
        // systemctl needs nothing but systemd, and a word less may be decisive.
        if argv.first().is_some_and(|program| program == "systemctl") { Place::Here } else { self.place }
    }
}

impl PowerSwitch for CommandSwitch {
    fn reboot(&self) -> Switching<'_> {
        Box::pin(run(&self.reboot, self.timeout, self.place(&self.reboot)))
    }

    fn power_off(&self) -> Switching<'_> {
        Box::pin(run(&self.power_off, self.timeout, self.place(&self.power_off)))
    }
}

/// The only call that takes the machine down.
async fn run(argv: &[String], limit: Duration, place: Place) -> Result<(), ChildError> {
    // An order that was given stands, even if no one waits for the answer.
    match child::run(Job { argv, environment: &[], stands: true, place }, limit).await {
        // Only the service manager asks it to end: with all services, because it has taken the order.
        Err(ChildError::Failed { status, .. }) if status.signal() == Some(Signal::SIGTERM as i32) => Ok(()),
        ended => ended.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CommandSwitch, Place};
    use crate::host::{ChildError, PowerSwitch};

    fn shell(script: &str, timeout_ms: u64) -> CommandSwitch {
        let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
        CommandSwitch::new(argv, vec![], Duration::from_millis(timeout_ms), Place::Here)
    }

    #[tokio::test]
    async fn success_and_failure() {
        assert!(shell("echo ignored; exit 0", 10_000).reboot().await.is_ok());
        assert!(shell("kill -TERM $$", 10_000).reboot().await.is_ok());
        assert!(shell("kill -KILL $$", 10_000).reboot().await.is_err());
        let refused = shell("echo one >&2; echo >&2; echo two >&2; echo three >&2; echo four >&2; exit 3", 10_000);
        let error = refused.reboot().await.unwrap_err();
        assert!(error.to_string().ends_with("ended with exit status: 3: two; three; four"), "{error}");
    }

    #[tokio::test]
    async fn what_cannot_start_says_so() {
        let missing =
            CommandSwitch::new(vec!["/no/such/command".to_owned()], vec![], Duration::from_secs(1), Place::Here);
        let error = missing.reboot().await.unwrap_err();
        assert_eq!(error.to_string(), "starting \"/no/such/command\"");
        assert!(matches!(missing.power_off().await, Err(ChildError::Start { .. })));
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed() {
        let error = shell("exec sleep 600", 50).reboot().await.unwrap_err();
        assert!(matches!(error, ChildError::TimedOut { timeout_ms: 50, .. }), "{error}");
    }
}
