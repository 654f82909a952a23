//! Reports of runs that have ended, until the controller has stored them: one file each.

use std::path::{Path, PathBuf};

use prost::Message;
use rackhaven_pki::durable;
use rackhaven_proto::model::backup::BackupRunId;
use rackhaven_proto::v1;

/// So many are kept; the oldest go first.
const MAX_REPORTS: usize = 200;
const KIND: &str = "backup-report";
const SUFFIX: &str = ".report";

/// Keeps a report. What had to go for it, if anything had.
pub(super) fn keep(folder: &Path, id: &BackupRunId, report: &v1::BackupReport) -> Option<String> {
    let path = folder.join(format!("{id}{SUFFIX}"));
    let written = std::fs::create_dir_all(folder).map_err(|error| error.to_string()).and_then(|()| {
        durable::replace_checked(&path, KIND, 1, &report.encode_to_vec(), 0o600).map_err(|error| error.to_string())
    });
    if let Err(error) = written {
        // It is told all the same, if there is a session.
        tracing::error!(error, %id, "the report of a backup could not be written down");
    }
    // What the engine wrote is in the report now.
    let _ = std::fs::remove_file(folder.join(format!("{id}.result")));
    let mut kept = files(folder);
    let surplus = kept.len().saturating_sub(MAX_REPORTS);
    let dropped: Vec<PathBuf> = kept.drain(..surplus).collect();
    dropped.iter().for_each(|path| drop(std::fs::remove_file(path)));
    (surplus > 0).then(|| format!("{surplus} reports of backups were dropped: more than could be kept"))
}

/// All that wait, oldest first. A damaged one is set aside.
pub(super) fn waiting(folder: &Path) -> Vec<v1::BackupReport> {
    let read = |path: &PathBuf| {
        let bytes = match durable::read_checked(path, KIND, 1) {
            Ok(bytes) => bytes?,
            Err(error) => {
                tracing::error!(%error, "the report of a backup is damaged");
                let _ = durable::set_aside(path);
                return None;
            }
        };
        v1::BackupReport::decode(bytes.as_slice()).ok()
    };
    files(folder).iter().filter_map(read).collect()
}

/// The controller has stored it.
pub(super) fn forget(folder: &Path, id: &BackupRunId) {
    if let Err(error) = durable::remove(&folder.join(format!("{id}{SUFFIX}"))) {
        tracing::warn!(%error, "a report that is stored stays on the disk");
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let reports = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(SUFFIX));
    let dated = reports.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())));
    let mut dated: Vec<_> = dated.collect();
    dated.sort();
    dated.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::v1;

    use super::{MAX_REPORTS, forget, keep, waiting};

    fn report(id: &str) -> v1::BackupReport {
        let run = v1::BackupRun { run_id: id.to_owned(), message: "done".to_owned(), ..v1::BackupRun::default() };
        v1::BackupReport { run: Some(run), archives: None }
    }

    #[test]
    fn what_is_kept_is_told_until_it_is_stored_and_no_more_than_fits() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("runs");
        assert!(waiting(&folder).is_empty());
        for n in 0..MAX_REPORTS {
            assert_eq!(keep(&folder, &format!("r-{n}").parse().unwrap(), &report(&format!("r-{n}"))), None);
        }
        assert_eq!(waiting(&folder).len(), MAX_REPORTS);
        assert!(keep(&folder, &"last".parse().unwrap(), &report("last")).unwrap().starts_with("1 reports"));
        forget(&folder, &"last".parse().unwrap());
        std::fs::write(folder.join("r-7.report"), "rackhaven").unwrap();
        let told = waiting(&folder);
        assert!(told.len() == MAX_REPORTS - 1 || told.len() == MAX_REPORTS - 2, "{}", told.len());
        assert!(told.iter().all(|report| report.run.as_ref().is_some_and(|run| run.run_id != "last")));
    }
}
