//! What is said of an order, while it is carried out and in the end.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use prost::Message;
use rackhaven_proto::convert::k3s_node::MAX_K3S_TEXT_BYTES;
use rackhaven_proto::v1;
use rackhaven_proto::v1::k3s_step::State;

use crate::clock::steady;
use crate::files;

/// The status is not written more often while a step goes on.
const RHYTHM: Duration = Duration::from_millis(200);

/// Text of others, fit for a terminal and for the news.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.trim().chars() {
        let letter = if letter == '\t' { ' ' } else { letter };
        let letter = if letter.is_control() { '\u{fffd}' } else { letter };
        if shown.len() + letter.len_utf8() > MAX_K3S_TEXT_BYTES {
            break;
        }
        shown.push(letter);
    }
    shown
}

/// How a step ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// Nothing was left to do.
    Unchanged(String),
    /// It did this.
    Changed(String),
}

/// The news of one order, and the file in which they stand.
#[derive(Debug)]
pub struct News {
    news: v1::K3sNews,
    status: Option<PathBuf>,
    written: Option<Instant>,
}

impl News {
    /// Of this order; written to this file, if there is one.
    #[must_use]
    pub fn new(order_id: &str, status: Option<&Path>) -> Self {
        let news = v1::K3sNews { order_id: order_id.to_owned(), ..v1::K3sNews::default() };
        Self { news, status: status.map(Path::to_owned), written: None }
    }

    /// A step begins.
    pub fn begin(&mut self, name: &str) {
        let step = v1::K3sStep { name: name.to_owned(), state: State::Running.into(), ..v1::K3sStep::default() };
        self.news.steps.push(step);
        self.write();
    }

    /// How far the step is; may be said as often as one likes.
    pub fn progress(&mut self, done_bytes: u64, total_bytes: u64) {
        let now = steady();
        if let Some(step) = self.news.steps.last_mut() {
            (step.done_bytes, step.total_bytes) = (done_bytes, total_bytes);
        }
        if self.written.is_none_or(|written| now.duration_since(written) >= RHYTHM) {
            self.write();
        }
    }

    /// What the step waits for.
    pub fn waits(&mut self, text: &str) {
        let text = shown(text);
        match self.news.steps.last_mut() {
            Some(step) if step.text != text => step.text = text,
            _ => return,
        }
        self.write();
    }

    /// The step has ended.
    pub fn end(&mut self, ended: &Result<Done, String>) {
        let (state, text) = match ended {
            Ok(Done::Unchanged(text)) => (State::Unchanged, text),
            Ok(Done::Changed(text)) => (State::Done, text),
            Err(text) => (State::Failed, text),
        };
        if let Some(step) = self.news.steps.last_mut() {
            (step.state, step.text) = (state.into(), shown(text));
        }
        self.write();
    }

    /// What a look found.
    pub fn found(&mut self, findings: Vec<v1::K3sFinding>) {
        self.news.findings = findings;
        self.write();
    }

    /// All that was said, with the report.
    #[must_use]
    pub fn report(mut self, report: v1::K3sReport) -> v1::K3sNews {
        self.news.report = Some(report);
        self.news
    }

    fn write(&mut self) {
        self.written = Some(steady());
        if let Some(status) = &self.status {
            // Whoever watches reads it the next time; the result is what counts.
            let _ = files::replace_quickly(status, &self.news.encode_to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use rackhaven_proto::v1;

    use super::{Done, MAX_K3S_TEXT_BYTES, News, shown};

    #[test]
    fn whatever_is_said_is_short_and_plain() {
        let folder = tempfile::tempdir().unwrap();
        let status = folder.path().join("status");
        let mut news = News::new("order-1", Some(&status));
        news.begin("binary");
        news.progress(1, 2);
        news.end(&Ok(Done::Changed("ä\u{1b}[2J\n".repeat(5000))));
        news.begin("start");
        let written = v1::K3sNews::decode(std::fs::read(&status).unwrap().as_slice()).unwrap();
        assert_eq!((written.steps.len(), written.steps[0].done_bytes), (2, 1));
        let text = &written.steps[0].text;
        assert!(
            text.starts_with("ä") && text.len() <= MAX_K3S_TEXT_BYTES && !text.contains(char::is_control),
            "{text}"
        );
        let all = news.report(v1::K3sReport::default());
        assert_eq!(all.steps, written.steps);
        assert_eq!(shown("a\tb\r"), "a b");
    }
}
