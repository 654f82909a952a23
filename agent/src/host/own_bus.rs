//! A message bus for tests, in the place of the system's.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A real bus of its own.
pub(super) struct Bus {
    daemon: Child,
    /// Its folder.
    pub(super) dir: PathBuf,
    /// Where it is reached.
    pub(super) address: String,
}

impl Bus {
    /// None on a machine without D-Bus.
    pub(super) fn start(name: &str) -> Option<Self> {
        let dir = std::env::temp_dir().join(format!("rackhaven-bus-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let address = format!("unix:path={}", dir.join("socket").display());
        let policy = "<allow user='*'/><allow own='*'/><allow eavesdrop='true'/>\
            <allow send_destination='*' eavesdrop='true'/>";
        let config = format!(
            "<busconfig><listen>{address}</listen><auth>EXTERNAL</auth>\
            <policy context='default'>{policy}</policy></busconfig>"
        );
        fs::write(dir.join("bus.conf"), config).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test's own bus")]
        let mut command = Command::new("dbus-daemon");
        command.arg("--nofork").arg("--config-file").arg(dir.join("bus.conf")).stderr(Stdio::null());
        let mut daemon = command.spawn().ok()?;
        while UnixStream::connect(dir.join("socket")).is_err() {
            assert!(daemon.try_wait().unwrap().is_none(), "dbus-daemon ended");
            std::thread::yield_now();
        }
        Some(Self { daemon, dir, address })
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}
