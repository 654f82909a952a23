use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CtlError;

/// What others tell the process that draws.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    quit: Signal,
    stop: Signal,
    go_on: Signal,
    resize: Signal,
}

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signalled {
    /// To end: asked by a person, by the system, or because guard or terminal have gone.
    End,
    /// To stop, as by Ctrl-Z.
    Stop,
    /// It was stopped, and goes on: others may have used the terminal meanwhile.
    GoOn,
    /// The terminal has another size.
    Resize,
}

impl Signals {
    /// Listens from now on.
    pub(super) fn listen() -> Result<Self, CtlError> {
        let listen = |kind| signal(kind).map_err(|error| CtlError::failed(format!("listening for signals: {error}")));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
            quit: listen(SignalKind::quit())?,
            stop: listen(SignalKind::from_raw(nix::libc::SIGTSTP))?,
            go_on: listen(SignalKind::from_raw(nix::libc::SIGCONT))?,
            resize: listen(SignalKind::window_change())?,
        })
    }

    /// Waits for the next; safe to cancel.
    pub(super) async fn next(&mut self) -> Signalled {
        tokio::select! {
            _ = self.interrupt.recv() => Signalled::End,
            _ = self.terminate.recv() => Signalled::End,
            _ = self.hang_up.recv() => Signalled::End,
            _ = self.quit.recv() => Signalled::End,
            _ = self.stop.recv() => Signalled::Stop,
            _ = self.go_on.recv() => Signalled::GoOn,
            _ = self.resize.recv() => Signalled::Resize,
        }
    }
}
