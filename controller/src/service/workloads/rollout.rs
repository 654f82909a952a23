use std::sync::Arc;
use std::time::Duration;

use rackhaven_proto::v1;
use rackhaven_proto::v1::rollout_request::Action;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{QUEUE_LENGTH, Wanted, WorkloadService, refused};
use crate::k3s::api::{Cluster, Place, Select};
use crate::k3s::workloads::{Progress, Revision, progress, revisions, selector_words, undo};
use crate::net::CallContext;
use crate::service::Answers;

/// Between two looks at a Deployment.
const LOOK: Duration = Duration::from_millis(500);
/// So many looks in a row may fail.
const MOST_FAILURES: u32 = 10;
/// Of the ReplicaSets of a Deployment so many are looked at.
const MOST_SETS: u32 = 500;

impl WorkloadService {
    pub(super) async fn watch_one(&self, request: v1::WatchRolloutRequest) -> Result<Answers<v1::RolloutNews>, Status> {
        let wanted = Wanted::of(request.object, &["Deployment"], "the rollout")?;
        let cluster = self.cluster()?;
        let permit = self.stream()?;
        // Whether it is there is the call's own answer.
        look(&cluster, &wanted).await?;
        let (out, answers) = mpsc::channel(QUEUE_LENGTH);
        tokio::spawn(async move {
            let _permit = permit;
            tokio::select! {
                () = tell(&cluster, &wanted, &out) => {}
                () = out.closed() => {}
            }
        });
        Ok(Box::pin(ReceiverStream::new(answers)))
    }

    pub(super) async fn revisions_of(
        &self,
        request: v1::ListRevisionsRequest,
    ) -> Result<v1::ListRevisionsResponse, Status> {
        let wanted = Wanted::of(request.object, &["Deployment"], "the history")?;
        let (_, all) = history(&*self.cluster()?, &wanted).await?;
        let told = |revision: Revision| v1::Revision {
            number: revision.number,
            change_cause: revision.change_cause,
            images: revision.images,
            created_unix_ms: revision.created_ms,
        };
        Ok(v1::ListRevisionsResponse { revisions: all.into_iter().map(told).collect() })
    }

    pub(super) async fn roll(
        &self,
        context: &CallContext,
        request: v1::RolloutRequest,
    ) -> Result<v1::RolloutResponse, Status> {
        let action = request.action.ok_or_else(|| Status::invalid_argument("action: is missing"))?;
        let (kinds, what): (&[&str], _) = match &action {
            Action::Restart(_) => (&["Deployment", "StatefulSet", "DaemonSet"], "a restart"),
            Action::Undo(_) => (&["Deployment"], "going back"),
        };
        let wanted = Wanted::of(request.object, kinds, what)?;
        let cluster = self.cluster()?;
        let done = |skipped: &str| v1::RolloutResponse { kind: wanted.kind.qualified(), skipped: skipped.to_owned() };
        match action {
            Action::Restart(_) => {
                let object = look(&cluster, &wanted).await?;
                if object["spec"]["paused"] == true {
                    return Err(Status::failed_precondition(format!(
                        "{} is paused: it cannot be restarted",
                        wanted.name
                    )));
                }
                self.audit(context, "Rollout", &[format!("{}: restart", wanted.described())]).await?;
                let now = jiff::Timestamp::from_millisecond(self.core.clock.wall_ms()).unwrap_or_default();
                let patch = json!({ "spec": { "template": { "metadata": { "annotations": {
                    "kubectl.kubernetes.io/restartedAt": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string() } } } } });
                cluster.merge(wanted.place(), &wanted.name, &patch).await.map_err(refused)?;
                Ok(done(""))
            }
            Action::Undo(v1::RolloutUndo { to_revision }) => {
                let (deployment, all) = history(&cluster, &wanted).await?;
                let operations = undo(&deployment, &all, to_revision).map_err(Status::failed_precondition)?;
                let Some(operations) = operations else {
                    return Ok(done("current template already matches revision"));
                };
                let target = match to_revision {
                    0 => format!("{}: undo", wanted.described()),
                    to => format!("{}: undo to revision {to}", wanted.described()),
                };
                self.audit(context, "Rollout", &[target]).await?;
                cluster.operate(wanted.place(), &wanted.name, &operations).await.map_err(refused)?;
                Ok(done(""))
            }
        }
    }
}

async fn look(cluster: &Cluster, wanted: &Wanted) -> Result<Value, Status> {
    let found = cluster.object(wanted.place(), &wanted.name).await.map_err(refused)?;
    found.ok_or_else(|| wanted.not_found())
}

/// Tells each change of how far it is, until it is there.
async fn tell(cluster: &Arc<Cluster>, wanted: &Wanted, out: &Sender<Result<v1::RolloutNews, Status>>) {
    let (mut told, mut failures) = (String::new(), 0);
    loop {
        let (text, done) = match cluster.object(wanted.place(), &wanted.name).await {
            Ok(None) => return drop(out.send(Err(wanted.not_found())).await),
            Ok(Some(deployment)) => match progress(&deployment) {
                Progress::Waiting(text) => (text, false),
                Progress::Done(text) => (text, true),
                Progress::Failed(why) => return drop(out.send(Err(Status::failed_precondition(why))).await),
            },
            Err(error) if failures >= MOST_FAILURES || !error.is_passing() => {
                return drop(out.send(Err(refused(error))).await);
            }
            Err(_) => {
                failures += 1;
                tokio::time::sleep(LOOK).await;
                continue;
            }
        };
        failures = 0;
        if text != told {
            told.clone_from(&text);
            let news = v1::RolloutNews { text, done };
            if out.send(Ok(news)).await.is_err() || done {
                return;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A Deployment and its forms.
async fn history(cluster: &Cluster, wanted: &Wanted) -> Result<(Value, Vec<Revision>), Status> {
    let deployment = look(cluster, wanted).await?;
    let labels = selector_words(&deployment["spec"]["selector"]).unwrap_or_default();
    let place = Place { api_version: "apps/v1", plural: "replicasets", namespace: Some(&wanted.namespace) };
    let page = cluster.page(place, &Select { labels, fields: String::new() }, MOST_SETS, None).await;
    let all = revisions(&deployment, &page.map_err(refused)?.items);
    Ok((deployment, all))
}
