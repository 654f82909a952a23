//! What is said of backups, on both sides.

use std::path::Path;

use prost::Message;
use rackhaven_agent::backup::core::Run;
use rackhaven_agent::backup::report::{progress_by, report_by};
use rackhaven_backup::outcome::listed;
use rackhaven_backup::repository::Record;
use rackhaven_backup::repository::archive::{Found, candidates, in_order, next_sequence};
use rackhaven_backup::retention::decide;
use rackhaven_controller::backup::{ArchiveFacts, Known};
use rackhaven_proto::convert::backup::{check_archives, check_given, check_jobs, check_progress, check_run};
use rackhaven_proto::daemon::parse_toml;
use rackhaven_proto::model::backup::{BackupAction, BackupOrder, BackupRunId, BackupTrigger, Job, Keep, RawJob};
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

/// The longest message that a controller takes of a node, bytes.
const MESSAGE_BYTES: usize = 1024 * 1024;

pub(super) fn result(data: &[u8]) {
    let (Ok(id), Ok(job)) = ("run-1".parse(), "etc".parse()) else { return };
    let (action, trigger) = (BackupAction::Save { full: false }, BackupTrigger::Schedule);
    let run = Run { id, job, action, trigger, started_unix_ms: NOW_MS, tries: 0 };
    // Whatever the engine wrote: the controller takes what the agent makes of it.
    let told = report_by(&run, Ok(data), NOW_MS);
    assert!(told.encoded_len() < MESSAGE_BYTES, "{} bytes", told.encoded_len());
    assert_eq!(told.run.as_ref().map(check_run), Some(Ok(())));
    assert_eq!(told.archives.as_ref().map_or(Ok(()), |list| check_archives(&list.archives)), Ok(()));
    if let Some(progress) = progress_by(&run, data) {
        assert_eq!(check_progress(&progress), Ok(()));
    }
    record(data);
}

/// What stands beside an archive: beside one of its name, and one that builds on it.
fn record(data: &[u8]) {
    let Ok(record) = serde_json::from_slice::<Record>(data) else { return };
    let found = |name: &str, record: Option<Record>| Found {
        name: name.to_owned(),
        record,
        stored_bytes: 1,
        written_unix_ms: NOW_MS,
    };
    let other = "2026-01-01T000000Z-2-inc.tar.zst";
    let archives = in_order(vec![found(other, None), found(&record.name.clone(), Some(record))]);
    let decision = decide(&candidates(&archives), &Keep { last: 1, ..Keep::default() });
    assert_eq!(decision.keep.len() + decision.remove.len(), archives.len());
    assert_eq!(listed(&archives).len(), archives.len());
    let _ = next_sequence(&archives);
}
