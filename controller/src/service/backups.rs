//! Backups of the whole fleet, as people ask for them.

mod given;
mod lists;
mod start;
mod watch;

pub(super) use start::hand_over;

use std::sync::Arc;

use rackhaven_proto::Invalid;
use rackhaven_proto::model::{JobName, NodeName};
use rackhaven_proto::v1;
use rackhaven_proto::v1::backups_server::Backups;
use rackhaven_proto::v1::controller_message::Body as ToAgent;
use tonic::{Request, Response, Status};

use super::{Answers, bad_input, existing, store_failed};
use crate::core::Core;
use crate::net::call_context;

/// Most names in one request.
const MAX_NAMES: usize = 1000;

/// Jobs, runs and archives.
pub(super) struct BackupService {
    core: Arc<Core>,
}

impl BackupService {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

/// Names of nodes that there are, each once.
fn existing_nodes(core: &Core, names: &[String]) -> Result<Vec<NodeName>, Status> {
    bounded("nodes", names)?;
    let mut nodes = Vec::new();
    for name in names {
        let name = existing(core, name)?;
        if !nodes.contains(&name) {
            nodes.push(name);
        }
    }
    Ok(nodes)
}

/// Names that can be a job's.
fn job_names(names: &[String]) -> Result<(), Status> {
    bounded("jobs", names)?;
    names.iter().try_for_each(|name| name.parse::<JobName>().map(drop).map_err(bad_input))
}

fn bounded(field: &str, names: &[String]) -> Result<(), Status> {
    if names.len() > MAX_NAMES {
        let reason = format!("holds {} names, at most {MAX_NAMES} are allowed", names.len());
        return Err(bad_input(Invalid::new(field, reason)));
    }
    Ok(())
}

#[tonic::async_trait]
impl Backups for BackupService {
    type WatchStream = Answers<v1::BackupChange>;

    async fn list_jobs(
        &self,
        request: Request<v1::ListBackupJobsRequest>,
    ) -> Result<Response<v1::ListBackupJobsResponse>, Status> {
        let request = request.into_inner();
        existing_nodes(&self.core, &request.nodes)?;
        Ok(Response::new(v1::ListBackupJobsResponse { jobs: self.core.backups.list(&request.nodes) }))
    }

    async fn apply_jobs(
        &self,
        request: Request<v1::ApplyBackupJobsRequest>,
    ) -> Result<Response<v1::ApplyBackupJobsResponse>, Status> {
        let context = call_context(&request)?;
        given::apply(&self.core, &context, request.into_inner()).await.map(Response::new)
    }

    async fn remove_jobs(
        &self,
        request: Request<v1::RemoveBackupJobsRequest>,
    ) -> Result<Response<v1::RemoveBackupJobsResponse>, Status> {
        let context = call_context(&request)?;
        given::remove(&self.core, &context, request.into_inner()).await.map(Response::new)
    }

    async fn start(
        &self,
        request: Request<v1::StartBackupsRequest>,
    ) -> Result<Response<v1::StartBackupsResponse>, Status> {
        let context = call_context(&request)?;
        start::start(&self.core, &context, request.into_inner()).await.map(Response::new)
    }

    async fn stop(
        &self,
        request: Request<v1::StopBackupsRequest>,
    ) -> Result<Response<v1::StopBackupsResponse>, Status> {
        let context = call_context(&request)?;
        let core = &self.core;
        let run_ids = request.into_inner().run_ids;
        bounded("run_ids", &run_ids)?;
        let mut stops = Vec::new();
        for run_id in run_ids {
            let gone = || Status::not_found(format!("no run {run_id} is under way"));
            let node = core.backups.whose(&run_id).ok_or_else(gone)?;
            let away =
                || Status::unavailable(format!("{node} is not connected; its run {run_id} cannot be stopped now"));
            let outbox = core.registry.outbox(&node).ok_or_else(away)?;
            stops.push((node, run_id, outbox));
        }
        let audit = stops.iter().map(|(node, run_id, _)| {
            core.audit_entry(&context.caller, &context.origin, "Backups/Stop", &format!("{node}: run {run_id}"), "ok")
        });
        core.store.audit_all(audit.collect()).await.map_err(store_failed)?;
        for (node, run_id, outbox) in stops {
            if !hand_over(&outbox, ToAgent::BackupStop(v1::BackupStop { run_id })).await {
                return Err(Status::unavailable(format!("{node} does not take the order")));
            }
        }
        Ok(Response::new(v1::StopBackupsResponse {}))
    }

    async fn watch(&self, request: Request<v1::WatchBackupsRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let run_ids = request.into_inner().run_ids;
        bounded("run_ids", &run_ids)?;
        watch::watch(&self.core, run_ids).await.map(Response::new)
    }

    async fn list_runs(
        &self,
        request: Request<v1::ListBackupRunsRequest>,
    ) -> Result<Response<v1::ListBackupRunsResponse>, Status> {
        lists::runs(&self.core, request.into_inner()).await.map(Response::new)
    }

    async fn list_archives(
        &self,
        request: Request<v1::ListBackupArchivesRequest>,
    ) -> Result<Response<v1::ListBackupArchivesResponse>, Status> {
        lists::archives(&self.core, request.into_inner()).await.map(Response::new)
    }
}
