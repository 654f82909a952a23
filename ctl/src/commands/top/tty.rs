//! The terminal's manners: how it is taken, and how it is given back whatever happens.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, tcgetpgrp};
use tokio::net::unix::pipe::Receiver;

use crate::error::CtlError;

/// The terminal of this process, whichever streams it has.
const PATH: &str = "/dev/tty";
/// The alternate screen, without a cursor, with pastes that say so (xterm). What a terminal does not know it ignores.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[0m\x1b[2J";
/// The way back. A terminal without an alternate screen is left empty.
const LEAVE: &[u8] = b"\x1b[?2004l\x1b[0m\x1b[H\x1b[J\x1b[?1049l\x1b[?25h";
/// Bytes that are read at once.
const CHUNK: usize = 4096;

/// The terminal, and how it was before it was taken.
#[derive(Debug)]
pub(super) struct Tty {
    file: File,
    taken: Mutex<Option<Taken>>,
}

#[derive(Debug)]
struct Taken {
    before: Termios,
    raw: Termios,
}

impl Tty {
    /// Opens it; nothing changes yet.
    pub(super) fn open() -> Result<Self, CtlError> {
        let file = OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits()).open(PATH);
        let file = file.map_err(|error| {
            CtlError::usage(format!("opening {PATH}: {error}")).hint("without a terminal: ctl status --watch")
        })?;
        Ok(Self { file, taken: Mutex::new(None) })
    }

    /// Its settings now.
    pub(super) fn settings(&self) -> Result<Termios, CtlError> {
        tcgetattr(&self.file).map_err(|error| failed("reading the terminal's settings", error))
    }

    /// Takes it: keys come one by one, and the screen is another. Nothing if it is taken; whether it was not.
    pub(super) fn enter(&self) -> Result<bool, CtlError> {
        let now = self.settings()?;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.as_ref().is_some_and(|taken| taken.raw == now) {
            return Ok(false);
        }
        // Whatever we had before, somebody has given it back since.
        let before = now;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        // What was set is read back: a terminal need not take up all that it is asked for.
        let set = set(&self.file, &raw).and_then(|()| tcgetattr(&self.file));
        // Written down before anything else can fail.
        *taken = Some(Taken { before, raw: set.map_err(|error| failed("changing the terminal's settings", error))? });
        (&self.file).write_all(ENTER).map_err(|error| CtlError::failed(format!("writing to {PATH}: {error}")))?;
        Ok(true)
    }

    /// Gives it back as it was; nothing if it is not taken. What cannot be done is left: the terminal may be gone.
    pub(super) fn leave(&self) {
        let Some(taken) = self.taken.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        // A shell may have it already: this must neither stop us nor undo what the shell has set since.
        let mut stopping = SigSet::empty();
        stopping.add(Signal::SIGTTOU);
        let masked = stopping.thread_block();
        let _ = (&self.file).write_all(LEAVE);
        if tcgetattr(&self.file).is_ok_and(|now| now == taken.raw) {
            let _ = set(&self.file, &taken.before);
        }
        if masked.is_ok() {
            let _ = stopping.thread_unblock();
        }
    }

    /// Gives back a terminal that another process has taken and left behind, if it has.
    pub(super) fn mend(&self, before: &Termios) {
        if tcgetattr(&self.file).is_ok_and(|now| now != *before) {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            *taken = tcgetattr(&self.file).ok().map(|raw| Taken { before: before.clone(), raw });
            drop(taken);
            self.leave();
        }
    }

    /// Whether this process may use it now; an error if it is gone.
    pub(super) fn is_ours(&self) -> io::Result<bool> {
        Ok(tcgetpgrp(&self.file)? == getpgrp())
    }
}

fn set(file: &File, settings: &Termios) -> nix::Result<()> {
    loop {
        match tcsetattr(file, SetArg::TCSANOW, settings) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

fn failed(what: &str, error: Errno) -> CtlError {
    CtlError::failed(format!("{what}: {}", io::Error::from(error)))
}

/// A taken terminal: given back when this is dropped, and before a panic is told of.
#[derive(Debug)]
pub(super) struct Hold(Arc<Tty>);

impl Hold {
    /// Takes the terminal.
    pub(super) fn take(tty: &Arc<Tty>) -> Result<Self, CtlError> {
        let hold = Self(Arc::clone(tty));
        let (tty, tell) = (Arc::clone(tty), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |panic| {
            tty.leave();
            tell(panic);
        }));
        hold.0.enter()?;
        Ok(hold)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// What comes from the keyboard.
#[derive(Debug)]
pub(super) struct Keys(Receiver);

impl Keys {
    /// Opens the terminal once more: that reading it does not wait is nothing that others who have it may notice.
    pub(super) fn open() -> Result<Self, CtlError> {
        let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(PATH);
        // What is read with a wait for readiness may be a terminal as well as a pipe.
        let keys = file.and_then(Receiver::from_file_unchecked).map(Self);
        keys.map_err(|error| CtlError::failed(format!("opening {PATH}: {error}")))
    }

    /// The next bytes; none when the terminal is gone. Safe to cancel.
    pub(super) async fn read(&self) -> Option<Vec<u8>> {
        loop {
            self.0.readable().await.ok()?;
            let mut bytes = [0; CHUNK];
            match self.0.try_read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => return Some(bytes[..count].to_vec()),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(_) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::sync::{Arc, Mutex};

    use nix::pty::openpty;

    use super::{ENTER, Hold, LEAVE, Tty};

    /// A terminal, and the end that a person would see.
    fn terminal() -> (Arc<Tty>, File) {
        let pty = openpty(None, None).unwrap();
        (Arc::new(Tty { file: pty.slave.into(), taken: Mutex::new(None) }), pty.master.into())
    }

    fn seen(screen: &mut File, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        screen.read_exact(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_panic_gives_it_back_before_it_is_told_of() {
        let (tty, mut screen) = terminal();
        let before = tty.settings().unwrap();
        let held = Arc::clone(&tty);
        let told = Arc::clone(&tty);
        let quiet = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // Another test may panic meanwhile.
            if panic.payload_as_str() == Some("planted") {
                assert!(told.taken.lock().unwrap().is_none(), "told of on a screen that is taken");
            }
            quiet(panic);
        }));
        let panicked = std::thread::spawn(move || {
            let _hold = Hold::take(&held).unwrap();
            panic!("planted");
        });
        assert!(panicked.join().is_err());
        assert_eq!(tty.settings().unwrap(), before);
        assert_eq!(seen(&mut screen, ENTER.len() + LEAVE.len()), [ENTER, LEAVE].concat());
    }

    #[test]
    fn it_is_taken_and_given_back_once() {
        let (tty, mut screen) = terminal();
        let before = tty.settings().unwrap();
        let hold = Hold::take(&tty).unwrap();
        tty.enter().unwrap();
        assert_ne!(tty.settings().unwrap(), before);
        tty.leave();
        drop(hold);
        tty.mend(&before);
        assert_eq!(tty.settings().unwrap(), before);
        (&tty.file).write_all(b"!").unwrap();
        assert_eq!(seen(&mut screen, ENTER.len() + LEAVE.len() + 1), [ENTER, LEAVE, b"!"].concat());
    }

    #[test]
    fn what_somebody_else_left_is_mended_and_what_somebody_else_set_is_kept() {
        let (tty, _screen) = terminal();
        let before = tty.settings().unwrap();
        tty.enter().unwrap();
        // The one who drew was killed: another process knows nothing but how it was before.
        *tty.taken.lock().unwrap() = None;
        tty.mend(&before);
        assert_eq!(tty.settings().unwrap(), before);
        // A shell has set something since.
        tty.enter().unwrap();
        let mut shells = before;
        shells.local_flags.remove(nix::sys::termios::LocalFlags::ECHO);
        super::set(&tty.file, &shells).unwrap();
        tty.leave();
        assert_eq!(tty.settings().unwrap(), shells);
    }
}
