//! The core's state on the disk, and a clock for it that goes on across restarts.

use std::path::{Path, PathBuf};

use rackhaven_pki::durable::{self, StateError};
use serde::{Deserialize, Serialize};

use super::core::state::State;

const FILE: &str = "power";
const VERSION: u32 = 1;
/// Longest time that the host is taken to have been off, milliseconds: a wall clock may tell nonsense.
const LONGEST_OFF_MS: i64 = 365 * 24 * 3600 * 1000;

/// A moment by all clocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// This boot of the host.
    pub boot_id: String,
    /// Since it, milliseconds.
    pub boot_ms: u64,
    /// Wall clock, milliseconds since 1970-01-01 UTC.
    pub wall_ms: i64,
}

/// What the file holds: the state, and when it was so, by the core's clock and by all others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// The core's time, milliseconds.
    pub now_ms: u64,
    /// The same by the other clocks.
    pub moment: Moment,
    /// The UPSes that the state counts, in order.
    pub upses: Vec<String>,
    /// The state.
    pub state: State,
}

/// The core's clock: milliseconds that never jump and go on across restarts of controller and host.
#[derive(Debug, Clone, Copy)]
pub struct PowerClock {
    base_ms: u64,
    base_boot_ms: u64,
}

impl PowerClock {
    /// One that begins now.
    pub fn new(boot_ms: u64) -> Self {
        Self { base_ms: 0, base_boot_ms: boot_ms }
    }

    /// One that goes on; whether the host has not been off since.
    pub fn resumed(saved: &Saved, now: &Moment) -> (Self, bool) {
        let same_boot = saved.moment.boot_id == now.boot_id && now.boot_ms >= saved.moment.boot_ms;
        let passed_ms = if same_boot {
            now.boot_ms - saved.moment.boot_ms
        } else {
            let off_ms = now.wall_ms.saturating_sub(saved.moment.wall_ms).clamp(0, LONGEST_OFF_MS);
            off_ms.unsigned_abs()
        };
        (Self { base_ms: saved.now_ms.saturating_add(passed_ms), base_boot_ms: now.boot_ms }, same_boot)
    }

    /// The core's time when the host is up for `boot_ms`.
    pub fn now_ms(&self, boot_ms: u64) -> u64 {
        self.base_ms.saturating_add(boot_ms.saturating_sub(self.base_boot_ms))
    }
}

/// The file.
#[derive(Debug, Clone)]
pub struct Memory(PathBuf);

impl Memory {
    /// In the controller's state folder.
    pub fn new(folder: &Path) -> Self {
        Self(folder.join(FILE))
    }

    /// Reads it; none if it is not there. A damaged one is set aside, and told as the second part.
    pub fn load(&self) -> (Option<Saved>, Option<String>) {
        let read = durable::read_checked(&self.0, FILE, VERSION).and_then(|bytes| {
            let parsed = bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose();
            parsed.map_err(|error| StateError::Corrupt { path: self.0.clone(), reason: error.to_string() })
        });
        let path = self.0.display();
        match read {
            Ok(saved) => (saved, None),
            Err(StateError::Io { source, .. }) => (None, Some(format!("{path} cannot be read: {source}"))),
            Err(StateError::Corrupt { reason, .. }) => match durable::set_aside(&self.0) {
                Ok(kept) => (None, Some(format!("{path}: {reason}; set aside as {}", kept.display()))),
                Err(error) => (None, Some(format!("{path}: {reason}; it could not be set aside: {error}"))),
            },
        }
    }

    /// Replaces it. Blocks until it is on the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn save(&self, saved: &Saved) -> Result<(), StateError> {
        let bytes = serde_json::to_vec(saved)
            .map_err(|error| StateError::Corrupt { path: self.0.clone(), reason: error.to_string() })?;
        durable::replace_checked(&self.0, FILE, VERSION, &bytes, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::{Memory, Moment, PowerClock, Saved};
    use crate::power::core::state::State;

    fn moment(boot_id: &str, boot_ms: u64, wall_ms: i64) -> Moment {
        Moment { boot_id: boot_id.to_owned(), boot_ms, wall_ms }
    }

    #[test]
    fn time_goes_on_across_restarts_and_never_back() {
        let saved =
            Saved { now_ms: 1000, moment: moment("a", 500, 90_000), upses: Vec::new(), state: State::new(1, 0) };
        for (now, now_ms, same_boot) in [
            (moment("a", 700, 0), 1200, true),
            (moment("b", 10, 95_000), 6000, false),
            (moment("b", 10, 0), 1000, false),
            // A board id that stays although the host was off tells nothing; its uptime does.
            (moment("a", 10, 91_000), 2000, false),
            (moment("b", 10, i64::MAX), 1000 + 365 * 24 * 3600 * 1000, false),
        ] {
            let (clock, same) = PowerClock::resumed(&saved, &now);
            assert_eq!((clock.now_ms(now.boot_ms), same), (now_ms, same_boot), "{now:?}");
            assert_eq!(clock.now_ms(now.boot_ms + 5), now_ms + 5);
        }
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let temp = tempfile::tempdir().unwrap();
        let memory = Memory::new(temp.path());
        assert_eq!(memory.load(), (None, None));
        let saved =
            Saved { now_ms: 1, moment: moment("a", 2, 3), upses: vec!["ups@h".to_owned()], state: State::new(2, 0) };
        memory.save(&saved).unwrap();
        assert_eq!(memory.load(), (Some(saved), None));
        std::fs::write(temp.path().join("power"), "rackhaven power v1 2 00000000\n{}").unwrap();
        let (loaded, complaint) = memory.load();
        assert_eq!(loaded, None);
        assert!(complaint.unwrap().contains("set aside"));
    }
}
