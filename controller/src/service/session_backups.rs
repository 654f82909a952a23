//! What agents say of their backups.

use prost::Message;
use rackhaven_proto::convert::backup::{check_archives, check_jobs, check_progress, check_run};
use rackhaven_proto::model::NodeName;
use rackhaven_proto::v1::controller_message::Body as ToAgent;
use rackhaven_proto::{Invalid, v1};
use tonic::Status;

use super::bad_input;
use crate::backup;
use crate::core::Core;
use crate::fleet::Outbox;
use crate::store::{GivenJob, GivenJobs};

/// The highest revision that a node is believed to have.
const MAX_REVISION: u64 = u64::MAX / 4;
/// Most that is kept of the lines of a run, bytes.
const KEPT_BYTES: usize = 64 * 1024;

/// Tells a node that has a new session which jobs it is given.
pub(super) fn greet(core: &Core, node: &NodeName, outbox: &Outbox) {
    let given = core.backups.given(node);
    // One that is older than what the node has would undo what this record has forgotten.
    if given.revision > 0 && given.revision >= core.backups.told_revision(node) {
        outbox.try_send(ToAgent::GivenBackupJobs(given.to_wire()));
    }
}

/// Takes in all jobs of a node.
pub(super) async fn jobs(core: &Core, node: &NodeName, outbox: &Outbox, told: v1::BackupJobs) -> Result<(), Status> {
    check_jobs(&told).map_err(bad_input)?;
    let (given, theirs) = (core.backups.given(node), told.given_revision);
    if theirs > given.revision {
        if core.backups.told_revision(node) < given.revision {
            // Given before it was known that the node has another set, from an earlier life.
            renumber(core, node, outbox, given, theirs).await;
        } else {
            tracing::warn!(%node, theirs, ours = given.revision, "the node has given jobs that are not in this record");
        }
    }
    if core.backups.jobs_told(node, told.clone())
        && let Err(error) = core.store.store_backup_jobs(node.clone(), told).await
    {
        // The node tells them again with its next session.
        tracing::error!(%error, %node, "a node's backup jobs could not be stored");
    }
    backup::settle(core, Some(node)).await;
    Ok(())
}

/// Gives a node its jobs under a revision that it does not take for an old one.
async fn renumber(core: &Core, node: &NodeName, outbox: &Outbox, given: GivenJobs, theirs: u64) {
    let revision = theirs.min(MAX_REVISION) + 1;
    let jobs = given.jobs.into_iter().map(|(name, job)| (name, GivenJob { revision, ..job })).collect();
    let given = GivenJobs { revision, jobs };
    match core.store.set_given_jobs(vec![(node.clone(), given.clone())], Vec::new()).await {
        Ok(()) => {
            outbox.try_send(ToAgent::GivenBackupJobs(given.to_wire()));
            core.backups.set_given(node, given);
        }
        // It is tried again when the node tells its jobs again.
        Err(error) => tracing::error!(%error, %node, "a node's given backup jobs could not be stored"),
    }
}

/// Takes in how far a run is.
pub(super) fn progress(core: &Core, node: &NodeName, progress: v1::BackupProgress) -> Result<(), Status> {
    check_progress(&progress).map_err(bad_input)?;
    core.backups.progress(node, progress, core.clock.monotonic_ms());
    Ok(())
}

/// Takes in how a run ended, and says so once it is stored.
pub(super) async fn report(
    core: &Core,
    node: &NodeName,
    outbox: &Outbox,
    report: v1::BackupReport,
) -> Result<(), Status> {
    let mut run = report.run.ok_or_else(|| bad_input(Invalid::new("report.run", "is missing")))?;
    check_run(&run).map_err(bad_input)?;
    if let Some(archives) = &report.archives {
        check_archives(&archives.archives).map_err(bad_input)?;
    }
    shorten(&mut run);
    let run_id = run.run_id.clone();
    let listed = report.archives.clone();
    let stored = core.store.store_backup_report(node.clone(), run.clone(), report.archives, core.clock.wall_ms()).await;
    match stored {
        Ok(new) => {
            core.backups.ended(node, run, listed.as_ref().map(|listed| listed.archives.as_slice()), new);
            // An agent that is gone is noticed by the reading side.
            outbox.send(ToAgent::BackupReportStored(v1::BackupReportStored { run_id })).await;
            backup::settle(core, Some(node)).await;
        }
        // Not acknowledged: the agent keeps it and sends it again.
        Err(error) => tracing::error!(%error, %node, "the report of a backup could not be stored"),
    }
    Ok(())
}

/// Keeps so many lines of a run as there is room for; how many there were is counted apart.
fn shorten(run: &mut v1::BackupRun) {
    let mut room = KEPT_BYTES;
    let mut fits = |bytes: usize| {
        room = room.saturating_sub(bytes);
        room > 0
    };
    run.would.retain(|line| fits(line.len()));
    run.problems.retain(|problem| fits(problem.encoded_len()));
}
