//! Files that a node fetches by itself, by curl(1), and goes on with where a connection broke. Whether one is what the order
//! wants is looked at afterwards, as with all files.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use rackhaven_proto::model::k3s::{Artifact, Source};

use crate::child::{self, Ended};
use crate::files;
use crate::order::Work;

/// How often it is tried again when hardly anything comes that was not here before, bytes, and how long it waits before
/// that.
const TRIES: u32 = 5;
const HARDLY_ANYTHING: u64 = 64 * 1024;
const PAUSE: Duration = Duration::from_secs(2);
/// How long one try may take.
const TIME: Duration = Duration::from_secs(3000);
/// So much of the disk is left to the rest of the node, bytes; the agent leaves as much.
const KEPT_FREE_BYTES: u64 = 128 << 20;
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
    let partial = files::partial(work.artifacts, artifact);
    files::make_folder(work.artifacts, 0o700)?;
    let mut course = Course { longest: length(&partial), fruitless: 0 };
    while !whole.exists() {
        let before = length(&partial);
        if before > 0 && files::sum_of(&partial, &mut |_| work.go_on())?.0 == artifact.sha256 {
            fs::rename(&partial, &whole).with_context(|| format!("naming {}", whole.display()))?;
            break;
        }
        let (next, why) = match attempt(work, source, &partial) {
            Ok(ended) if ended.is_fine() => {
                fs::rename(&partial, &whole).with_context(|| format!("naming {}", whole.display()))?;
                break;
            }
            Ok(ended) => (what_next(ended.code, &ended.said), words(&ended)),
            Err(error) => match error.kind() {
                ErrorKind::NotFound => bail!("curl is not installed on this node: apt-get install curl"),
                ErrorKind::TimedOut => (Next::GoOn, error.to_string()),
                ErrorKind::FileTooLarge | ErrorKind::StorageFull => (Next::Clear, error.to_string()),
                _ => return Err(error.into()),
            },
        };
        let is_worth_it = course.goes_on(length(&partial));
        match next {
            Next::GoOn if is_worth_it => {}
            // What is here cannot be gone on with.
            Next::BeginAnew if before > 0 && is_worth_it => drop(files::remove_if_there(&partial)?),
            Next::Clear => {
                files::remove_if_there(&partial)?;
                bail!(why);
            }
            Next::GoOn | Next::BeginAnew if !is_worth_it => {
                bail!("{why}; given up after {TRIES} tries that brought no more than {} MB", course.longest / MB)
            }
            _ => bail!(why),
        }
        work.pause(PAUSE)?;
    }
    Ok(())
}

/// Lets curl go on with what is here, as long as it keeps within bounds: old ones do not look at lengths by themselves if
/// the server announces none.
fn attempt(work: &mut Work, source: &Source, partial: &Path) -> io::Result<Ended> {
    let told = |bytes: u64| format!("{source}: {} MB", bytes / MB);
    work.news.waits(&told(length(partial)));
    let mut curl = child::command("curl");
    curl.args(["--silent", "--show-error", "--fail", "--location", "--globoff", "--proto", "=http,https"]);
    curl.args(["--connect-timeout", "30", "--speed-limit", "100", "--speed-time", "60", "--continue-at", "-"]);
    curl.arg("--max-filesize").arg(Artifact::MOST_BYTES.to_string());
    curl.arg("--output").arg(partial).arg("--url").arg(source.as_str());
    let (stop, news, folder) = (work.stop, &mut work.news, work.artifacts);
    child::watch(curl, b"", TIME, stop, &mut || {
        let bytes = length(partial);
        news.waits(&told(bytes));
        keeps_within(bytes, free_bytes(folder)?)
    })
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn free_bytes(folder: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Refuses a file of this length, with so much of the disk free beside it.
fn keeps_within(length_bytes: u64, free_bytes: u64) -> io::Result<()> {
    if length_bytes > Artifact::MOST_BYTES {
        let text = format!("more than {} bytes came, which no file of a release has", Artifact::MOST_BYTES);
        return Err(io::Error::new(ErrorKind::FileTooLarge, text));
    }
    if free_bytes < KEPT_FREE_BYTES {
        let text = format!(
            "it does not fit: {} MiB are free after {} MB of it, and {} MiB are kept for the node",
            free_bytes >> 20,
            length_bytes / MB,
            KEPT_FREE_BYTES >> 20
        );
        return Err(io::Error::new(ErrorKind::StorageFull, text));
    }
    Ok(())
}

/// What has come of a file in this run, however often it began anew.
#[derive(Debug)]
struct Course {
    /// The longest that it has been, bytes.
    longest: u64,
    /// How many tries have brought hardly more than that.
    fruitless: u32,
}

impl Course {
    /// Counts a try that ended with this length. Whether another one is worth it.
    fn goes_on(&mut self, length_bytes: u64) -> bool {
        if length_bytes >= self.longest.saturating_add(HARDLY_ANYTHING) {
            *self = Self { longest: length_bytes, fruitless: 0 };
        } else {
            self.fruitless += 1;
        }
        self.fruitless < TRIES
    }
}

/// Why curl failed.
fn words(ended: &Ended) -> String {
    match (ended.said.as_str(), ended.code) {
        ("", Some(code)) => format!("curl: exit status {code}"),
        ("", None) => "curl: it was killed".to_owned(),
        // It says its name by itself.
        (said, _) if said.contains("curl: ") => said.to_owned(),
        (said, _) => format!("curl: {said}"),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    BeginAnew,
    GiveUp,
    /// Nothing of it may stay.
    Clear,
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
        // It cannot be written, or is announced as longer than any file of a release.
        Some(23 | 63) => Next::Clear,
        _ => Next::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::{Artifact, Course, Ended, KEPT_FREE_BYTES, MB, Next, keeps_within, what_next, words};

    /// Lengths after each try, and after which it is given up.
    #[test]
    fn courses_golden() {
        for (longest, lengths, tries) in [
            // A server that goes on brings more each time.
            (0, [1, 2, 3, 4, 5, 6, 7, 8], None),
            // One that knows no ranges, and breaks off: each time from the beginning.
            (0, [5, 5, 0, 5, 5, 0, 5, 5], Some(6)),
            // What an earlier run left is not counted as brought.
            (9, [9, 5, 5, 5, 5, 5, 5, 5], Some(5)),
            (0, [0, 0, 0, 0, 0, 0, 0, 0], Some(5)),
            (0, [5, 5, 5, 5, 6, 6, 6, 7], None),
        ] {
            let mut course = Course { longest: longest * MB, fruitless: 0 };
            let given_up = lengths.iter().position(|length| !course.goes_on(length * MB)).map(|last| last + 1);
            assert_eq!(given_up, tries, "{lengths:?} after {longest}");
        }
    }

    #[test]
    fn bounds_golden() {
        for (length, free, kind) in [
            (0, KEPT_FREE_BYTES, None),
            (Artifact::MOST_BYTES, KEPT_FREE_BYTES, None),
            (Artifact::MOST_BYTES + 1, u64::MAX, Some(ErrorKind::FileTooLarge)),
            (0, KEPT_FREE_BYTES - 1, Some(ErrorKind::StorageFull)),
        ] {
            assert_eq!(keeps_within(length, free).err().map(|error| error.kind()), kind, "{length} {free}");
        }
        let full = keeps_within(7 * MB, 5 << 20).unwrap_err().to_string();
        assert_eq!(full, "it does not fit: 5 MiB are free after 7 MB of it, and 128 MiB are kept for the node");
    }

    #[test]
    fn it_says_its_name_once() {
        for (code, said, told) in [
            (Some(22), "curl: (22) error: 404", "curl: (22) error: 404"),
            (Some(18), "Warning: x | curl: (18) y", "Warning: x | curl: (18) y"),
            (Some(2), "no such option", "curl: no such option"),
            (Some(2), "", "curl: exit status 2"),
            (None, "", "curl: it was killed"),
        ] {
            let ended = Ended { code, signal: None, output: Vec::new(), said: said.to_owned() };
            assert_eq!(words(&ended), told);
        }
    }

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
            (Some(23), "", Next::Clear),
            (Some(60), "", Next::GiveUp),
            (Some(63), "", Next::Clear),
            (None, "", Next::GiveUp),
        ] {
            assert_eq!(what_next(code, said), next, "{code:?} {said}");
        }
    }
}
