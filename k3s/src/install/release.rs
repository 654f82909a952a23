//! Which release a program is, by what it says of itself: a checksum tells that it is the one that was meant, not that it
//! was given to the controller under the right name.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use rackhaven_proto::model::k3s::Artifact;

use crate::child::{command, run};
use crate::order::Work;

/// How long it may take to say so: from a slow card it is read first.
const TIME: Duration = Duration::from_secs(60);

/// Refuses a program that is another release than it is said to be. Where programs cannot be run, nothing is known.
pub(super) fn check(work: &Work, artifact: &Artifact, place: &Path) -> anyhow::Result<()> {
    let mut k3s = command(place);
    k3s.arg("--version");
    let ended = match run(k3s, b"", TIME, work.stop) {
        Ok(ended) => ended.fine("k3s --version")?,
        // The folder is on a file system without programs (mount(8), noexec).
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
        Err(error) => return Err(error).context("asking it which release it is"),
    };
    let text = ended.text();
    match said(&text) {
        Some(release) if release == artifact.version.to_string() => Ok(()),
        Some(release) => bail!(
            "it is k3s {}, not {}: the file was added under the wrong --version",
            crate::news::shown(release),
            artifact.version
        ),
        None => bail!("it does not say that it is a release of k3s"),
    }
}

/// Makes a file that is not in its place yet one that can be run.
pub(super) fn let_run(place: &Path) -> anyhow::Result<()> {
    let set = fs::set_permissions(place, Permissions::from_mode(0o700));
    set.with_context(|| format!("setting the permissions of {}", place.display()))
}

/// The release, in what `k3s --version` says: `k3s version v1.31.4+k3s1 (a562d090)`, and that of Go.
fn said(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("k3s version ")?.split_whitespace().next())
}

#[cfg(test)]
mod tests {
    use super::said;

    #[test]
    fn golden() {
        for (text, release) in [
            ("k3s version v1.31.4+k3s1 (a562d090)\ngo version go1.22.9\n", Some("v1.31.4+k3s1")),
            ("time=x level=warning\nk3s version v1.31.4+k3s1-dirty (x)", Some("v1.31.4+k3s1-dirty")),
            ("k3s version ", None),
            ("kubectl version v1", None),
            ("", None),
        ] {
            assert_eq!(said(text), release, "{text}");
        }
    }
}
