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

impl Sequence {
    /// Has a node carry out a task, through broken connections and new runs of its agent.
    ///
    /// # Errors
    /// Why it was not carried out.
    pub(super) async fn order(&self, node: &NodeName, task: Task, artifacts: Vec<Artifact>) -> Result<Carried, String> {
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
        let carried = async {
            loop {
                let outbox = self.session(node).await?;
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
        let report: v1::K3sReport = match timeout(LONGEST, carried).await {
            Ok(report) => report?,
            Err(_) => return Err(format!("it has not come to an end within {} s", LONGEST.as_secs())),
        };
        if !report.failure.is_empty() {
            return Err(fit(&report.failure));
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

/// Waits for the end of a session.
async fn ends(outbox: &Outbox) {
    while !outbox.is_closed() {
        tokio::time::sleep(LOOK).await;
    }
}
