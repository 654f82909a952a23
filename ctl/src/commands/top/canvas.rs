//! The taken terminal, and what it shows.

use std::io;
use std::sync::Arc;

use nix::sys::signal::{Signal, raise};
use ratatui::buffer::Buffer;

use super::draw::frame;
use super::ink::{Ink, changes};
use super::tty::{Hold, Tty};
use super::view::View;
use crate::error::CtlError;
use crate::invocation::Invocation;

/// The screen of a terminal that does not tell its size.
const USUAL: (usize, usize) = (80, 24);

/// A screen of our own; the one before comes back when this is dropped.
pub(super) struct Canvas<'a> {
    invocation: &'a mut Invocation,
    tty: Arc<Tty>,
    _hold: Hold,
    ink: Ink,
    /// None if nobody knows.
    shown: Option<Buffer>,
}

impl<'a> Canvas<'a> {
    /// Takes the terminal.
    pub(super) fn take(invocation: &'a mut Invocation) -> Result<Self, CtlError> {
        let page = invocation.page();
        let term = invocation.environment.term.as_deref().unwrap_or_default();
        let ink = Ink { colour: page.colour && has_colours(term), ascii: page.ascii };
        let tty = Arc::new(Tty::open()?);
        let hold = Hold::take(&tty)?;
        Ok(Self { invocation, tty, _hold: hold, ink, shown: None })
    }

    /// Draws what has changed, in one write, so that nothing flickers; nothing while the terminal is another's.
    pub(super) fn draw(&mut self, view: &mut View, now_ms: u64) -> Result<(), CtlError> {
        if !self.is_ours().unwrap_or(false) {
            return Ok(());
        }
        // One that was stopped from outside may be here before it is told that it goes on.
        if self.tty.enter()? {
            self.renew();
        }
        view.resize(size(self.invocation));
        let next = frame(view, now_ms);
        let bytes = changes(self.shown.as_ref(), &next, self.ink);
        if !bytes.is_empty() {
            self.invocation.console.data(&bytes)?;
        }
        self.shown = Some(next);
        Ok(())
    }

    /// Draws all of it next time: something else may have written on the screen.
    pub(super) fn renew(&mut self) {
        self.shown = None;
    }

    /// Gives the terminal back and stops, until a shell has us go on.
    pub(super) fn suspend(&mut self) -> Result<(), CtlError> {
        self.tty.leave();
        // The guard sees it, and stops for the shell.
        raise(Signal::SIGSTOP).map_err(|error| CtlError::failed(format!("stopping: {error}")))?;
        self.go_on()
    }

    /// Takes the terminal again, if it was given back.
    pub(super) fn go_on(&mut self) -> Result<(), CtlError> {
        self.renew();
        self.tty.enter().map(drop)
    }

    /// Whether the terminal is ours to use now; an error if it is gone.
    pub(super) fn is_ours(&self) -> io::Result<bool> {
        self.tty.is_ours()
    }
}

/// Columns and rows.
pub(super) fn size(invocation: &Invocation) -> (u16, u16) {
    let (columns, rows) = (invocation.console.size)().unwrap_or(USUAL);
    let narrow = |figure: usize| u16::try_from(figure).unwrap_or(u16::MAX);
    (narrow(columns), narrow(rows))
}

/// Whether a terminal of this kind has colours, as far as its name tells.
fn has_colours(term: &str) -> bool {
    !["vt1", "vt2"].iter().any(|old| term.starts_with(old)) && !term.ends_with("-m") && !term.ends_with("-mono")
}

#[cfg(test)]
mod tests {
    use super::has_colours;

    #[test]
    fn old_terminals_have_no_colours() {
        assert!(["linux", "xterm", "xterm-256color", "screen", "tmux-256color", "rxvt"].into_iter().all(has_colours));
        assert!(!["vt100", "vt220", "xterm-mono", "linux-m"].into_iter().any(has_colours));
    }
}
