use std::sync::Arc;
use std::time::Duration;

use rackhaven_proto::model::NodeName;
use rackhaven_proto::v1;
use rackhaven_proto::v1::k3s_step::State;
use tokio::sync::mpsc;
use tonic::Status;

use super::Cluster;
use crate::k3s::step;

/// Messages that wait for who listens. If there are more, the news that something is still under way is lost first.
const QUEUE_LENGTH: usize = 256;
/// How long the last message waits for who listens.
const FAREWELL: Duration = Duration::from_secs(10);
/// Most steps and findings that a node may tell of, and the longest text of each, characters.
const MOST_OF_NODE: usize = 64;
const MOST_CHARS: usize = 600;

/// What who listens to a sequence gets.
pub type Progress = Result<v1::K3sProgress, Status>;

/// Tells how far a sequence is. It goes on when nobody listens.
#[derive(Debug, Clone)]
pub struct Teller {
    sender: mpsc::Sender<Progress>,
    /// Whose sequence it is.
    cluster: Arc<Cluster>,
}

impl Teller {
    /// A teller of what goes on with a cluster, and what listens to it.
    pub fn new(cluster: Arc<Cluster>) -> (Self, mpsc::Receiver<Progress>) {
        let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
        (Self { sender, cluster }, receiver)
    }

    /// A node's step.
    pub fn step(&self, node: &NodeName, name: &str, state: State, text: impl Into<String>) {
        self.tell(step(node.as_str(), name, state, text));
    }

    /// What a node tells of an order, as far as it has not been told: `before` is what that was.
    pub fn news(&self, node: &NodeName, before: &mut v1::K3sNews, news: &v1::K3sNews) {
        let steps: Vec<v1::K3sStep> = news.steps.iter().take(MOST_OF_NODE).map(fit_step).collect();
        for (index, step) in steps.iter().enumerate() {
            if before.steps.get(index) != Some(step) {
                self.tell(v1::K3sProgress { node: node.to_string(), step: Some(step.clone()), ..Default::default() });
            }
        }
        let findings: Vec<v1::K3sFinding> = news.findings.iter().take(MOST_OF_NODE).map(fit_finding).collect();
        if findings != before.findings {
            self.tell(v1::K3sProgress { node: node.to_string(), findings: findings.clone(), ..Default::default() });
        }
        (before.steps, before.findings) = (steps, findings);
    }

    /// How each node ended, or why nothing was begun: the last message.
    pub async fn end(self, ended: Result<Vec<v1::K3sEnded>, String>) {
        let last = match ended {
            Ok(ended) => Ok(v1::K3sProgress { ended, ..Default::default() }),
            Err(why) => Err(Status::failed_precondition(why)),
        };
        // It goes on without who has gone.
        let _ = self.sender.send_timeout(last, FAREWELL).await;
    }

    /// Tells it, and notes it for who asks later.
    pub(super) fn tell(&self, progress: v1::K3sProgress) {
        self.cluster.note(&progress);
        let _ = self.sender.try_send(Ok(progress));
    }
}

fn fit_step(step: &v1::K3sStep) -> v1::K3sStep {
    v1::K3sStep { name: fit(&step.name), text: fit(&step.text), ..step.clone() }
}

fn fit_finding(finding: &v1::K3sFinding) -> v1::K3sFinding {
    v1::K3sFinding {
        check: fit(&finding.check),
        text: fit(&finding.text),
        remedy: fit(&finding.remedy),
        level: finding.level,
    }
}

/// A node's words, fit to be shown and logged.
pub(super) fn fit(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MOST_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::{Arc, Cluster, MOST_CHARS, State, Teller, v1};

    fn step(name: &str, state: State, text: &str) -> v1::K3sStep {
        v1::K3sStep { name: name.to_owned(), state: state.into(), text: text.to_owned(), ..Default::default() }
    }

    #[test]
    fn only_what_is_new_is_told_and_fit_to_be_shown() {
        let folder = tempfile::tempdir().unwrap();
        let (teller, mut heard) = Teller::new(Arc::new(Cluster::open(folder.path())));
        let node = "pi-1".parse().unwrap();
        let mut before = v1::K3sNews::default();
        let long = "x".repeat(MOST_CHARS + 5);
        let rounds = [
            vec![step("binary", State::Running, "")],
            vec![step("binary", State::Running, "")],
            vec![step("binary", State::Done, "\x1b[1mwell"), step("unit", State::Running, &long)],
        ];
        for steps in rounds {
            teller.news(&node, &mut before, &v1::K3sNews { steps, ..Default::default() });
        }
        let mut told = Vec::new();
        while let Ok(Ok(progress)) = heard.try_recv() {
            let step = progress.step.unwrap();
            told.push((step.name.clone(), step.state(), step.text.chars().count()));
        }
        let expected =
            [("binary", State::Running, 0), ("binary", State::Done, 7), ("unit", State::Running, MOST_CHARS)];
        assert_eq!(told, expected.map(|(name, state, chars)| (name.to_owned(), state, chars)));
    }
}
