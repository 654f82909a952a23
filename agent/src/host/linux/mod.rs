//! The board behind the traits: `/proc`, `/sys` and a few system calls. One thread, children in one place, nothing
//! written to disk.

use std::path::PathBuf;

pub(crate) mod child;
mod clock;
mod cores;
mod disks;
mod facts;
mod file;
mod file_systems;
mod networks;
pub mod parse;
mod power;
mod previous;
mod probe;
mod sensors;
mod slow_sensors;
mod storage;
mod throttling;
mod wake;

pub use child::Place;
pub use clock::LinuxClock;
pub use power::CommandSwitch;
pub use probe::LinuxProbe;
pub use storage::StorageWatch;

/// Where the kernel's and the distribution's files are, so that tests read recorded ones.
#[derive(Debug, Clone)]
pub struct Roots {
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
    /// `/etc`.
    pub etc: PathBuf,
    /// `/dev`.
    pub dev: PathBuf,
    /// The file with the id of this boot.
    pub boot_id: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            sys: "/sys".into(),
            etc: "/etc".into(),
            dev: "/dev".into(),
            boot_id: "/proc/sys/kernel/random/boot_id".into(),
        }
    }
}

/// Whether systemd started this process as a service of this machine.
pub fn is_service() -> bool {
    std::path::Path::new("/run/systemd/system").is_dir() && std::env::var_os("NOTIFY_SOCKET").is_some()
}
