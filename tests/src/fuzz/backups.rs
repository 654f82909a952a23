//! What is said of backups, on both sides.

use std::path::Path;

use rackhaven_controller::backup::{ArchiveFacts, Known};
use rackhaven_proto::convert::backup::{check_archives, check_given, check_jobs, check_progress, check_run};
use rackhaven_proto::daemon::parse_toml;
use rackhaven_proto::model::backup::{BackupOrder, BackupRunId, Job, RawJob};
use rackhaven_proto::v1;

use super::{NOW_MS, same_again};

pub(super) fn jobs(wire: v1::BackupJobs) {
    if check_jobs(&wire).is_ok() {
        for told in wire.jobs {
            let _ = Known { told: Some(told), ..Known::default() }.judge(false, NOW_MS);
        }
    }
}

pub(super) fn progress(wire: &v1::BackupProgress) {
    if check_progress(wire).is_ok() {
        same_again::<BackupRunId>(&wire.run_id);
    }
}

pub(super) fn report(wire: v1::BackupReport) {
    let mut known = Known { told: Some(v1::BackupJob::default()), ..Known::default() };
    if let Some(run) = wire.run.filter(|run| check_run(run).is_ok()) {
        same_again::<BackupRunId>(&run.run_id);
        known.take(&run);
    }
    if let Some(list) = wire.archives.filter(|list| check_archives(&list.archives).is_ok()) {
        known.archives = Some(ArchiveFacts::new(&list.archives));
    }
    let found = known.judge(false, NOW_MS);
    let (begun, _) = known.settle(found.clone());
    assert!(begun.len() <= found.len());
    assert!(known.settle(found).0.is_empty(), "told twice");
}

pub(super) fn given(wire: &v1::GivenBackupJobs) {
    if check_given(&wire.jobs).is_ok() {
        for job in &wire.jobs {
            let _ = parse_toml::<RawJob, Job>(&job.toml, Path::new("job.toml"));
        }
    }
}

pub(super) fn order(wire: v1::BackupOrder) {
    if let Ok(order) = BackupOrder::try_from(wire) {
        assert_eq!(v1::BackupOrder::from(order.clone()).try_into(), Ok(order));
    }
}
