//! Who gives the terminal back when the one that draws on it cannot: `ctl top` is two processes. The first keeps how the
//! terminal was, starts the second, which does all the work, and waits. Both are in one group, so that a shell's job
//! control finds them together.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, getppid};

use super::tty::Tty;
use crate::error::CtlError;
use crate::exit::ExitStatus;

/// Tells the second process who guards it; nothing that a person sets.
const GUARD: &str = "RACKHAVEN_TOP_GUARD";
/// What the guard waits for. Those that would end it go to the one who draws, and its end is waited for.
const AWAITED: [Signal; 6] =
    [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP];

/// Which of the two this process is.
pub(super) enum Part {
    /// It waits.
    Guard,
    /// It draws.
    Drawer(Guarded),
}

/// The link of the process that draws to the one that waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guarded(Pid);

impl Part {
    /// Finds out.
    pub(super) fn of_process() -> Result<Self, CtlError> {
        let Some(guard) = env::var(GUARD).ok().and_then(|pid| pid.parse().ok()).map(Pid::from_raw) else {
            return Ok(Self::Guard);
        };
        // From now on the guard's end is told by a signal; it may have come before.
        set_pdeathsig(Signal::SIGTERM).map_err(|error| CtlError::failed(format!("watching the guard: {error}")))?;
        let guarded = Guarded(guard);
        match guarded.is_guarded() {
            true => Ok(Self::Drawer(guarded)),
            false => Err(CtlError::failed(format!("the process {guard} that guards the terminal has gone"))
                .hint(format!("{GUARD} is set; it must not be"))),
        }
    }
}

impl Guarded {
    /// Whether the guard is there.
    pub(super) fn is_guarded(self) -> bool {
        getppid() == self.0
    }
}

/// Waits for the one who draws, and leaves the terminal as it was.
pub(super) fn watch(tty: &Tty) -> Result<ExitStatus, CtlError> {
    let before = tty.settings()?;
    let child = start()?;
    let child = Pid::from_raw(child.id().cast_signed());
    let awaited: SigSet = AWAITED.into_iter().collect();
    awaited.thread_block().map_err(|error| CtlError::failed(format!("waiting for signals: {error}")))?;
    let mut asked = false;
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
            Ok(WaitStatus::Exited(_, code)) => {
                tty.mend(&before);
                return Ok(ended(code));
            }
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                tty.mend(&before);
                return end_by(signal);
            }
            Ok(WaitStatus::Stopped(..)) => {
                tty.mend(&before);
                stop();
                // Whoever has us go on means both.
                let _ = kill(child, Signal::SIGCONT);
                continue;
            }
            Ok(_) => {}
            Err(error) => {
                tty.mend(&before);
                return Err(CtlError::failed(format!("waiting for the process that draws: {error}")));
            }
        }
        match awaited.wait() {
            Ok(Signal::SIGCHLD) => {}
            Ok(Signal::SIGTSTP) => drop(kill(child, Signal::SIGTSTP)),
            Ok(signal) => {
                // One that was asked to end and still hangs, as on a terminal that takes nothing, is ended.
                let _ = kill(child, if asked { Signal::SIGKILL } else { signal });
                asked = true;
            }
            Err(_) => {}
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where ctl starts a process: itself")]
fn start() -> Result<Child, CtlError> {
    // The very file that runs, even if another one has taken its place since.
    let mut command = Command::new("/proc/self/exe");
    let mut arguments = env::args_os();
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let started = command.args(arguments).env(GUARD, getpid().to_string()).spawn();
    started.map_err(|error| CtlError::failed(format!("starting the process that draws: {error}")))
}

/// Stops as by Ctrl-Z, until a shell has us go on; nothing where no shell could.
fn stop() {
    let stop = SigSet::from(Signal::SIGTSTP);
    let _ = raise(Signal::SIGTSTP);
    // It waits because it is blocked; it comes at once when it no longer is.
    let _ = stop.thread_unblock();
    let _ = stop.thread_block();
}

/// Ends as the one who draws did before it could listen; that something killed it is told.
fn end_by(signal: Signal) -> Result<ExitStatus, CtlError> {
    if matches!(signal, Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT) {
        let _ = raise(signal);
        let _ = SigSet::from(signal).thread_unblock();
        return Ok(ExitStatus::Fine);
    }
    Err(CtlError::failed(format!("the process that draws was ended by {signal}")))
}

/// The exit status that the one who draws has ended with.
fn ended(code: i32) -> ExitStatus {
    let all = [
        ExitStatus::Fine,
        ExitStatus::Failed,
        ExitStatus::Usage,
        ExitStatus::Unhealthy,
        ExitStatus::Unreachable,
        ExitStatus::NotAllowed,
    ];
    all.into_iter().find(|status| i32::from(status.code()) == code).unwrap_or(ExitStatus::Failed)
}
