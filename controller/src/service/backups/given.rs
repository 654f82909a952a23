use std::path::Path;

use rackhaven_proto::convert::backup::{MAX_BACKUP_JOBS, check_given};
use rackhaven_proto::daemon::parse_toml;
use rackhaven_proto::model::NodeName;
use rackhaven_proto::model::backup::{Job, RawJob};
use rackhaven_proto::v1;
use rackhaven_proto::v1::controller_message::Body as ToAgent;
use tonic::Status;

use super::{bad_input, existing_nodes, job_names, store_failed};
use crate::core::Core;
use crate::net::CallContext;
use crate::store::{GivenJob, GivenJobs};

/// All jobs that a node is given, bytes: they go out as one message.
const MAX_GIVEN_BYTES: usize = 200 * 1024;

/// Gives nodes jobs.
pub(super) async fn apply(
    core: &Core,
    context: &CallContext,
    request: v1::ApplyBackupJobsRequest,
) -> Result<v1::ApplyBackupJobsResponse, Status> {
    let nodes = existing_nodes(core, &request.nodes)?;
    if nodes.is_empty() || request.jobs.is_empty() {
        return Err(Status::invalid_argument("nodes and jobs: name at least one of each"));
    }
    check_given(&request.jobs).map_err(bad_input)?;
    for job in &request.jobs {
        let file = format!("{}.toml", job.name);
        parse_toml::<RawJob, Job>(&job.toml, Path::new(&file))
            .map_err(|error| Status::invalid_argument(error.to_string().replace('\n', "; ")))?;
    }
    let mut sets = Vec::new();
    for node in nodes {
        let mut given = next(core, &node);
        for job in &request.jobs {
            let fresh = GivenJob { revision: given.revision, toml: job.toml.clone() };
            given.jobs.insert(job.name.clone(), fresh);
        }
        fits(&node, &given)?;
        sets.push((node, given));
    }
    let names: Vec<_> = request.jobs.iter().map(|job| job.name.clone()).collect();
    let pending = store(core, context, "Backups/ApplyJobs", &names, sets).await?;
    Ok(v1::ApplyBackupJobsResponse { pending })
}

/// Takes back jobs that were given.
pub(super) async fn remove(
    core: &Core,
    context: &CallContext,
    request: v1::RemoveBackupJobsRequest,
) -> Result<v1::RemoveBackupJobsResponse, Status> {
    job_names(&request.jobs)?;
    if request.jobs.is_empty() {
        return Err(Status::invalid_argument("jobs: name at least one"));
    }
    let nodes = match request.nodes.as_slice() {
        [] => core.backups.nodes_given(&request.jobs),
        names => existing_nodes(core, names)?,
    };
    let mut sets = Vec::new();
    for node in nodes {
        let mut given = next(core, &node);
        let before = given.jobs.len();
        given.jobs.retain(|name, _| !request.jobs.contains(name));
        if given.jobs.len() < before {
            sets.push((node, given));
        }
    }
    let has = |name: &String| sets.iter().any(|(node, _)| core.backups.given(node).jobs.contains_key(name));
    if let Some(unknown) = request.jobs.iter().find(|name| !has(name)) {
        return Err(Status::not_found(format!(
            "no job {unknown} was given to these nodes; a job of a node's own is removed from its /etc/rackhaven/backup.d"
        )));
    }
    store(core, context, "Backups/RemoveJobs", &request.jobs, sets).await?;
    Ok(v1::RemoveBackupJobsResponse {})
}

/// What a node is given, under its next revision: later than any that the node has heard of.
fn next(core: &Core, node: &NodeName) -> GivenJobs {
    let given = core.backups.given(node);
    let told = core.backups.told_revision(node).min(u64::MAX / 4);
    GivenJobs { revision: given.revision.max(told) + 1, ..given }
}

fn fits(node: &NodeName, given: &GivenJobs) -> Result<(), Status> {
    let bytes: usize = given.jobs.iter().map(|(name, job)| name.len() + job.toml.len()).sum();
    if given.jobs.len() > MAX_BACKUP_JOBS || bytes > MAX_GIVEN_BYTES {
        return Err(Status::invalid_argument(format!(
            "{node} would be given {} jobs of {bytes} bytes; at most {MAX_BACKUP_JOBS} of {MAX_GIVEN_BYTES} bytes are \
             allowed",
            given.jobs.len()
        )));
    }
    Ok(())
}

/// Stores what nodes are given now and tells those that are there; the others.
async fn store(
    core: &Core,
    context: &CallContext,
    action: &str,
    jobs: &[String],
    sets: Vec<(NodeName, GivenJobs)>,
) -> Result<Vec<String>, Status> {
    let audit = sets.iter().map(|(node, _)| {
        core.audit_entry(&context.caller, &context.origin, action, &format!("{node}: {}", jobs.join(", ")), "ok")
    });
    core.store.set_given_jobs(sets.clone(), audit.collect()).await.map_err(store_failed)?;
    core.access_changed.notify_one();
    let mut pending = Vec::new();
    for (node, given) in sets {
        let wire = given.to_wire();
        core.backups.set_given(&node, given);
        let sent = core.registry.outbox(&node).is_some_and(|outbox| outbox.try_send(ToAgent::GivenBackupJobs(wire)));
        if !sent {
            pending.push(node.to_string());
        }
    }
    Ok(pending)
}
