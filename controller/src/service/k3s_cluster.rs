use std::sync::Arc;

use rackhaven_proto::model::NodeName;
use rackhaven_proto::model::k3s::{K3sVersion, SnapshotName};
use rackhaven_proto::v1;
use rackhaven_proto::v1::k3s_cluster_server::K3sCluster;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Answers, bad_input, existing, store_failed};
use crate::core::Core;
use crate::k3s::cluster::{Sequence, Teller};
use crate::net::{CallContext, call_context};

/// Most nodes of one request, and the longest time for pods to move away, seconds.
const MOST_NODES: usize = 1000;
const LONGEST_DRAIN_S: u32 = 3600;
/// Of what a sequence is done to, so much is told in its own words, characters.
const LONGEST_TARGET: usize = 80;
/// What whoever aborts a sequence needs to know.
const AFTER_ABORT: &str = "a node that is at work comes to the end of its own order, and one that was being drained stays \
                           cordoned; the same command goes on with it";
/// Most snapshots that can be kept.
const MOST_SNAPSHOTS: u32 = 1000;

/// The cluster that is made of the fleet's nodes.
pub(super) struct K3sClusterService {
    core: Arc<Core>,
}

impl K3sClusterService {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Lets a sequence go on by itself, and answers with what it tells.
    async fn begin<F>(
        &self,
        context: CallContext,
        method: &str,
        target: &str,
        run: impl FnOnce(Sequence) -> F,
    ) -> Result<Response<Answers<v1::K3sProgress>>, Status>
    where
        F: Future<Output = Result<Vec<v1::K3sEnded>, String>> + Send + 'static,
    {
        let by = context.caller.to_string();
        let command = if method == "RotateToken" { "token rotate".to_owned() } else { method.to_lowercase() };
        let more = if target.chars().nth(LONGEST_TARGET).is_some() { "…" } else { "" };
        let words = format!("{command} of {}{more} by {by}", target.chars().take(LONGEST_TARGET).collect::<String>());
        let now_ms = self.core.clock.monotonic_ms();
        let mut busy = self.core.k3s_cluster.begin(words, now_ms).map_err(Status::failed_precondition)?;
        let action = format!("K3sCluster/{method}");
        let audit = self.core.audit_entry(&context.caller, &context.origin, &action, target, "ok");
        self.core.store.audit_all(vec![audit]).await.map_err(store_failed)?;
        let (teller, heard) = Teller::new(Arc::clone(&self.core.k3s_cluster));
        let running = run(Sequence::new(Arc::clone(&self.core), teller.clone(), by));
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = running => ended,
                by = busy.aborted() => Err(format!("aborted by {by}; {AFTER_ABORT}")),
            };
            drop(busy);
            teller.end(ended).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(heard))))
    }

    /// Nodes of the fleet, or those that are of the cluster only, as after the loss of a node.
    fn members(&self, names: &[String]) -> Result<Vec<NodeName>, Status> {
        let record = self.core.k3s_cluster.record().map_err(Status::internal)?;
        let is_member = |name: &String| {
            let name: Option<NodeName> = name.parse().ok();
            name.filter(|name| record.as_ref().is_some_and(|record| record.members.contains_key(name)))
        };
        self.named(names, |name| is_member(name).map_or_else(|| existing(&self.core, name), Ok))
    }

    fn nodes(&self, names: &[String]) -> Result<Vec<NodeName>, Status> {
        self.named(names, |name| existing(&self.core, name))
    }

    fn named(
        &self,
        names: &[String],
        find: impl Fn(&String) -> Result<NodeName, Status>,
    ) -> Result<Vec<NodeName>, Status> {
        if names.len() > MOST_NODES {
            return Err(Status::invalid_argument(format!("nodes: {} are more than {MOST_NODES}", names.len())));
        }
        let mut nodes = Vec::new();
        for name in names {
            let node = find(name)?;
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        if nodes.is_empty() { Err(Status::invalid_argument("nodes: none is named")) } else { Ok(nodes) }
    }
}

fn drain_seconds(seconds: u32) -> Result<(), Status> {
    if seconds > LONGEST_DRAIN_S {
        return Err(Status::invalid_argument(format!("drain_seconds: {seconds} is more than {LONGEST_DRAIN_S}")));
    }
    Ok(())
}

fn names(nodes: &[NodeName]) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(",")
}

#[tonic::async_trait]
impl K3sCluster for K3sClusterService {
    type CheckStream = Answers<v1::K3sProgress>;
    type InitStream = Answers<v1::K3sProgress>;
    type JoinStream = Answers<v1::K3sProgress>;
    type LeaveStream = Answers<v1::K3sProgress>;
    type SnapshotStream = Answers<v1::K3sProgress>;
    type UpgradeStream = Answers<v1::K3sProgress>;
    type RotateTokenStream = Answers<v1::K3sProgress>;

    async fn check(&self, request: Request<v1::K3sCheckRequest>) -> Result<Response<Self::CheckStream>, Status> {
        let context = call_context(&request)?;
        let request = request.into_inner();
        let nodes = self.nodes(&request.nodes)?;
        let target = names(&nodes);
        self.begin(context, "Check", &target, |sequence| async move { Ok(sequence.check(nodes, &request).await) }).await
    }

    async fn init(&self, request: Request<v1::K3sInitRequest>) -> Result<Response<Self::InitStream>, Status> {
        let context = call_context(&request)?;
        let request = request.into_inner();
        let node = existing(&self.core, &request.node)?;
        if !request.version.is_empty() {
            request.version.parse::<K3sVersion>().map_err(bad_input)?;
        }
        let target = node.to_string();
        self.begin(context, "Init", &target, |sequence| async move { Ok(sequence.init(node, &request).await) }).await
    }

    async fn join(&self, request: Request<v1::K3sJoinRequest>) -> Result<Response<Self::JoinStream>, Status> {
        let context = call_context(&request)?;
        let request = request.into_inner();
        let nodes = if request.all {
            let record = self.core.k3s_cluster.record().map_err(Status::internal)?;
            // Members are looked at once more, but not those that are in it as something else.
            let is_other = |name: &NodeName| {
                let member = record.as_ref().and_then(|record| record.members.get(name));
                member.is_some_and(|member| member.joined && member.is_server() != request.server)
            };
            let nodes: Vec<_> = self.core.registry.names().into_iter().filter(|name| !is_other(name)).collect();
            if nodes.is_empty() {
                return Err(Status::failed_precondition("there is no node that could join"));
            }
            nodes
        } else {
            self.nodes(&request.nodes)?
        };
        if nodes.len() > 1 && request.options.as_ref().is_some_and(|options| !options.node_ips.is_empty()) {
            return Err(Status::invalid_argument("options.node_ips: several nodes cannot have the same address"));
        }
        let target = names(&nodes);
        self.begin(context, "Join", &target, |sequence| async move { Ok(sequence.join(nodes, &request).await) }).await
    }

    async fn leave(&self, request: Request<v1::K3sLeaveRequest>) -> Result<Response<Self::LeaveStream>, Status> {
        let context = call_context(&request)?;
        let request = request.into_inner();
        drain_seconds(request.drain_seconds)?;
        let nodes = self.members(&request.nodes)?;
        let target = format!("{}{}", names(&nodes), if request.forget { " forget" } else { "" });
        self.begin(context, "Leave", &target, |sequence| async move { Ok(sequence.leave(nodes, &request).await) }).await
    }

    async fn snapshot(
        &self,
        request: Request<v1::K3sSnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        let context = call_context(&request)?;
        let request = request.into_inner();
        let node = match request.node.as_str() {
            "" => None,
            name => Some(existing(&self.core, name)?),
        };
        let name = match request.name.as_str() {
            "" => "rackhaven".to_owned(),
            name => name.to_owned(),
        };
        name.parse::<SnapshotName>().map_err(bad_input)?;
        if !(1..=MOST_SNAPSHOTS).contains(&request.keep) {
            return Err(Status::invalid_argument(format!(
                "keep: {} is not between 1 and {MOST_SNAPSHOTS}",
                request.keep
            )));
        }
        let target = name.clone();
        let run = |sequence: Sequence| async move { Ok(sequence.snapshot(node, name, request.keep).await) };
        self.begin(context, "Snapshot", &target, run).await
    }

    async fn upgrade(&self, request: Request<v1::K3sUpgradeRequest>) -> Result<Response<Self::UpgradeStream>, Status> {
        let context = call_context(&request)?;
        let request = request.into_inner();
        drain_seconds(request.drain_seconds)?;
        let version: K3sVersion = request.version.parse().map_err(bad_input)?;
        let target = version.to_string();
        let run = |sequence: Sequence| async move { sequence.upgrade(&version, request.drain_seconds).await };
        self.begin(context, "Upgrade", &target, run).await
    }

    async fn rotate_token(
        &self,
        request: Request<v1::K3sRotateTokenRequest>,
    ) -> Result<Response<Self::RotateTokenStream>, Status> {
        let context = call_context(&request)?;
        self.begin(context, "RotateToken", "the cluster", |sequence| async move { sequence.rotate_token().await }).await
    }

    async fn abort(&self, request: Request<v1::K3sAbortRequest>) -> Result<Response<v1::K3sAbortResponse>, Status> {
        let context = call_context(&request)?;
        let nothing = || Status::failed_precondition("there is no sequence that could be aborted");
        let sequence = self.core.k3s_cluster.sequence(self.core.clock.monotonic_ms()).ok_or_else(nothing)?;
        let action = "K3sCluster/Abort";
        let audit = self.core.audit_entry(&context.caller, &context.origin, action, &sequence.what, "ok");
        self.core.store.audit_all(vec![audit]).await.map_err(store_failed)?;
        match self.core.k3s_cluster.abort(&sequence.what, context.caller.to_string()) {
            true => Ok(Response::new(v1::K3sAbortResponse { sequence: Some(sequence) })),
            false => Err(nothing()),
        }
    }
}
