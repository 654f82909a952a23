//! Where a node's files are.

use std::path::PathBuf;

use anyhow::Context;

/// The folder in which the node's files are.
pub(super) const ROOT: &str = "K3S_DOUBLE_ROOT";

/// The place of an absolute path.
pub(super) fn at(path: &str) -> PathBuf {
    PathBuf::from(std::env::var(ROOT).unwrap_or_else(|_| "/".to_owned())).join(path.trim_start_matches('/'))
}

/// A file as text.
pub(super) fn text(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(at(path)).with_context(|| format!("reading {path}"))
}

/// Writes a file, with the folders above it.
pub(super) fn write(path: &str, bytes: impl AsRef<[u8]>, mode: u32) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let place = at(path);
    std::fs::create_dir_all(place.parent().context("a file in no folder")?)?;
    let new = place.with_extension(format!("new-{}", std::process::id()));
    std::fs::write(&new, bytes).with_context(|| format!("writing {path}"))?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode))?;
    std::fs::rename(&new, &place).with_context(|| format!("writing {path}"))
}

/// Ends the process when the node is gone: a story that is over leaves nobody behind.
pub(super) fn end_with_node() {
    std::thread::spawn(|| {
        while at("/usr").exists() {
            pause(std::time::Duration::from_secs(1));
        }
        #[expect(clippy::disallowed_methods, reason = "the double's own end")]
        std::process::exit(0);
    });
}

/// Waits.
pub(super) fn pause(time: std::time::Duration) {
    std::thread::sleep(time);
}
