//! Jobs that the controller has given this node: files as the admin's own, and the revision of the set.

use std::collections::BTreeSet;
use std::path::Path;

use rackhaven_pki::durable;
use rackhaven_proto::convert::backup::check_given;
use rackhaven_proto::v1;

const KIND: &str = "given-jobs";
const REVISION: &str = "revision";

/// Puts a set in the place of the one before. The revision is written last: if this is cut short, the set comes again.
///
/// # Errors
/// What keeps it from being taken up, for a person.
pub(super) fn keep(folder: &Path, set: &v1::GivenBackupJobs) -> Result<(), String> {
    check_given(&set.jobs).map_err(|invalid| format!("jobs that the controller gives: {invalid}"))?;
    let ours = revision(folder);
    if ours == set.revision {
        return Ok(());
    }
    if ours > set.revision {
        // A controller that was restored from an older record: what it does not know of goes on running.
        return Err(format!(
            "jobs that the controller gives are older than those that are kept ({} < {ours})",
            set.revision
        ));
    }
    let written = || -> Result<(), Box<dyn std::error::Error>> {
        std::fs::create_dir_all(folder)?;
        let wanted: BTreeSet<String> = set.jobs.iter().map(|job| format!("{}.toml", job.name)).collect();
        for entry in std::fs::read_dir(folder)? {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name().to_string_lossy().into_owned()))?;
            if name.ends_with(".toml") && !wanted.contains(&name) {
                durable::remove(&path)?;
            }
        }
        for job in &set.jobs {
            durable::replace(&folder.join(format!("{}.toml", job.name)), job.toml.as_bytes(), 0o600)?;
        }
        durable::replace_checked(&folder.join(REVISION), KIND, 1, set.revision.to_string().as_bytes(), 0o600)?;
        Ok(())
    };
    written().map_err(|error| format!("jobs that the controller gives cannot be kept: {error}"))
}

/// Of the set that is kept; 0 if none ever was, or its record is damaged, and then the set comes again.
pub(super) fn revision(folder: &Path) -> u64 {
    let read = durable::read_checked(&folder.join(REVISION), KIND, 1).ok().flatten();
    read.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::v1;

    use super::{keep, revision};

    fn set(revision: u64, jobs: &[(&str, &str)]) -> v1::GivenBackupJobs {
        let job = |(name, toml): &(&str, &str)| v1::GivenBackupJob { name: (*name).into(), toml: (*toml).into() };
        v1::GivenBackupJobs { revision, jobs: jobs.iter().map(job).collect() }
    }

    #[test]
    fn a_set_replaces_the_one_before() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("given");
        assert_eq!(revision(&folder), 0);
        keep(&folder, &set(3, &[("etc", "a"), ("home", "b")])).unwrap();
        keep(&folder, &set(4, &[("home", "c"), ("srv", "d")])).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
        assert_eq!([read("etc.toml"), read("home.toml"), read("srv.toml")], [None, Some("c".into()), Some("d".into())]);
        assert_eq!(revision(&folder), 4);
        // The same revision is the same set.
        keep(&folder, &set(4, &[])).unwrap();
        assert!(read("home.toml").is_some());
        assert!(keep(&folder, &set(5, &[("../x", "e")])).unwrap_err().contains("job name"));
        assert_eq!(revision(&folder), 4);
        // Nor does an older one replace it.
        assert!(keep(&folder, &set(3, &[])).unwrap_err().contains("older"));
        assert!(read("home.toml").is_some());
    }
}
