use std::io::Write;
use std::path::Path;

use crate::manifest::Record;
use crate::outcome::shown;

/// Most lines that a result keeps, and how much of them, bytes.
const MAX_LINES: usize = 1000;
const MAX_BYTES: usize = 256 * 1024;

/// What a dry run would do. All of it may be printed as it comes, for it may be more than fits into memory; the result
/// keeps the beginning.
pub(crate) struct Would {
    prints: bool,
    kept: Vec<String>,
    bytes: usize,
}

impl Would {
    pub(crate) fn new(prints: bool) -> Self {
        Self { prints, kept: Vec::new(), bytes: 0 }
    }

    /// What is printed, and what the result says.
    pub(crate) fn tell(&mut self, printed: &str, would: &str) {
        if self.prints {
            // Whoever closed it does not want to read it.
            let _ = writeln!(std::io::stdout(), "{printed}");
        }
        if self.kept.len() < MAX_LINES && self.bytes < MAX_BYTES {
            self.bytes += would.len();
            self.kept.push(would.to_owned());
        }
    }

    /// A thing that would be given back below `to`.
    pub(crate) fn give_back(&mut self, record: &Record, to: &Path) {
        let path = shown(&record.entry.path);
        self.tell(&path, &format!("write {}", to.join(path.trim_start_matches('/')).display()));
    }

    /// The beginning of it.
    pub(crate) fn kept(self) -> Vec<String> {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_LINES, Would};

    #[test]
    fn the_beginning_is_kept() {
        let mut would = Would::new(false);
        (0..2 * MAX_LINES).for_each(|n| would.tell("", &format!("write /{n}")));
        assert_eq!(would.kept().len(), MAX_LINES);
        let mut would = Would::new(false);
        (0..MAX_LINES).for_each(|_| would.tell("", &"x".repeat(16 * 1024)));
        assert_eq!(would.kept().len(), 16);
    }
}
