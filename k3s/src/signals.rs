//! Signals that ask the process to end.

use nix::sys::signal::{SigSet, Signal};

use crate::stop::Stop;

/// From now on SIGTERM and SIGINT ask for a clean end. To be called before any other thread is there: threads inherit
/// that the signals are left to one of them.
///
/// # Errors
/// When the signals cannot be taken, or no thread can be started.
pub fn watch(stop: &Stop) -> std::io::Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block()?;
    let stop = stop.clone();
    let wait = move || {
        while signals.wait().is_ok() {
            stop.request();
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    Ok(())
}
