use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use rackhaven_proto::model::backup::Keep;

use super::{Local, Place};
use crate::outcome::{ArchiveKind, Outcome};
use crate::repository::prune::prune;
use crate::repository::{MARKER, MountTables, Record, RepositoryError, Store, Verified};

fn place(top: &Path, job: &str) -> Place {
    Place {
        repository: top.join("repository"),
        requires_mount: None,
        node: "pi-1".to_owned(),
        job: job.to_owned(),
        state: top.join("state").join(job),
        mounts: MountTables::default(),
    }
}

fn record(name: &str, base: Option<&str>) -> Record {
    Record {
        format: 1,
        name: name.to_owned(),
        sequence: 0,
        received_unix_ms: 0,
        started_unix_ms: 1,
        kind: if base.is_some() { ArchiveKind::Incremental } else { ArchiveKind::Full },
        base: base.map(str::to_owned),
        outcome: Outcome::Ok,
        entries: 3,
        source_bytes: 10,
        stored_bytes: 0,
        verified: None,
    }
}

fn write(local: &Local, name: &str, base: Option<&str>, bytes: &[u8]) -> Record {
    let mut upload = local.begin(name).unwrap();
    upload.write_all(bytes).unwrap();
    upload.publish(record(name, base)).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const FULL: &str = "2026-11-22T021500Z-full.tar.zst";
const INC: &str = "2020-01-01T000000Z-inc.tar.zst";

#[test]
fn an_archive_is_published_listed_read_and_removed() {
    let top = tempfile::tempdir().unwrap();
    let local = Local::open(place(top.path(), "etc"), 5).unwrap();
    let published = write(&local, FULL, None, b"0123456789");
    assert_eq!((published.sequence, published.stored_bytes), (0, 10));
    write(&local, INC, Some(FULL), b"abc");
    let list = local.list().unwrap();
    assert_eq!(list.iter().map(|archive| archive.name.as_str()).collect::<Vec<_>>(), [FULL, INC]);
    assert_eq!(list[1].base.as_deref(), Some(FULL));
    assert_eq!(names(local.folder()).len(), 5, "a lock, two archives and their records");

    let stored = Store::open(&local, FULL).unwrap();
    let mut text = String::new();
    stored.stream(3, 4).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!((stored.len_bytes(), text.as_str()), (10, "3456"));

    let damaged = Verified { unix_ms: 9, percent: 5, good: false };
    local.write_record(&Record { verified: Some(damaged), ..published }).unwrap();
    assert!(!local.list().unwrap()[0].record.as_ref().unwrap().verified.as_ref().unwrap().good);
    local.remove(INC).unwrap();
    assert_eq!(names(local.folder()), [".lock", FULL, &format!("{FULL}.record.json")]);
}

#[test]
fn what_is_given_up_leaves_nothing() {
    let top = tempfile::tempdir().unwrap();
    let local = Local::open(place(top.path(), "etc"), 5).unwrap();
    let mut upload = local.begin(FULL).unwrap();
    upload.write_all(b"half").unwrap();
    assert_eq!(names(local.folder()), [".lock", &format!("{FULL}.partial")]);
    drop(upload);
    assert_eq!(names(local.folder()), [".lock"]);
}

#[test]
fn what_killed_runs_leave_is_cleaned() {
    let top = tempfile::tempdir().unwrap();
    let local = Local::open(place(top.path(), "etc"), 5).unwrap();
    write(&local, FULL, None, b"x");
    let folder = local.folder().to_owned();
    for left in [
        format!("{INC}.partial"),
        format!("{INC}.record.json"),
        "2026-11-23T000000Z-full.tar.zst.removing".to_owned(),
        "2026-11-23T000000Z-full.tar.zst.record.json".to_owned(),
        "2026-11-24T000000Z.manifest.zst".to_owned(),
        "2026-11-25T000000Z.manifest.zst.partial".to_owned(),
    ] {
        fs::write(folder.join(left), "x").unwrap();
    }
    fs::create_dir_all(folder.join("2026-11-24T000000Z.removing/a/b/c")).unwrap();
    fs::create_dir_all(folder.join("2026-11-25T000000Z.partial/a")).unwrap();
    std::os::unix::fs::symlink("/etc", folder.join("2026-11-24T000000Z.removing/a/etc")).unwrap();
    fs::write(folder.join("a note by hand"), "x").unwrap();
    local.clean_but_trees().unwrap();
    let trees = ["2026-11-25T000000Z.manifest.zst.partial", "2026-11-25T000000Z.partial"];
    let kept = [".lock".to_owned(), FULL.to_owned(), format!("{FULL}.record.json")];
    assert_eq!(
        names(&folder),
        [&kept[..2], &[kept[2].clone()], &trees.map(str::to_owned), &["a note by hand".to_owned()]].concat()
    );
    local.clean().unwrap();
    assert_eq!(names(&folder), [&kept[..], &["a note by hand".to_owned()]].concat());
    assert!(Path::new("/etc/passwd").exists());
}

#[test]
fn a_repository_must_be_found_again() {
    let top = tempfile::tempdir().unwrap();
    let place = place(top.path(), "etc");
    drop(Local::open(place.clone(), 5).unwrap());
    drop(Local::open(place.clone(), 5).unwrap());
    let away = top.path().join("away");
    fs::rename(&place.repository, &away).unwrap();
    let refused = Local::open(place.clone(), 5).unwrap_err();
    assert!(matches!(refused, RepositoryError::NotThere(_)), "{refused}");
    assert!(!place.repository.exists());
    fs::create_dir(&place.repository).unwrap();
    let refused = Local::open(place.clone(), 5).unwrap_err().to_string();
    assert!(refused.contains("has lost its marker"), "{refused}");
    assert_eq!(names(&place.repository), [""; 0]);
    fs::write(
        place.repository.join(MARKER),
        r#"{"format":1,"id":"00000000000000000000000000000000","created_unix_ms":0}"#,
    )
    .unwrap();
    let refused = Local::open(place.clone(), 5).unwrap_err().to_string();
    assert!(refused.contains("is another repository than before"), "{refused}");
    assert_eq!(names(&place.repository), [MARKER]);
}

#[test]
fn nothing_is_made_where_a_mount_is_missing() {
    let top = tempfile::tempdir().unwrap();
    let mut by_job = place(top.path(), "etc");
    by_job.requires_mount = Some(top.path().to_owned());
    let mut by_table = place(top.path(), "etc");
    by_table.mounts.wanted = top.path().join("fstab");
    fs::write(&by_table.mounts.wanted, format!("nas:/v {} nfs4 defaults", top.path().display())).unwrap();
    for place in [by_job, by_table] {
        let refused = Local::open(place.clone(), 5).unwrap_err().to_string();
        assert_eq!(refused, format!("the repository is not there: nothing is mounted at {}", top.path().display()));
        assert!(!place.repository.exists());
    }
}

#[test]
fn two_jobs_share_a_repository_and_no_job_runs_twice() {
    let top = tempfile::tempdir().unwrap();
    let _etc = Local::open(place(top.path(), "etc"), 5).unwrap();
    let _home = Local::open(place(top.path(), "home"), 5).unwrap();
    let busy = Local::open(place(top.path(), "etc"), 5).unwrap_err();
    assert!(matches!(busy, RepositoryError::Busy(_)), "{busy}");
    // Another node's state, the same folder.
    let mut other = place(top.path(), "etc");
    other.state = top.path().join("other");
    let busy = Local::open(other, 5).unwrap_err();
    assert!(matches!(busy, RepositoryError::Busy(_)), "{busy}");
}

#[test]
fn what_was_replaced_during_the_run_gets_no_archive() {
    let top = tempfile::tempdir().unwrap();
    let place = place(top.path(), "etc");
    let local = Local::open(place.clone(), 5).unwrap();
    let mut upload = local.begin(FULL).unwrap();
    upload.write_all(b"x").unwrap();
    let away = top.path().join("away");
    fs::rename(&place.repository, &away).unwrap();
    fs::create_dir_all(local.folder()).unwrap();
    let refused = upload.publish(record(FULL, None)).unwrap_err();
    assert!(matches!(refused, RepositoryError::NotThere(_)), "{refused}");
    assert_eq!(names(local.folder()), [""; 0]);
    assert_eq!(names(&away.join("pi-1/etc")), [".lock"]);
}

#[test]
fn a_name_is_never_taken_twice() {
    let top = tempfile::tempdir().unwrap();
    let local = Local::open(place(top.path(), "etc"), 5).unwrap();
    let mut upload = local.begin(FULL).unwrap();
    upload.write_all(b"new").unwrap();
    fs::write(local.folder().join(FULL), "old").unwrap();
    upload.publish(record(FULL, None)).unwrap_err();
    assert_eq!(fs::read(local.folder().join(FULL)).unwrap(), b"old");
}

#[test]
fn prune_removes_what_is_not_kept_and_says_so() {
    let top = tempfile::tempdir().unwrap();
    let local = Local::open(place(top.path(), "etc"), 5).unwrap();
    write(&local, FULL, None, b"x");
    write(&local, INC, Some(FULL), b"x");
    let newer = "2026-11-24T021500Z-full.tar.zst";
    write(&local, newer, None, b"x");
    let keep = Keep { last: 1, ..Keep::default() };
    let said = prune(&local, &keep, true).unwrap();
    assert_eq!(
        (said.removed.as_slice(), local.list().unwrap().len()),
        ([INC.to_owned(), FULL.to_owned()].as_slice(), 3)
    );
    let done = prune(&local, &keep, false).unwrap();
    assert_eq!((done.removed, done.kept[0].reasons.join(", ")), (said.removed, "the newest good one, last".to_owned()));
    assert_eq!(names(local.folder()), [".lock".to_owned(), newer.to_owned(), format!("{newer}.record.json")]);
}
