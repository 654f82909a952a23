//! What the agent tells the service manager (sd_notify(3)); without one, nobody.

use std::path::Path;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::host::linux::is_service;

/// Made by the unit that records each stop of the machine, while it will do so.
const STOP_RECORDER: &str = "/run/rackhaven-stop-record";

/// It runs. Said once, as soon as it obeys signals.
pub fn ready() {
    tell(NotifyState::Ready);
}

/// What `systemctl status` shows of it. The end of a line would begin another message.
pub fn status(text: &str) {
    let plain: String = text.chars().filter(|c| !c.is_control()).collect();
    tell(NotifyState::Status(&plain));
}

/// It is about to end.
pub fn stopping() {
    tell(NotifyState::Stopping);
}

/// It is alive.
pub fn feed_watchdog() {
    tell(NotifyState::Watchdog);
}

/// How often it has to be fed; none if nobody watches.
pub fn watchdog_pace() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

/// Whether the machine's stop will be recorded (`rackhaven-agent record-stop`), once everything else has stopped.
pub fn records_stops() -> bool {
    is_service() && Path::new(STOP_RECORDER).is_dir()
}

fn tell(state: NotifyState<'_>) {
    // A manager that does not listen has its own way to find out.
    let _ = sd_notify::notify(&[state]);
}
