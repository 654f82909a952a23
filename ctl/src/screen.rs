//! A page that is drawn in place, again and again.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CtlError;
use crate::invocation::Invocation;
use crate::output::{Format, Page};

/// What ends a page, or has it drawn anew at once.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    resize: Signal,
}

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signalled {
    /// Ctrl-C, or a request to end.
    End,
    /// The terminal has another size.
    Resize,
}

impl Signals {
    /// Listens from now on.
    pub(crate) fn listen() -> Result<Self, CtlError> {
        let listen = |kind| signal(kind).map_err(|error| CtlError::failed(format!("listening for signals: {error}")));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            resize: listen(SignalKind::window_change())?,
        })
    }

    /// Waits for the end; safe to cancel.
    pub(crate) async fn end(&mut self) {
        while self.next().await != Signalled::End {}
    }

    /// Waits for the next; safe to cancel.
    pub(crate) async fn next(&mut self) -> Signalled {
        tokio::select! {
            _ = self.interrupt.recv() => Signalled::End,
            _ = self.terminate.recv() => Signalled::End,
            _ = self.resize.recv() => Signalled::Resize,
        }
    }
}

/// Whether the page is redrawn in place.
pub(crate) fn is_on_screen(invocation: &Invocation) -> bool {
    invocation.console.out_is_terminal && matches!(invocation.global.output, Format::Table | Format::Wide)
}

/// Scrolls what is on the screen out of the way, so that it can be looked up later.
pub(crate) fn make_room(invocation: &mut Invocation) -> Result<(), CtlError> {
    let rows = page(invocation).rows.unwrap_or(0);
    invocation.console.data(&"\n".repeat(rows))
}

/// The page that fills the screen.
pub(crate) fn page(invocation: &Invocation) -> Page {
    let mut page = invocation.page();
    if let Some((columns, rows)) = (invocation.console.size)() {
        page.rows = Some(invocation.environment.lines.map_or(rows, |lines| lines.min(rows)));
        // Even with all columns a line must not wrap here, or the page would be higher than the screen.
        page.columns = Some(columns);
    }
    page
}

/// Draws over the last page in one write, so that nothing flickers (ECMA-48: CUP, EL, ED). The cursor stays visible, so
/// that no end of this program can leave it hidden.
pub(crate) fn draw(text: &str, invocation: &mut Invocation) -> Result<(), CtlError> {
    let lines: Vec<_> = text.trim_end().lines().map(|line| format!("{line}\u{1b}[K")).collect();
    invocation.draw(format!("\u{1b}[H{}\u{1b}[J", lines.join("\r\n")))
}
