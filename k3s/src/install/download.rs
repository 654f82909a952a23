//! Files that a node fetches by itself, by curl(1), and goes on with where a connection broke. Whether one is what the order
//! wants is looked at afterwards, as with all files.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use rackhaven_proto::model::k3s::{Artifact, Source};

use crate::child;
use crate::files;
use crate::order::Work;

/// How often it is tried again when hardly anything comes, bytes, and how long it waits before that.
const TRIES: u32 = 5;
const HARDLY_ANYTHING: u64 = 64 * 1024;
const PAUSE: Duration = Duration::from_secs(2);
/// How long one try may take.
const TIME: Duration = Duration::from_secs(3000);
/// Bytes of a megabyte.
const MB: u64 = 1_000_000;

/// Fetches those that have a source, and are not here.
pub(super) fn all(work: &mut Work, missing: &[&Artifact]) -> anyhow::Result<()> {
    for artifact in missing {
        if let Some(source) = &artifact.source {
            one(work, artifact, source).with_context(|| format!("{artifact} from {source}"))?;
        }
    }
    Ok(())
}

fn one(work: &mut Work, artifact: &Artifact, source: &Source) -> anyhow::Result<()> {
    let whole = work.artifacts.join(artifact.sha256.to_string());
    let partial = work.artifacts.join(format!("{}.partial", artifact.sha256));
    files::make_folder(work.artifacts, 0o700)?;
    let mut fruitless = 0;
    while !whole.exists() {
        let before = length(&partial);
        if before > 0 && files::sum_of(&partial, &mut |_| work.go_on())?.0 == artifact.sha256 {
            fs::rename(&partial, &whole).with_context(|| format!("naming {}", whole.display()))?;
            break;
        }
        work.news.waits(&told(source, before));
        let mut curl = child::command("curl");
        curl.args(["--silent", "--show-error", "--fail", "--location", "--globoff", "--proto", "=http,https"]);
        curl.args(["--connect-timeout", "30", "--speed-limit", "100", "--speed-time", "60", "--continue-at", "-"]);
        curl.arg("--max-filesize").arg(Artifact::MOST_BYTES.to_string());
        curl.arg("--output").arg(&partial).arg("--url").arg(source.as_str());
        let (stop, news) = (work.stop, &mut work.news);
        let ended = child::watch(curl, b"", TIME, stop, &mut || news.waits(&told(source, length(&partial))));
        let ended = ended.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => anyhow::anyhow!("curl is not installed on this node: apt-get install curl"),
            _ => error.into(),
        })?;
        if ended.is_fine() {
            fs::rename(&partial, &whole).with_context(|| format!("naming {}", whole.display()))?;
            break;
        }
        fruitless = if length(&partial) >= before + HARDLY_ANYTHING { 0 } else { fruitless + 1 };
        match what_next(ended.code, &ended.said) {
            Next::GoOn if fruitless < TRIES => {}
            // What is here cannot be gone on with.
            Next::BeginAnew if before > 0 => drop(files::remove_if_there(&partial)?),
            _ => bail!("curl: {}", ended.said),
        }
        work.pause(PAUSE)?;
    }
    Ok(())
}

fn told(source: &Source, bytes: u64) -> String {
    format!("{source}: {} MB", bytes / MB)
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    BeginAnew,
    GiveUp,
}

/// What to do after an exit status of curl's (curl(1), "EXIT CODES"), and what it said.
fn what_next(code: Option<i32>, said: &str) -> Next {
    let is_busy = [" 408", " 429", " 500", " 502", " 503", " 504"].iter().any(|status| said.ends_with(status));
    match code {
        // No name, no connection, an end before the end, too slow, nothing, not sent or received, HTTP/2 broken.
        Some(5..=7 | 16 | 18 | 28 | 35 | 52 | 55 | 56 | 92) => Next::GoOn,
        Some(22) if is_busy => Next::GoOn,
        // The server refuses, a range perhaps.
        Some(22 | 33 | 36) => Next::BeginAnew,
        _ => Next::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::{Next, what_next};

    #[test]
    fn ends_golden() {
        for (code, said, next) in [
            (Some(6), "", Next::GoOn),
            (Some(18), "", Next::GoOn),
            (Some(56), "", Next::GoOn),
            (Some(22), "curl: (22) The requested URL returned error: 503", Next::GoOn),
            (Some(22), "curl: (22) The requested URL returned error: 404", Next::BeginAnew),
            (Some(22), "curl: (22) The requested URL returned error: 416", Next::BeginAnew),
            (Some(33), "", Next::BeginAnew),
            (Some(23), "", Next::GiveUp),
            (Some(60), "", Next::GiveUp),
            (Some(63), "", Next::GiveUp),
            (None, "", Next::GiveUp),
        ] {
            assert_eq!(what_next(code, said), next, "{code:?} {said}");
        }
    }
}
