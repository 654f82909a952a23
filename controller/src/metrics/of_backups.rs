use rackhaven_proto::v1;

use super::catalogue::*;
use super::page::{Page, Value, seconds};
use crate::backup::Trouble;

/// Writes all of the backup jobs.
pub(super) fn write(page: &mut Page, jobs: &[v1::NodeBackupJob]) {
    let mut infos = page.family(&BACKUP_JOB);
    for (node, job) in told(jobs).filter_map(|job| Some((&job.node, job.job.as_ref()?))) {
        infos.put(&[node, &job.name, &job.engine, &job.repository], true);
    }
    let ended = |run: &v1::BackupRun| seconds(run.ended_unix_ms);
    of_job(page, &BACKUP_SUCCESS, jobs, |job| job.last_good.as_ref().map(ended));
    let took = |run: &v1::BackupRun| seconds(run.ended_unix_ms.saturating_sub(run.started_unix_ms));
    of_job(page, &BACKUP_DURATION, jobs, |job| job.last_good.as_ref().map(took));
    of_job(page, &BACKUP_READ, jobs, |job| job.last_good.as_ref().map(|run| run.bytes_read));
    of_job(page, &BACKUP_STORED, jobs, |job| job.last_good.as_ref().map(|run| run.bytes_stored));
    of_job(page, &BACKUP_RUN, jobs, |job| job.last.as_ref().map(ended));
    of_job(page, &BACKUP_NEXT, jobs, |job| job.job.as_ref().and_then(|job| job.next_unix_ms).map(seconds));
    of_job(page, &BACKUP_RUNNING, jobs, |job| Some(job.running.is_some()));
    let mut troubles = page.family(&BACKUP_TROUBLE);
    for job in told(jobs) {
        for trouble in Trouble::ALL {
            let stands = job.troubles.iter().any(|word| word == trouble.as_str());
            troubles.put(&[&job.node, name(job), trouble.as_str()], stands);
        }
    }
}

/// Those that their nodes have told of: what is only given is no job yet.
fn told(jobs: &[v1::NodeBackupJob]) -> impl Iterator<Item = &v1::NodeBackupJob> {
    jobs.iter().filter(|job| job.job.as_ref().is_some_and(|job| !job.engine.is_empty()))
}

fn name(job: &v1::NodeBackupJob) -> &str {
    job.job.as_ref().map_or("", |job| &job.name)
}

fn of_job<V: Value>(
    page: &mut Page,
    family: &'static Family,
    jobs: &[v1::NodeBackupJob],
    value: impl Fn(&v1::NodeBackupJob) -> Option<V>,
) {
    let mut samples = page.family(family);
    for job in told(jobs) {
        if let Some(value) = value(job) {
            samples.put(&[&job.node, name(job)], value);
        }
    }
}
