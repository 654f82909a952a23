use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use kube::client::Body;

use super::cluster::chain;
use super::error::ApiError;

/// The longest line that is kept whole, bytes.
const MAX_LINE_BYTES: usize = 8 * 1024 * 1024;

/// A line of an answer that comes bit by bit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its bytes, without its end.
    pub bytes: Bytes,
    /// Whether more of it did not fit.
    pub is_cut: bool,
}

/// An answer that comes bit by bit, by lines.
pub struct Lines {
    what: String,
    server: String,
    body: Body,
    cutter: Cutter,
    ended: bool,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("what", &self.what).field("server", &self.server).finish_non_exhaustive()
    }
}

impl Lines {
    pub(super) fn new(what: &str, server: &str, body: Body) -> Self {
        let cutter = Cutter { most: MAX_LINE_BYTES, ..Cutter::default() };
        Self { what: what.to_owned(), server: server.to_owned(), body, cutter, ended: false }
    }

    /// Cuts lines that are longer than so many bytes.
    pub fn with_longest(mut self, bytes: usize) -> Self {
        self.cutter.most = bytes;
        self
    }

    /// What was asked for, and the server that answers.
    pub(super) fn origin(&self) -> (&str, &str) {
        (&self.what, &self.server)
    }

    /// The next line; none at the end. It can be dropped while it waits, and nothing is lost.
    ///
    /// # Errors
    /// When the connection ends before the answer does.
    pub async fn next(&mut self) -> Result<Option<Line>, ApiError> {
        loop {
            if let Some(line) = self.cutter.line() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(self.cutter.rest());
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.cutter.push(&data);
                    }
                }
                Some(Err(error)) => {
                    self.ended = true;
                    let tried = vec![format!("{}: {}", self.server, chain(&error))];
                    return Err(ApiError::Unreachable { what: self.what.clone(), tried });
                }
                None => self.ended = true,
            }
        }
    }
}

/// Cuts bytes into lines.
#[derive(Debug, Default)]
struct Cutter {
    bytes: BytesMut,
    most: usize,
    /// The line's beginning was given out, and the rest of it is left out.
    skipping: bool,
}

impl Cutter {
    fn push(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(data);
    }

    fn line(&mut self) -> Option<Line> {
        loop {
            let end = self.bytes.iter().position(|byte| *byte == b'\n');
            if self.skipping {
                let passed = end.map_or(self.bytes.len(), |end| end + 1);
                self.bytes.advance(passed);
                end?;
                self.skipping = false;
                continue;
            }
            return match end {
                Some(end) if end <= self.most => {
                    let line = self.bytes.split_to(end).freeze();
                    self.bytes.advance(1);
                    Some(Line { bytes: line, is_cut: false })
                }
                None if self.bytes.len() <= self.most => None,
                _ => {
                    self.skipping = true;
                    Some(Line { bytes: self.bytes.split_to(self.most).freeze(), is_cut: true })
                }
            };
        }
    }

    fn rest(&mut self) -> Option<Line> {
        let rest = self.bytes.split().freeze();
        (!rest.is_empty() && !self.skipping).then_some(Line { bytes: rest, is_cut: false })
    }
}

#[cfg(test)]
mod tests {
    use super::Cutter;

    /// However the bytes come, the lines are the same.
    #[test]
    fn lines_golden() {
        let text = b"one\n\nlonger than ten\nten bytes.\nend";
        for size in 1..text.len() {
            let mut cutter = Cutter { most: 10, ..Cutter::default() };
            let mut lines = Vec::new();
            for piece in text.chunks(size) {
                cutter.push(piece);
                lines.extend(std::iter::from_fn(|| cutter.line()));
            }
            lines.extend(cutter.rest());
            let lines: Vec<_> =
                lines.iter().map(|line| (std::str::from_utf8(&line.bytes).unwrap(), line.is_cut)).collect();
            let expected = [("one", false), ("", false), ("longer tha", true), ("ten bytes.", false), ("end", false)];
            assert_eq!(lines, expected, "{size}");
        }
    }
}
