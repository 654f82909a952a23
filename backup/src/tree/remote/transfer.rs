//! One call of rsync.

use std::collections::BTreeSet;
use std::io::Read;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use super::far::Far;
use super::said::{Verdict, Word, transferred, verdict, word};
use crate::child::Running;
use crate::outcome::{ProblemKind, Problems};
use crate::progress::Progress;
use crate::repository::RepositoryError;
use crate::stop::Stop;

/// What is kept of everything, on both sides.
pub(super) const KEEP: [&str; 4] = ["-aHAXS", "--numeric-ids", "--info=progress2", "--outbuf=L"];
/// How many lines of rsync's are kept.
const MAX_WORDS: usize = 100_000;

/// What a transfer left to say.
#[derive(Debug, Default)]
pub(super) struct Transferred {
    /// Paths that are not there, or not as they should be, as rsync names them.
    pub(super) lacking: BTreeSet<Vec<u8>>,
    pub(super) notes: Vec<String>,
}

/// Runs it to its end. Files that could not be transferred become problems.
pub(super) fn transfer(
    far: Far<'_>,
    mut command: Command,
    problems: &Problems,
    progress: &Progress,
    stop: &Stop,
) -> Result<Transferred, RepositoryError> {
    command.stdout(Stdio::piped());
    let failed = |error| RepositoryError::io(format!("transferring to {}", far.host()), error);
    let words = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&words);
    let hear = move |line: &str| {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() < MAX_WORDS {
            heard.extend(word(line));
        }
    };
    let mut running = Running::start_heard(command, hear).map_err(failed)?;
    let stdout = running.stdout();
    let before = progress.bytes_read.load(Ordering::Relaxed);
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| follow(stdout, before, progress));
        let ended = running.wait(None, stop);
        // Its end ends the pipe.
        drop(running);
        ended
    });
    let ended = ended.map_err(failed)?;
    let words = std::mem::take(&mut *words.lock().unwrap_or_else(PoisonError::into_inner));
    let verdict = verdict(ended.status.code());
    if verdict == Verdict::Failed {
        return Err(match far {
            Far::Ssh(ssh) => crate::repository::daemon::failure(ssh.remote(), &ended),
            Far::Daemon(daemon) => crate::repository::daemon::failure(daemon.remote(), &ended),
        });
    }
    let mut told = Transferred::default();
    let mut explained = verdict != Verdict::Lacking;
    for word in words {
        match word {
            Word::Problem(path, kind, why) => {
                problems.add(&path, kind, why);
                explained |= kind == ProblemKind::Unreadable;
                told.lacking.insert(path);
            }
            Word::NothingShared(why) => told.notes.push(format!("nothing was shared: {why}")),
            Word::Other(why) => told.notes.push(why),
            Word::Summary => {}
        }
    }
    if !explained {
        // It says that something is missing, and not what: no run may pass for whole.
        problems.add(b"/", ProblemKind::Unreadable, format_args!("rsync ended with {}: {}", ended.word(), ended.said));
    }
    Ok(told)
}

/// Reads how far it is. The lines end with carriage returns.
fn follow(stdout: Option<ChildStdout>, before: u64, progress: &Progress) {
    let Some(mut stdout) = stdout else { return };
    let mut buffer = [0; 4096];
    let mut line = Vec::new();
    while let Ok(read @ 1..) = stdout.read(&mut buffer) {
        for byte in buffer.get(..read).unwrap_or_default() {
            if !matches!(byte, b'\r' | b'\n') {
                // No line of interest is long.
                if line.len() < 1000 {
                    line.push(*byte);
                }
                continue;
            }
            if let Some(bytes) = transferred(&String::from_utf8_lossy(&line)) {
                progress.bytes_read.store(before.saturating_add(bytes), Ordering::Relaxed);
                progress.bytes_stored.store(before.saturating_add(bytes), Ordering::Relaxed);
            }
            line.clear();
        }
    }
}
