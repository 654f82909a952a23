use std::time::Duration;

use rackhaven_proto::v1;
use serde_json::Value;
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{QUEUE_LENGTH, Wanted, WorkloadService, refused};
use crate::k3s::api::{Cluster, Line, Lines, LogQuery, Place, Select};
use crate::k3s::workloads::selector_words;
use crate::net::CallContext;
use crate::service::Answers;

/// Longer lines are cut, bytes.
const LINE_BYTES: usize = 16 * 1024;
/// So many bytes of lines go into one message, and so long a message waits to be filled.
const MESSAGE_BYTES: usize = 64 * 1024;
const GATHER: Duration = Duration::from_millis(10);
/// A log that is not followed may be silent so long in its midst.
const SILENCE: Duration = Duration::from_secs(30);
/// Of the pods of a Deployment so many are looked at.
const MOST_PODS: u32 = 500;

/// The pod to read, and of how many.
struct Chosen {
    pod: String,
    of: usize,
}

impl WorkloadService {
    pub(super) async fn read(
        &self,
        context: &CallContext,
        request: v1::ReadWorkloadLogsRequest,
    ) -> Result<Answers<v1::WorkloadLog>, Status> {
        let wanted = Wanted::of(request.object, &["Pod", "Deployment", "StatefulSet", "DaemonSet"], "the log")?;
        let cluster = self.cluster()?;
        let permit = self.stream()?;
        let chosen = choose(&cluster, &wanted).await?;
        let query = LogQuery {
            container: request.container,
            follow: request.follow,
            tail: request.tail.map(Into::into),
            since_s: request.since_seconds.map(Into::into),
            previous: request.previous,
        };
        let target = Wanted { kind: wanted.kind, namespace: wanted.namespace.clone(), name: wanted.name.clone() };
        self.audit(context, "ReadLogs", &[target.described()]).await?;
        let lines = cluster
            .log(&wanted.namespace, &chosen.pod, &query)
            .await
            .map_err(|error| if error.is_not_found() { wanted.not_found() } else { refused(error) })?;
        let (out, answers) = mpsc::channel(QUEUE_LENGTH);
        let follow = query.follow;
        tokio::spawn(async move {
            let _permit = permit;
            let first = v1::WorkloadLog {
                pod: chosen.pod,
                of_pods: u32::try_from(chosen.of).unwrap_or(u32::MAX),
                lines: Vec::new(),
            };
            if out.send(Ok(first)).await.is_ok() {
                tokio::select! {
                    () = pass_on(lines.with_longest(LINE_BYTES), follow, &out) => {}
                    () = out.closed() => {}
                }
            }
        });
        Ok(Box::pin(ReceiverStream::new(answers)))
    }
}

/// Of several pods one that runs.
async fn choose(cluster: &Cluster, wanted: &Wanted) -> Result<Chosen, Status> {
    if wanted.kind.name == "Pod" {
        return Ok(Chosen { pod: wanted.name.clone(), of: 1 });
    }
    let found = cluster.object(wanted.place(), &wanted.name).await.map_err(refused)?;
    let owner = found.ok_or_else(|| wanted.not_found())?;
    let none = || Status::not_found(format!("{} has no pods", wanted.described()));
    let select = Select { labels: selector_words(&owner["spec"]["selector"]).ok_or_else(none)?, fields: String::new() };
    let place = Place { api_version: "v1", plural: "pods", namespace: Some(&wanted.namespace) };
    let page = cluster.page(place, &select, MOST_PODS, None).await.map_err(refused)?;
    let runs = |pod: &&Value| {
        let leaving = pod["metadata"].get("deletionTimestamp").is_some();
        (leaving, pod["status"]["phase"] != "Running")
    };
    let best = page.items.iter().min_by_key(runs).ok_or_else(none)?;
    let pod = best["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    Ok(Chosen { pod, of: page.items.len() })
}

/// Sends lines as they come, many at a time where there are many.
async fn pass_on(mut lines: Lines, follow: bool, out: &Sender<Result<v1::WorkloadLog, Status>>) {
    let mut ended = false;
    while !ended {
        let first = if follow { Ok(lines.next().await) } else { tokio::time::timeout(SILENCE, lines.next()).await };
        let mut message = v1::WorkloadLog::default();
        let mut bytes = 0;
        let mut take = |line: Line| {
            let mut text = String::from_utf8_lossy(&line.bytes).into_owned();
            if line.is_cut {
                text.push('…');
            }
            bytes += text.len();
            message.lines.push(text);
            bytes < MESSAGE_BYTES
        };
        let mut failure = None;
        match first {
            Ok(Ok(Some(line))) => {
                let mut room = take(line);
                while room {
                    match tokio::time::timeout(GATHER, lines.next()).await {
                        Ok(Ok(Some(line))) => room = take(line),
                        Ok(Ok(None)) => (room, ended) = (false, true),
                        Ok(Err(error)) => (room, failure) = (false, Some(refused(error))),
                        Err(_) => room = false,
                    }
                }
            }
            Ok(Ok(None)) => ended = true,
            Ok(Err(error)) => failure = Some(refused(error)),
            Err(_) => {
                let message = format!("the log ended in its midst: nothing came for {} s", SILENCE.as_secs());
                failure = Some(Status::failed_precondition(message));
            }
        }
        if !message.lines.is_empty() && out.send(Ok(message)).await.is_err() {
            return;
        }
        if let Some(failure) = failure {
            let _ = out.send(Err(failure)).await;
            return;
        }
    }
}
