//! Programs that are killed, or refused something, at one system call of our choice (strace(1)).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::process::command;

/// `program` under strace, which notes these system calls in `log`.
pub fn traced(program: &Command, calls: &[&str], log: &Path) -> Command {
    wrapped(program, &[format!("--trace={}", calls.join(","))], log)
}

/// `program` with `fault` (as in strace's `inject`, such as `signal=KILL` or `error=ENOSPC`) at each thread's
/// `number`th call of `call`.
pub fn injured(program: &Command, call: &str, fault: &str, number: usize) -> Command {
    hurt(program, call, fault, &number.to_string(), None)
}

/// `program` to which these calls, apart by commas, fail with `error` whenever they are about this file.
pub fn refused_file(program: &Command, calls: &str, error: &str, file: &Path) -> Command {
    hurt(program, calls, &format!("error={error}"), "1+", Some(file))
}

fn hurt(program: &Command, calls: &str, fault: &str, when: &str, file: Option<&Path>) -> Command {
    let mut words = vec![format!("--trace={calls}"), format!("--inject={calls}:{fault}:when={when}")];
    if let Some(file) = file {
        words.push(format!("--trace-path={}", file.display()));
    }
    wrapped(program, &words, Path::new("/dev/null"))
}

fn wrapped(program: &Command, words: &[String], log: &Path) -> Command {
    let mut strace = command("strace");
    // With its filter it would be faster, and hurt nobody.
    strace.args(["--follow-forks", "-qqq", "-o"]).arg(log).args(words);
    strace.arg("--").arg(program.get_program()).args(program.get_args());
    strace
}

/// How often each system call was made in a log, by the thread that made it most.
///
/// # Errors
/// When it cannot be read.
pub fn counts(log: &Path) -> anyhow::Result<BTreeMap<String, usize>> {
    let text = fs::read_to_string(log).with_context(|| format!("reading {}", log.display()))?;
    let mut by_thread: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in text.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        // What was interrupted by another thread's is in two lines.
        let Some((name, _)) = call.trim_start().split_once('(').filter(|(name, _)| !name.starts_with('<')) else {
            continue;
        };
        *by_thread.entry((thread, name)).or_default() += 1;
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for ((_, name), count) in by_thread {
        let most = counts.entry(name.to_owned()).or_default();
        *most = count.max(*most);
    }
    Ok(counts)
}
