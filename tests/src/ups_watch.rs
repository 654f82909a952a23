//! The controller's own client of a NUT server, run by a story.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rackhaven_controller::nut::{UpsConfig, UpsIndex, UpsReading, UpsReport, watch};
use tokio::sync::mpsc;
use tokio::sync::watch::Sender;
use tokio::task::JoinHandle;

use crate::wait::PATIENCE;

/// Reads one UPS until dropped, and keeps what is reported.
#[derive(Debug)]
pub struct UpsWatch {
    pace: Sender<Duration>,
    reports: mpsc::Receiver<(UpsIndex, UpsReport)>,
    task: JoinHandle<()>,
}

impl UpsWatch {
    /// Reads the UPS of `config`, ten times a second.
    pub fn start(config: UpsConfig) -> Self {
        let pace = Sender::new(Duration::from_millis(100));
        let (sender, reports) = mpsc::channel(1024);
        let task = tokio::spawn(watch(UpsIndex(0), Arc::new(config), pace.subscribe(), sender));
        Self { pace, reports, task }
    }

    /// From now on it is read at this pace.
    pub fn set_pace(&self, pace: Duration) {
        self.pace.send_replace(pace);
    }

    /// The next report.
    ///
    /// # Errors
    /// When none comes.
    pub async fn next(&mut self) -> anyhow::Result<UpsReport> {
        let next = tokio::time::timeout(PATIENCE, self.reports.recv()).await.context("no report comes")?;
        Ok(next.context("reading has ended")?.1)
    }

    /// The first of the next reports that `take` finds something in.
    ///
    /// # Errors
    /// When none comes.
    pub async fn until<T>(&mut self, what: &str, take: impl Fn(UpsReport) -> Option<T>) -> anyhow::Result<T> {
        let found = async {
            loop {
                if let Some(found) = take(self.next().await?) {
                    return anyhow::Ok(found);
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.with_context(|| format!("waited for {what}"))?
    }

    /// The next reading whose status has the word.
    ///
    /// # Errors
    /// When none comes.
    pub async fn status(&mut self, word: &str) -> anyhow::Result<UpsReading> {
        self.until(word, |report| match report {
            UpsReport::Reading(reading, _) if reading.status.has(word) => Some(*reading),
            _ => None,
        })
        .await
    }

    /// Why it is lost, as soon as it is.
    ///
    /// # Errors
    /// When it goes on being read.
    pub async fn lost(&mut self) -> anyhow::Result<String> {
        self.until("a loss", |report| match report {
            UpsReport::Lost { reason } => Some(reason),
            UpsReport::Reading(..) => None,
        })
        .await
    }

    /// Whether nothing has been reported that was not taken yet.
    pub fn is_quiet(&self) -> bool {
        self.reports.is_empty()
    }
}

impl Drop for UpsWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
