//! What rsync says, and what it means.

use crate::outcome::ProblemKind;

/// How a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Everything is there.
    Whole,
    /// Everything that could be is there; what could not be is told line by line.
    Lacking,
    /// Files went away meanwhile.
    Vanished,
    /// It did not come to its end.
    Failed,
}

/// From the exit status: 24 for files that vanished, 23 for files that could not be read or written. Everything else is a
/// failure.
pub(super) fn verdict(status: Option<i32>) -> Verdict {
    match status {
        Some(0) => Verdict::Whole,
        Some(23) => Verdict::Lacking,
        Some(24) => Verdict::Vanished,
        _ => Verdict::Failed,
    }
}

/// Something that rsync says of one path, or of none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Of this path.
    Problem(Vec<u8>, ProblemKind, String),
    /// A tree that was to be shared with is not there.
    NothingShared(String),
    /// That the whole is not whole, which the exit status says too.
    Summary,
    /// Of no path.
    Other(String),
}

/// Reads one line of rsync's standard error.
pub(super) fn word(line: &str) -> Option<Word> {
    let line = line.trim();
    if line.is_empty() {
        return None;
    }
    if line.starts_with("rsync error:") || line.starts_with("rsync warning:") {
        return Some(Word::Summary);
    }
    if line.contains("-dest arg does not exist") {
        return Some(Word::NothingShared(line.to_owned()));
    }
    if let Some(path) = quoted(line, "file has vanished: ") {
        return Some(Word::Problem(path, ProblemKind::Vanished, "it went away before it was read".to_owned()));
    }
    // rsync: [sender] send_files failed to open "/a/b": Permission denied (13)
    let Some((before, rest)) = line.split_once(" \"") else { return Some(Word::Other(line.to_owned())) };
    let Some((path, why)) = rest.split_once("\": ").or_else(|| rest.split_once("\" ")) else {
        return Some(Word::Other(line.to_owned()));
    };
    let doing = before.rsplit(']').next().unwrap_or(before).trim();
    let kind = if why.contains("No such file or directory") && before.contains("[sender]") {
        ProblemKind::Vanished
    } else {
        ProblemKind::Unreadable
    };
    Some(Word::Problem(unescaped(path), kind, format!("{doing}: {why}")))
}

fn quoted(line: &str, before: &str) -> Option<Vec<u8>> {
    let rest = line.split_once(before)?.1.strip_prefix('"')?;
    Some(unescaped(rest.strip_suffix('"').unwrap_or(rest)))
}

/// rsync writes what is not printable as `\#` and three octal digits.
pub(super) fn unescaped(text: &str) -> Vec<u8> {
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let octal = rest
            .strip_prefix(b"\\#")
            .and_then(|after| after.get(..3))
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                path.push(byte);
                rest = rest.get(5..).unwrap_or_default();
            }
            None => {
                path.push(*first);
                rest = others;
            }
        }
    }
    path
}

/// How many bytes were transferred, by a line of `--info=progress2`.
pub(super) fn transferred(line: &str) -> Option<u64> {
    let mut words = line.split_whitespace();
    let bytes: String = words.next()?.chars().filter(|c| !matches!(c, ',' | '.')).collect();
    words.next().filter(|percent| percent.ends_with('%'))?;
    bytes.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Verdict, Word, transferred, verdict, word};
    use crate::outcome::ProblemKind;

    #[test]
    fn what_an_exit_status_means() {
        let table = [
            (Some(0), Verdict::Whole),
            (Some(23), Verdict::Lacking),
            (Some(24), Verdict::Vanished),
            (Some(11), Verdict::Failed),
            (Some(12), Verdict::Failed),
            (Some(30), Verdict::Failed),
            (Some(255), Verdict::Failed),
            (None, Verdict::Failed),
        ];
        for (status, expected) in table {
            assert_eq!(verdict(status), expected, "{status:?}");
        }
    }

    #[test]
    fn what_a_line_means() {
        let problem = |path: &[u8], kind, why: &str| Some(Word::Problem(path.to_vec(), kind, why.to_owned()));
        let table = [
            ("", None),
            (
                "rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1347)",
                Some(Word::Summary),
            ),
            (
                "rsync warning: some files vanished before they could be transferred (code 24) at main.c(1347)",
                Some(Word::Summary),
            ),
            (
                "file has vanished: \"/a/b \\#303x\"",
                problem(b"/a/b \xc3x", ProblemKind::Vanished, "it went away before it was read"),
            ),
            (
                "rsync: [sender] send_files failed to open \"/a/b\": Permission denied (13)",
                problem(b"/a/b", ProblemKind::Unreadable, "send_files failed to open: Permission denied (13)"),
            ),
            (
                "rsync: [sender] link_stat \"/a/c\" failed: No such file or directory (2)",
                problem(b"/a/c", ProblemKind::Vanished, "link_stat: failed: No such file or directory (2)"),
            ),
            (
                "rsync: [generator] mknod \"/n/j/x.partial/dev\" failed: Operation not permitted (1)",
                problem(b"/n/j/x.partial/dev", ProblemKind::Unreadable, "mknod: failed: Operation not permitted (1)"),
            ),
            (
                "--link-dest arg does not exist: ../x",
                Some(Word::NothingShared("--link-dest arg does not exist: ../x".to_owned())),
            ),
            ("Warning: something", Some(Word::Other("Warning: something".to_owned()))),
        ];
        for (line, expected) in table {
            assert_eq!(word(line), expected, "{line}");
        }
    }

    #[test]
    fn how_far_it_is() {
        assert_eq!(transferred("  1,234,567  45%  10.00MB/s    0:00:10 (xfr#5, to-chk=100/1000)"), Some(1_234_567));
        assert_eq!(transferred("      0   0%    0.00kB/s    0:00:00"), Some(0));
        for other in ["", "sending incremental file list", "a 5"] {
            assert_eq!(transferred(other), None, "{other}");
        }
    }
}
