use prost::Message;
use rackhaven_proto::v1;
use tonic::Status;

use super::{existing_nodes, job_names, store_failed};
use crate::core::Core;
use crate::store::BackupFilter;

/// Most runs of one answer.
const MAX_RUNS: u32 = 1000;
/// So many unless told otherwise.
const DEFAULT_RUNS: u32 = 100;
/// Most archives of one answer.
const MAX_ARCHIVES: usize = 10_000;
/// An answer has so much room for problems and dry runs, bytes: its receiver takes 4 MiB in all.
const LINES_BYTES: usize = 2 * 1024 * 1024;

/// Runs that have ended, newest first.
pub(super) async fn runs(
    core: &Core,
    request: v1::ListBackupRunsRequest,
) -> Result<v1::ListBackupRunsResponse, Status> {
    if request.limit > MAX_RUNS {
        return Err(Status::invalid_argument(format!("limit: {} is more than {MAX_RUNS}", request.limit)));
    }
    existing_nodes(core, &request.nodes)?;
    job_names(&request.jobs)?;
    let limit = if request.limit == 0 { DEFAULT_RUNS } else { request.limit };
    let filter = BackupFilter { nodes: request.nodes, jobs: request.jobs };
    let rows = core.store.backup_runs(filter, limit).await.map_err(store_failed)?;
    let mut room = LINES_BYTES;
    let run = |row: crate::store::BackupRunRow| {
        let mut run = row.run;
        room = room.saturating_sub(run.encoded_len());
        if room == 0 {
            run.problems.clear();
            run.would.clear();
        }
        v1::NodeBackupRun { node: row.node.to_string(), run: Some(run) }
    };
    Ok(v1::ListBackupRunsResponse { runs: rows.into_iter().map(run).collect() })
}

/// The archives that are known, newest first.
pub(super) async fn archives(
    core: &Core,
    request: v1::ListBackupArchivesRequest,
) -> Result<v1::ListBackupArchivesResponse, Status> {
    existing_nodes(core, &request.nodes)?;
    job_names(&request.jobs)?;
    let jobs = core.backups.list(&request.nodes);
    let filter = BackupFilter { nodes: request.nodes, jobs: request.jobs };
    let lists = core.store.backup_archives(filter).await.map_err(store_failed)?;
    let mut archives = Vec::new();
    for list in lists {
        let told = jobs.iter().filter(|job| job.node == list.node.as_str()).filter_map(|job| job.job.as_ref());
        let repository = told.into_iter().find(|job| job.name == list.job).map(|job| job.repository.clone());
        let repository = repository.unwrap_or_default();
        archives.extend(list.archives.into_iter().map(|archive| v1::NodeBackupArchive {
            node: list.node.to_string(),
            job: list.job.clone(),
            repository: repository.clone(),
            archive: Some(archive),
        }));
    }
    let made_ms = |archive: &v1::NodeBackupArchive| archive.archive.as_ref().map(|archive| archive.made_unix_ms);
    archives.sort_by_key(|archive| std::cmp::Reverse(made_ms(archive)));
    archives.truncate(MAX_ARCHIVES);
    Ok(v1::ListBackupArchivesResponse { archives })
}
