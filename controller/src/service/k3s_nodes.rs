//! What `ctl` asks of K3s's nodes: how they are, and that pods come, stay away or go.

use std::collections::BTreeMap;
use std::sync::Arc;

use rackhaven_proto::v1;
use rackhaven_proto::v1::k3s_ended::Result as Ended;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use super::{Answers, store_failed};
use crate::core::Core;
use crate::fleet::NodeView;
use crate::k3s;
use crate::k3s::api::{ApiError, Cluster};
use crate::k3s::cordon::{self, By};
use crate::k3s::drain::{Asked, Wanted, drain_by_hand};
use crate::k3s::nodes::{NodeFacts, Seen, find};
use crate::net::CallContext;

/// Most nodes of one call.
const MOST_NODES: usize = 200;
/// Most nodes that a summary names.
const MOST_NAMED: usize = 20;
/// Messages that wait for who reads them: several of each node.
const QUEUE_LENGTH: usize = 8 * MOST_NODES;
/// A drain's time for each node unless told otherwise, and the longest, seconds.
const DRAIN_S: u32 = 300;
const LONGEST_DRAIN_S: u32 = 24 * 3600;

type Stream = Result<Response<Answers<v1::K3sProgress>>, Status>;
type Sender = mpsc::Sender<Result<v1::K3sProgress, Status>>;

/// The nodes of K3s.
pub(super) fn status(core: &Core) -> v1::K3sStatus {
    let views = core.registry.views(core.clock.monotonic_ms(), core.clock.wall_ms());
    let Seen { known, names } = Seen::new(core.k3s_nodes.look(Clone::clone), &views);
    let unit = |view: &NodeView| view.reading.as_deref().and_then(|reading| reading.sample()?.k3s);
    let mut units: BTreeMap<String, v1::K3sUnit> =
        views.iter().filter_map(|view| Some((view.name.to_string(), unit(view)?))).collect();
    let of_api = known.nodes.values().map(|node| {
        let name = names.get(&node.name).map(ToString::to_string).unwrap_or_default();
        let unit = units.remove(&name).unwrap_or_default();
        let pods = known.pods.as_ref().map(|pods| pods.get(&node.name).copied().unwrap_or_default());
        v1::K3sNodeStatus { node: name, unit: unit.unit, unit_state: unit.state, pods, ..wire(node) }
    });
    let mut nodes: Vec<_> = of_api.collect();
    nodes.extend(units.into_iter().map(|(node, unit)| v1::K3sNodeStatus {
        node,
        unit: unit.unit,
        unit_state: unit.state,
        ..v1::K3sNodeStatus::default()
    }));
    v1::K3sStatus {
        configured: known.configured,
        problem: known.problem,
        age_ms: known.heard_ms.map(|heard_ms| core.clock.monotonic_ms().saturating_sub(heard_ms)),
        nodes,
        sequence: core.k3s_cluster.sequence(core.clock.monotonic_ms()),
    }
}

/// K3s in a few figures; none where there is none.
pub(super) fn summary(core: &Core) -> Option<v1::K3sSummary> {
    let views = core.registry.views(core.clock.monotonic_ms(), core.clock.wall_ms());
    let seen = Seen::new(core.k3s_nodes.look(Clone::clone), &views);
    let named = |wanted: fn(&NodeFacts) -> bool| {
        let nodes = seen.known.nodes.values().filter(|node| wanted(node));
        nodes.take(MOST_NAMED).map(|node| seen.name(node).to_owned()).collect()
    };
    seen.known.configured.then(|| v1::K3sSummary {
        nodes: u32::try_from(seen.known.nodes.len()).unwrap_or(u32::MAX),
        not_ready: named(|node| node.ready != Some(true)),
        cordoned: named(|node| !node.schedulable),
        problem: seen.known.problem.clone(),
    })
}

fn wire(node: &NodeFacts) -> v1::K3sNodeStatus {
    let mark = node.mark.as_ref().filter(|_| !node.schedulable);
    v1::K3sNodeStatus {
        name: node.name.clone(),
        server: node.server,
        etcd: node.etcd,
        ready: node.ready,
        reason: node.reason.clone(),
        ready_changed_unix_ms: node.ready_changed_unix_ms,
        version: node.version.clone(),
        schedulable: node.schedulable,
        cordoned_by: mark.map(|mark| mark.by.to_string()).unwrap_or_default(),
        cordoned_unix_ms: mark.map_or(0, |mark| mark.unix_ms),
        ..v1::K3sNodeStatus::default()
    }
}

pub(super) async fn cordon(core: &Arc<Core>, context: &CallContext, request: v1::CordonRequest) -> Stream {
    let (cluster, names) = begin(core, context, "K3s/Cordon", &request.nodes).await?;
    let (by, unix_ms) = (By::User(context.caller.to_string()), core.clock.wall_ms());
    Ok(answer(move |sender| async move {
        let mut all = Vec::new();
        for name in names {
            let ended = cordon::cordon(&cluster, &name, &by, unix_ms).await;
            all.push(tell(&sender, "cordon", name, ended).await);
        }
        all
    }))
}

pub(super) async fn uncordon(core: &Arc<Core>, context: &CallContext, request: v1::UncordonRequest) -> Stream {
    let (cluster, names) = begin(core, context, "K3s/Uncordon", &request.nodes).await?;
    Ok(answer(move |sender| async move {
        let mut all = Vec::new();
        for name in names {
            let ended = cordon::uncordon(&cluster, &name).await;
            all.push(tell(&sender, "uncordon", name, ended).await);
        }
        all
    }))
}

pub(super) async fn drain(core: &Arc<Core>, context: &CallContext, request: v1::DrainRequest) -> Stream {
    let timeout_s = if request.timeout_s == 0 { DRAIN_S } else { request.timeout_s };
    if timeout_s > LONGEST_DRAIN_S {
        return Err(Status::invalid_argument(format!("timeout_s: {timeout_s} is more than {LONGEST_DRAIN_S}")));
    }
    let (cluster, names) = begin(core, context, "K3s/Drain", &request.nodes).await?;
    let wanted = Wanted {
        by: By::User(context.caller.to_string()),
        timeout_ms: u64::from(timeout_s) * 1000,
        force: request.force,
        delete_emptydir_data: request.delete_emptydir_data,
        grace_s: request.grace_period_s,
    };
    let core = Arc::clone(core);
    Ok(answer(move |sender| async move {
        // What there is no room for is lost: whoever does not read has gone, or sees the end.
        let tell = |progress| drop(sender.try_send(Ok(progress)));
        drain_by_hand(Asked { core, cluster, names, wanted }, &tell).await
    }))
}

/// The cluster, and what it calls the nodes; written down before anything is done.
async fn begin(
    core: &Core,
    context: &CallContext,
    action: &str,
    nodes: &[String],
) -> Result<(Arc<Cluster>, Vec<String>), Status> {
    if nodes.is_empty() || nodes.len() > MOST_NODES {
        return Err(Status::invalid_argument(format!("nodes: {} are not 1 to {MOST_NODES}", nodes.len())));
    }
    let cluster = core.k3s.cluster().map_err(refused)?.ok_or_else(no_api)?;
    let list = cluster.nodes().await.map_err(refused)?;
    let known: BTreeMap<String, NodeFacts> =
        list.nodes.iter().map(NodeFacts::new).map(|node| (node.name.clone(), node)).collect();
    let views = core.registry.views(core.clock.monotonic_ms(), core.clock.wall_ms());
    let mut names = Vec::new();
    for node in nodes {
        let view = views.iter().find(|view| view.name.as_str() == node);
        let hostname = view.and_then(|view| view.facts.as_ref()).map_or("", |facts| facts.hostname.as_str());
        let found = find(&known, node, hostname);
        let unknown =
            || Status::not_found(format!("K3s has no node {node:?}: `ctl k3s status` shows those that it has"));
        let name = found.ok_or_else(unknown)?.name.clone();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let audit = |name: &String| core.audit_entry(&context.caller, &context.origin, action, name, "ok");
    core.store.audit_all(names.iter().map(audit).collect()).await.map_err(store_failed)?;
    Ok((cluster, names))
}

/// Answers with what `work` tells; it ends where it is when nobody reads it any more.
fn answer<F>(work: impl FnOnce(Sender) -> F + Send + 'static) -> Response<Answers<v1::K3sProgress>>
where
    F: Future<Output = Vec<v1::K3sEnded>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
    let (gone, last) = (sender.clone(), sender.clone());
    tokio::spawn(async move {
        tokio::select! {
            ended = work(sender) => {
                // Whoever has gone does not want it.
                let _ = last.send(Ok(v1::K3sProgress { ended, ..v1::K3sProgress::default() })).await;
            }
            () = gone.closed() => {}
        }
    });
    Response::new(Box::pin(ReceiverStream::new(receiver)))
}

async fn tell(sender: &Sender, step: &str, node: String, done: Result<cordon::Done, ApiError>) -> v1::K3sEnded {
    let (result, text) = match done {
        Ok(cordon::Done::Changed) => (Ended::Done, String::new()),
        Ok(cordon::Done::Unchanged) => (Ended::Unchanged, String::new()),
        Ok(cordon::Done::Others) => (Ended::Unchanged, "somebody else has cordoned it".to_owned()),
        Ok(cordon::Done::Absent) => (Ended::Failed, "it is not there any more".to_owned()),
        Err(error) => (Ended::Failed, error.to_string()),
    };
    let state = match result {
        Ended::Done => v1::k3s_step::State::Done,
        Ended::Failed => v1::k3s_step::State::Failed,
        _ => v1::k3s_step::State::Unchanged,
    };
    // Whoever has gone does not want it.
    let _ = sender.send(Ok(k3s::step(&node, step, state, &text))).await;
    v1::K3sEnded { node, result: result.into(), text }
}

pub(super) fn no_api() -> Status {
    Status::failed_precondition(
        "the controller knows no K3s: make one with `ctl k3s init`, or name the kubeconfig of one that there is, \
         `[k3s] kubeconfig` in controller.toml",
    )
}

fn refused(error: ApiError) -> Status {
    Status::failed_precondition(error.to_string())
}
