//! systemd, by systemctl(1).

use std::io;
use std::time::Duration;

use crate::child::{SHORT, command, last_lines, run};
use crate::stop::Stop;

/// Stopping waits for systemd, which kills after 90 s.
const STOP_TIME: Duration = Duration::from_secs(150);

/// How a unit is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitState {
    /// `loaded`, `not-found`, `bad-setting`…
    pub load: String,
    /// `active`, `activating`, `inactive`, `failed`…
    pub active: String,
    /// `running`, `start`, `auto-restart`…
    pub sub: String,
    /// `enabled`, `disabled`…
    pub file: String,
    /// How often systemd has started it again by itself.
    pub restarts: u64,
    /// Its process; 0 if there is none.
    pub main_pid: u64,
}

impl UnitState {
    /// From what `systemctl show` prints.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut state = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "LoadState" => state.load = value.to_owned(),
                "ActiveState" => state.active = value.to_owned(),
                "SubState" => state.sub = value.to_owned(),
                "UnitFileState" => state.file = value.to_owned(),
                "NRestarts" => state.restarts = value.parse().unwrap_or(0),
                "MainPID" => state.main_pid = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        state
    }

    /// Whether it runs and has said so.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active == "active"
    }

    /// Whether nothing of it runs, and nothing will.
    #[must_use]
    pub fn is_down(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed" | "")
    }
}

/// How this unit is.
///
/// # Errors
/// When systemd does not tell.
pub fn show(unit: &str, stop: &Stop) -> io::Result<UnitState> {
    let mut systemctl = command("systemctl");
    systemctl.args(["show", "--property=LoadState,ActiveState,SubState,UnitFileState,NRestarts,MainPID", unit]);
    let ended = run(systemctl, b"", SHORT, stop)?.fine(&format!("asking for {unit}"))?;
    Ok(UnitState::parse(&ended.text()))
}

/// Has systemd read its units again.
///
/// # Errors
/// When it refuses.
pub fn reload(stop: &Stop) -> io::Result<()> {
    systemctl(&["daemon-reload"], SHORT, stop)
}

/// Has it started at each boot, or not any more.
///
/// # Errors
/// When systemd refuses.
pub fn enable(unit: &str, enabled: bool, stop: &Stop) -> io::Result<()> {
    systemctl(&[if enabled { "enable" } else { "disable" }, unit], SHORT, stop)
}

/// Starts it, or starts it anew, and does not wait until it runs: a bad join would keep one waiting for ever.
///
/// # Errors
/// When systemd refuses.
pub fn start(unit: &str, anew: bool, stop: &Stop) -> io::Result<()> {
    systemctl(&[if anew { "restart" } else { "start" }, "--no-block", unit], SHORT, stop)
}

/// Stops it.
///
/// # Errors
/// When it does not stop.
pub fn end(unit: &str, stop: &Stop) -> io::Result<()> {
    systemctl(&["stop", unit], STOP_TIME, stop)?;
    // A unit that failed is remembered otherwise; one that is gone already is no error.
    let mut reset = command("systemctl");
    reset.args(["reset-failed", unit]);
    run(reset, b"", SHORT, stop).map(drop)
}

fn systemctl(words: &[&str], time: Duration, stop: &Stop) -> io::Result<()> {
    let mut systemctl = command("systemctl");
    systemctl.args(words);
    run(systemctl, b"", time, stop)?.fine(&format!("systemctl {}", words.join(" "))).map(drop)
}

/// The last lines that a unit wrote; empty if the journal does not tell.
pub fn last_words(unit: &str, stop: &Stop) -> String {
    let mut journal = command("journalctl");
    journal.args(["--no-pager", "--quiet", "--output=cat", "--lines=5", "--unit", unit]);
    run(journal, b"", SHORT, stop).map_or_else(|_| String::new(), |ended| last_lines(&ended.output))
}

#[cfg(test)]
mod tests {
    use super::UnitState;

    #[test]
    fn golden() {
        let text = "LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nUnitFileState=enabled\n\
                    NRestarts=3\nMainPID=0\nOther=1\n";
        let state = UnitState::parse(text);
        assert_eq!((state.restarts, state.main_pid, state.sub.as_str()), (3, 0, "auto-restart"));
        assert!(!state.is_active() && !state.is_down());
        assert!(UnitState::parse("ActiveState=active\n").is_active());
        assert!(UnitState::parse("").is_down() && UnitState::parse("ActiveState=failed").is_down());
    }
}
