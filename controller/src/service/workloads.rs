//! What runs in the K3s cluster, as people ask for it.

mod change;
mod get;
mod logs;
mod rollout;

use std::sync::Arc;

use rackhaven_proto::model::Role;
use rackhaven_proto::v1;
use rackhaven_proto::v1::k3s_workloads_server::K3sWorkloads;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Response, Status};

use super::{Answers, store_failed};
use crate::access::Caller;
use crate::core::Core;
use crate::k3s::api::{ApiError, Cluster, Place};
use crate::k3s::workloads::{Denied, Kind, by_word};
use crate::net::{CallContext, call_context};

/// Answers that are open at a time, of all callers.
const MOST_STREAMS: usize = 32;
/// Messages that wait for who reads them.
const QUEUE_LENGTH: usize = 4;

/// What runs in the cluster.
pub(super) struct WorkloadService {
    core: Arc<Core>,
    streams: Arc<Semaphore>,
}

/// An object that was asked for, as far as its words tell.
struct Wanted {
    kind: &'static Kind,
    namespace: String,
    name: String,
}

impl Wanted {
    fn read(object: Option<v1::WorkloadRef>) -> Result<Self, Status> {
        let object = object.ok_or_else(|| Status::invalid_argument("object: is missing"))?;
        let kind = by_word(&object.kind).map_err(Status::invalid_argument)?;
        let namespace = match (kind.namespaced, object.namespace) {
            (false, _) => String::new(),
            (true, namespace) if namespace.is_empty() => "default".to_owned(),
            (true, namespace) => namespace,
        };
        Ok(Self { kind, namespace, name: object.name })
    }

    /// The same, with a name.
    fn named(object: Option<v1::WorkloadRef>) -> Result<Self, Status> {
        let wanted = Self::read(object)?;
        if wanted.name.is_empty() {
            return Err(Status::invalid_argument(format!("which {}? it has no name", wanted.kind.name)));
        }
        Ok(wanted)
    }

    /// One of these kinds, for what is done with them alone.
    fn of(object: Option<v1::WorkloadRef>, kinds: &[&str], what: &str) -> Result<Self, Status> {
        let wanted = Self::named(object)?;
        if !kinds.contains(&wanted.kind.name) {
            let message = format!("{what} of a {}: only of {}", wanted.kind.name, kinds.join(", "));
            return Err(Status::invalid_argument(message));
        }
        Ok(wanted)
    }

    fn place(&self) -> Place<'_> {
        let namespace = self.kind.namespaced.then_some(self.namespace.as_str());
        Place { api_version: self.kind.api_version, plural: self.kind.plural, namespace }
    }

    /// `deployment.apps/web in default`, for the audit log.
    fn described(&self) -> String {
        let place = if self.kind.namespaced { format!(" in {}", self.namespace) } else { String::new() };
        let plain = |text: &str| text.chars().filter(|c| !c.is_control()).take(253).collect::<String>();
        format!("{}/{}{}", self.kind.qualified(), plain(&self.name), plain(&place))
    }

    fn not_found(&self) -> Status {
        Status::not_found(format!("{} {:?} not found", self.kind.plural, self.name))
    }
}

/// What the API says to a request, as the caller is told.
fn refused(error: ApiError) -> Status {
    let message = error.to_string();
    match error.code() {
        Some(400 | 422) => Status::invalid_argument(message),
        Some(404) => Status::not_found(message),
        Some(403) => {
            Status::failed_precondition(format!("the controller has no right to that in the cluster: {message}"))
        }
        _ => Status::failed_precondition(message),
    }
}

impl WorkloadService {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core, streams: Arc::new(Semaphore::new(MOST_STREAMS)) }
    }

    fn cluster(&self) -> Result<Arc<Cluster>, Status> {
        self.core.k3s.cluster().map_err(refused)?.ok_or_else(super::k3s_nodes::no_api)
    }

    /// Room for an answer that goes on.
    fn stream(&self) -> Result<OwnedSemaphorePermit, Status> {
        let full = || Status::resource_exhausted("too much of the cluster is watched or read already");
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| full())
    }

    /// What cannot be written down is not done.
    async fn audit(&self, context: &CallContext, action: &str, targets: &[String]) -> Result<(), Status> {
        let action = format!("K3sWorkloads/{action}");
        let entry = |target: &String| self.core.audit_entry(&context.caller, &context.origin, &action, target, "ok");
        self.core.store.audit_all(targets.iter().map(entry).collect()).await.map_err(store_failed)
    }

    /// Says that somebody may not, and writes it down.
    async fn denied(&self, context: &CallContext, action: &str, target: &str, denied: Denied) -> Status {
        match denied {
            Denied::Never(why) => Status::invalid_argument(why),
            Denied::Role(why) => {
                let (action, outcome) = (format!("K3sWorkloads/{action}"), format!("denied: {why}"));
                let entry = self.core.audit_entry(&context.caller, &context.origin, &action, target, &outcome);
                self.core.denials.record(&context.host, entry).await;
                Status::permission_denied(why)
            }
        }
    }
}

/// The role that bounds what a caller may; none for root on this machine.
fn role(caller: &Caller) -> Option<Role> {
    if let Caller::User(_, role) = caller { Some(*role) } else { None }
}

#[tonic::async_trait]
impl K3sWorkloads for WorkloadService {
    type GetStream = Answers<v1::Workloads>;
    type ReadLogsStream = Answers<v1::WorkloadLog>;
    type WatchRolloutStream = Answers<v1::RolloutNews>;

    async fn get(&self, request: Request<v1::GetWorkloadsRequest>) -> Result<Response<Self::GetStream>, Status> {
        self.get_workloads(request.into_inner()).await.map(Response::new)
    }

    async fn apply(
        &self,
        request: Request<v1::ApplyWorkloadsRequest>,
    ) -> Result<Response<v1::ApplyWorkloadsResponse>, Status> {
        let context = call_context(&request)?;
        self.apply_all(&context, request.into_inner()).await.map(Response::new)
    }

    async fn scale(
        &self,
        request: Request<v1::ScaleWorkloadRequest>,
    ) -> Result<Response<v1::ScaleWorkloadResponse>, Status> {
        let context = call_context(&request)?;
        self.scale_one(&context, request.into_inner()).await.map(Response::new)
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteWorkloadRequest>,
    ) -> Result<Response<v1::DeleteWorkloadResponse>, Status> {
        let context = call_context(&request)?;
        self.delete_one(&context, request.into_inner()).await.map(Response::new)
    }

    async fn read_logs(
        &self,
        request: Request<v1::ReadWorkloadLogsRequest>,
    ) -> Result<Response<Self::ReadLogsStream>, Status> {
        let context = call_context(&request)?;
        self.read(&context, request.into_inner()).await.map(Response::new)
    }

    async fn watch_rollout(
        &self,
        request: Request<v1::WatchRolloutRequest>,
    ) -> Result<Response<Self::WatchRolloutStream>, Status> {
        self.watch_one(request.into_inner()).await.map(Response::new)
    }

    async fn list_revisions(
        &self,
        request: Request<v1::ListRevisionsRequest>,
    ) -> Result<Response<v1::ListRevisionsResponse>, Status> {
        self.revisions_of(request.into_inner()).await.map(Response::new)
    }

    async fn rollout(&self, request: Request<v1::RolloutRequest>) -> Result<Response<v1::RolloutResponse>, Status> {
        let context = call_context(&request)?;
        self.roll(&context, request.into_inner()).await.map(Response::new)
    }
}
