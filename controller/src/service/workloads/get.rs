use std::sync::Arc;

use rackhaven_proto::v1;
use serde_json::Value;
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{QUEUE_LENGTH, Wanted, WorkloadService, refused};
use crate::core::Core;
use crate::k3s::api::{Cluster, Event, Place, Select};
use crate::k3s::workloads::{Kind, State};
use crate::service::Answers;

/// Objects that are asked for at a time.
const PAGE: u32 = 250;
/// Of whole objects so many bytes are sent at a time; a larger one goes alone.
const MESSAGE_BYTES: usize = 512 * 1024;
/// The longest selector, bytes.
const MOST_SELECTOR_BYTES: usize = 4096;

/// Turns objects into messages.
struct Shape {
    core: Arc<Core>,
    kind: &'static Kind,
    whole: bool,
}

impl Shape {
    fn first(&self) -> v1::Workloads {
        let columns = self.kind.columns.iter();
        let columns = columns.map(|(title, wide)| v1::WorkloadColumn { title: (*title).to_owned(), wide: *wide });
        v1::Workloads { columns: columns.collect(), ..v1::Workloads::default() }
    }

    fn messages(&self, mut objects: Vec<Value>, deleted: bool) -> Vec<v1::Workloads> {
        if let Some(key) = self.kind.sorted_by {
            objects.sort_by_key(key);
        }
        if self.whole {
            return self.whole_ones(objects);
        }
        let now_ms = self.core.clock.wall_ms();
        let row = |object: &Value| {
            let row = self.kind.row(object, now_ms);
            let state = match row.state {
                State::Plain => v1::workload_row::State::Unspecified,
                State::Good => v1::workload_row::State::Good,
                State::Warning => v1::workload_row::State::Warning,
                State::Bad => v1::workload_row::State::Bad,
            };
            v1::WorkloadRow { namespace: row.namespace, cells: row.cells, state: state.into(), deleted }
        };
        vec![v1::Workloads { rows: objects.iter().map(row).collect(), ..v1::Workloads::default() }]
    }

    fn whole_ones(&self, objects: Vec<Value>) -> Vec<v1::Workloads> {
        let mut messages = vec![v1::Workloads::default()];
        let mut bytes = 0;
        for mut object in objects {
            if let Some(fields) = object.as_object_mut() {
                // In a list they do not say what they are.
                fields.insert("apiVersion".to_owned(), self.kind.api_version.into());
                fields.insert("kind".to_owned(), self.kind.name.into());
            }
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("managedFields");
            }
            let text = object.to_string();
            if bytes > 0 && bytes + text.len() > MESSAGE_BYTES {
                messages.push(v1::Workloads::default());
                bytes = 0;
            }
            bytes += text.len();
            if let Some(last) = messages.last_mut() {
                last.objects.push(text);
            }
        }
        messages
    }
}

type Out = Sender<Result<v1::Workloads, Status>>;

impl WorkloadService {
    pub(super) async fn get_workloads(
        &self,
        request: v1::GetWorkloadsRequest,
    ) -> Result<Answers<v1::Workloads>, Status> {
        let wanted = Wanted::read(request.object)?;
        if request.labels.len() > MOST_SELECTOR_BYTES {
            return Err(Status::invalid_argument(format!("labels: more than {MOST_SELECTOR_BYTES} bytes")));
        }
        if request.all_namespaces && !wanted.name.is_empty() {
            return Err(Status::invalid_argument("a name is looked for in one namespace, not in all"));
        }
        let cluster = self.cluster()?;
        let permit = self.stream()?;
        let mut select = Select { labels: request.labels, fields: String::new() };
        let shape = Shape { core: Arc::clone(&self.core), kind: wanted.kind, whole: request.whole };
        if !wanted.name.is_empty() {
            let found = cluster.object(wanted.place(), &wanted.name).await.map_err(refused)?;
            let object = found.ok_or_else(|| wanted.not_found())?;
            if !request.watch {
                let messages = std::iter::once(shape.first()).chain(shape.messages(vec![object], false));
                let messages: Vec<_> = messages.map(Ok).collect();
                return Ok(Box::pin(futures_util::stream::iter(messages)));
            }
            select.fields = format!("metadata.name={}", wanted.name);
        }
        let (all, watch) = (request.all_namespaces, request.watch);
        let (out, answers) = mpsc::channel(QUEUE_LENGTH);
        tokio::spawn(async move {
            let _permit = permit;
            let place = wanted.place();
            let place = if all { Place { namespace: None, ..place } } else { place };
            let ended = tokio::select! {
                ended = send_all(&cluster, place, &select, watch, &shape, &out) => ended,
                () = out.closed() => Ok(()),
            };
            if let Err(status) = ended {
                // Whoever has gone does not want it.
                let _ = out.send(Err(status)).await;
            }
        });
        Ok(Box::pin(ReceiverStream::new(answers)))
    }
}

/// Sends what there is, a part at a time, and what comes then.
async fn send_all(
    cluster: &Cluster,
    place: Place<'_>,
    select: &Select,
    watch: bool,
    shape: &Shape,
    out: &Out,
) -> Result<(), Status> {
    send(out, vec![shape.first()]).await;
    let mut next: Option<String> = None;
    let mut revision = loop {
        let page = cluster.page(place, select, PAGE, next.as_deref()).await.map_err(refused)?;
        send(out, shape.messages(page.items, false)).await;
        match page.next {
            Some(more) => next = Some(more),
            None => break page.revision,
        }
    };
    if !watch {
        return Ok(());
    }
    // The server ends a watch now and then.
    loop {
        let mut events = cluster.watch(place, select, &revision).await.map_err(refused)?;
        while let Some(event) = events.next().await.map_err(refused)? {
            if let Some(seen) = event.object()["metadata"]["resourceVersion"].as_str() {
                revision = seen.to_owned();
            }
            match event {
                Event::Added(object) | Event::Modified(object) => send(out, shape.messages(vec![object], false)).await,
                Event::Deleted(object) => send(out, shape.messages(vec![object], true)).await,
                Event::Bookmark(_) => {}
            }
        }
    }
}

async fn send(out: &Out, messages: Vec<v1::Workloads>) {
    for message in messages {
        // If nobody reads any more, whoever called this is ended.
        let _ = out.send(Ok(message)).await;
    }
}
