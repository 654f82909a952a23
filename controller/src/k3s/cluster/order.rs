use std::time::Duration;

use rackhaven_pki::{hex, random};
use rackhaven_proto::model::NodeName;
use rackhaven_proto::model::k3s::{Artifact, K3sOrder};
use rackhaven_proto::v1;
use rackhaven_proto::v1::controller_message::Body as ToAgent;
use rackhaven_proto::v1::k3s_finding::Level;
use rackhaven_proto::v1::k3s_order::Task;
use rackhaven_proto::v1::k3s_step::State;
use tokio::time::timeout;

use super::Sequence;
use super::teller::fit;
use crate::fleet::Outbox;
use crate::k3s::Heard;

/// How long an order may take.
const LONGEST: Duration = Duration::from_secs(3600);
/// How long a node may be away before and during it.
const AWAY: Duration = Duration::from_secs(180);
/// How often it is looked whether it is back.
const LOOK: Duration = Duration::from_millis(500);
/// How long it may take to begin its answer.
const BEGIN: Duration = Duration::from_secs(10);

/// What came of an order.
#[derive(Debug)]
pub(super) struct Carried {
    /// What the node tells at the end.
    pub(super) report: v1::K3sReport,
    /// Whether anything was left to do.
    pub(super) changed: bool,
    /// So many things were looked at, and so many of them are not quite well.
    pub(super) looked_at: usize,
    pub(super) warnings: usize,
}

/// The engine's step before which nothing is changed on a node (docs/k3s.md, "K3s on a node").
const FIRST_CHANGE: &str = "claim";

/// Why an order was not carried out.
#[derive(Debug)]
pub(super) struct Refused {
    /// For a person.
    pub(super) why: String,
    /// Whether the node is known to be as it was before.
    pub(super) untouched: bool,
}

impl From<Refused> for String {
    fn from(refused: Refused) -> Self {
        refused.why
    }
}

impl From<String> for Refused {
    /// Before it was given.
    fn from(why: String) -> Self {
        Self { why, untouched: true }
    }
}

impl Sequence {
    /// Has a node carry out a task, through broken connections and new runs of its agent.
    ///
    /// # Errors
    /// Why it was not carried out.
    pub(super) async fn order(
        &self,
        node: &NodeName,
        task: Task,
        artifacts: Vec<Artifact>,
    ) -> Result<Carried, Refused> {
        let id = hex(&random::<16>().map_err(|error| error.to_string())?);
        let order = v1::K3sOrder {
            id: id.clone(),
            requested_by: self.requested_by.clone(),
            artifacts: artifacts.iter().cloned().map(Into::into).collect(),
            task: Some(task),
        };
        K3sOrder::try_from(order.clone()).map_err(|invalid| invalid.to_string())?;
        let desk = self.core.k3s_orders.clone();
        let mut ordered = desk.begin(id, node.clone(), artifacts);
        let mut told = v1::K3sNews::default();
        let mut was_given = false;
        let carried = async {
            loop {
                let outbox = self.session(node).await?;
                if was_given {
                    // What keeps breaking it off may do so at once.
                    tokio::time::sleep(LOOK).await;
                }
                was_given = true;
                match timeout(BEGIN, outbox.send(ToAgent::K3s(order.clone()))).await {
                    Ok(true) => {}
                    Ok(false) | Err(_) => continue,
                }
                let mut heard = tokio::select! {
                    heard = ordered.news.recv() => heard,
                    // The session may have been dead already.
                    () = ends(&outbox) => continue,
                    () = tokio::time::sleep(BEGIN) => {
                        let silent = "it has not answered within";
                        return Err(format!("{silent} {} s; is its agent an older one?", BEGIN.as_secs()));
                    }
                };
                while let Some(Heard::News(news)) = heard {
                    self.teller.news(node, &mut told, &news);
                    if let Some(report) = news.report {
                        return Ok::<_, String>(report);
                    }
                    heard = ordered.news.recv().await;
                }
            }
        };
        let late = format!("it has not come to an end within {} s", LONGEST.as_secs());
        let report: v1::K3sReport = match timeout(LONGEST, carried).await.unwrap_or(Err(late)) {
            Ok(report) => report,
            Err(why) => return Err(Refused { why, untouched: !was_given }),
        };
        if !report.failure.is_empty() {
            return Err(Refused { why: fit(&report.failure), untouched: is_untouched(&told.steps) });
        }
        let changed = told.steps.iter().any(|step| step.state() == State::Done);
        let warnings = told.findings.iter().filter(|finding| finding.level() == Level::Warning).count();
        Ok(Carried { report, changed, looked_at: told.findings.len(), warnings })
    }

    /// A node's session, which is waited for.
    async fn session(&self, node: &NodeName) -> Result<Outbox, String> {
        let there = async {
            let mut told = false;
            loop {
                if let Some(outbox) = self.core.registry.outbox(node).filter(|outbox| !outbox.is_closed()) {
                    if told {
                        self.teller.step(node, "connection", State::Done, "");
                    }
                    return outbox;
                }
                if !told {
                    self.teller.step(node, "connection", State::Running, "it is not connected; waiting for it");
                    told = true;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        match timeout(AWAY, there).await {
            Ok(outbox) => Ok(outbox),
            Err(_) => Err(format!("it is not connected, and has not come back within {} s", AWAY.as_secs())),
        }
    }
}

/// Whether a node that has failed says of a step that it failed, before anything was changed. An engine that was killed does
/// not say so.
fn is_untouched(steps: &[v1::K3sStep]) -> bool {
    steps.iter().any(|step| step.state() == State::Failed) && !steps.iter().any(|step| step.name == FIRST_CHANGE)
}

/// Waits for the end of a session.
async fn ends(outbox: &Outbox) {
    while !outbox.is_closed() {
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{State, is_untouched, v1};

    #[test]
    fn untouched_is_what_failed_before_the_first_change() {
        for (steps, untouched) in [
            (&[][..], false),
            (&[("fetch k3s", State::Failed)], true),
            (&[("preflight", State::Unchanged), ("files", State::Failed)], true),
            (&[("preflight", State::Unchanged), ("files", State::Running)], false),
            (&[("files", State::Done), ("claim", State::Done), ("program", State::Failed)], false),
            (&[("files", State::Done), ("claim", State::Failed)], false),
        ] {
            let step = |(name, state): &(&str, State)| v1::K3sStep {
                name: (*name).to_owned(),
                state: (*state).into(),
                ..Default::default()
            };
            assert_eq!(is_untouched(&steps.iter().map(step).collect::<Vec<_>>()), untouched, "{steps:?}");
        }
    }
}
