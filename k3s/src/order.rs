//! Carries out an order, step by step.

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use rackhaven_proto::model::k3s::{K3sOrder, K3sTask};
use rackhaven_proto::v1;

use crate::clock::steady;
use crate::news::{Done, News};
use crate::preflight::Purpose;
use crate::root::Root;
use crate::stop::Stop;
use crate::{install, preflight, remove, rotate, snapshot};

/// What the steps of an order work with.
#[derive(Debug)]
pub struct Work<'a> {
    /// The node's files.
    pub root: &'a Root,
    /// Whether to end.
    pub stop: &'a Stop,
    /// What is said of it.
    pub news: News,
    /// What is said in the end.
    pub report: v1::K3sReport,
    /// Where the order's files are.
    pub artifacts: &'a Path,
    /// How long K3s may take until it runs.
    pub start_time: Duration,
}

impl Work<'_> {
    /// Performs a step and says what became of it.
    ///
    /// # Errors
    /// As the step; the error names it.
    pub fn step(&mut self, name: &str, perform: impl FnOnce(&mut Self) -> anyhow::Result<Done>) -> anyhow::Result<()> {
        self.news.begin(name);
        let ended = self.go_on().map_err(Into::into).and_then(|()| perform(self)).map_err(|error| format!("{error:#}"));
        self.news.end(&ended);
        ended.map(drop).map_err(|text| anyhow!("{name}: {text}"))
    }

    /// Refuses to go on once the engine is to stop.
    ///
    /// # Errors
    /// When it is.
    pub fn go_on(&self) -> io::Result<()> {
        if self.stop.is_requested() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "the engine was asked to stop"));
        }
        Ok(())
    }

    /// Says how far a step is.
    ///
    /// # Errors
    /// When the engine is to stop.
    pub fn progress(&mut self, done_bytes: u64, total_bytes: u64) -> io::Result<()> {
        self.news.progress(done_bytes, total_bytes);
        self.go_on()
    }

    /// Waits a moment.
    ///
    /// # Errors
    /// When the engine is to stop.
    pub fn pause(&self, time: Duration) -> io::Result<()> {
        let end = steady() + time;
        while steady() < end {
            self.go_on()?;
            std::thread::sleep(Duration::from_millis(20).min(time));
        }
        self.go_on()
    }
}

/// Carries out an order; what became of it stands in the news.
#[must_use]
pub fn carry_out(mut work: Work, order: &K3sOrder) -> v1::K3sNews {
    let done = match &order.task {
        K3sTask::Check { settings, fix } => {
            let purpose = Purpose::of(settings, order);
            work.step("preflight", |work| preflight::check(work, &purpose, *fix))
        }
        K3sTask::Install { settings, fix, .. } => install::install(&mut work, order, settings, *fix),
        K3sTask::Remove => remove::remove(&mut work),
        K3sTask::Snapshot { name, keep } => work.step("snapshot", |work| snapshot::save(work, name, *keep)),
        K3sTask::NewToken { old, new } => rotate::rotate(&mut work, old, new),
    };
    if let Err(error) = done {
        work.report.failure = crate::news::shown(&format!("{error:#}"));
    }
    let Work { news, report, .. } = work;
    news.report(report)
}
