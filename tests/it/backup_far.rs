//! Trees and archives on other machines, by ssh and to an rsync daemon.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rackhaven_backup::outcome::{ArchiveKind, Outcome};
use rackhaven_backup::repository::{Record, Ssh, SshPlace, Store};
use rackhaven_backup::stop::Stop;
use rackhaven_tests::saving::fill_awkwardly;
use rackhaven_tests::{Rsyncd, Saving, Sshd, address, wait_until};

fn job_folder(repository: &Path) -> PathBuf {
    repository.join("pi-1/home")
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Saves three times with changes between, and gives everything back.
async fn round_trip(saving: &Saving, repository: &Path, lines: &str) {
    fill_awkwardly(&saving.source()).unwrap();
    fs::write(saving.source().join("sly"), "before").unwrap();
    saving.write_job(&format!("{lines}[keep]\nlast = 2\n")).unwrap();
    let first = saving.save().await.unwrap();
    let sly = File::options().write(true).open(saving.source().join("sly")).unwrap();
    let time = sly.metadata().unwrap().modified().unwrap();
    sly.write_at(b"behind", 0).unwrap();
    // As long as before, and within the same second, as far as rsync sees.
    sly.set_modified(time + std::time::Duration::from_nanos(1)).unwrap();
    fs::remove_file(saving.source().join("empty-file")).unwrap();
    let second = saving.save().await.unwrap();
    let at = |archive: &str, name: &str| saving.below(&job_folder(repository).join(archive)).join(name);
    let ino = |archive: &str, name: &str| fs::symlink_metadata(at(archive, name)).unwrap().ino();
    assert_eq!(ino(&first, "random"), ino(&second, "random"), "what did not change is shared");
    assert_eq!(fs::read(at(&first, "sly")).unwrap(), b"before");
    assert_eq!(fs::read(at(&second, "sly")).unwrap(), b"behind");
    assert!(!at(&second, "empty-file").exists());
    assert_eq!(saving.differences(&at(&second, "")).await.unwrap(), "");
    let third = saving.save().await.unwrap();
    assert_eq!(saving.archives().await.unwrap(), [second, third]);
    assert!(!job_folder(repository).join(&first).exists());
    let back = saving.top().join("back");
    saving.give_back(&back).await.unwrap();
    assert_eq!(saving.differences(&saving.below(&back)).await.unwrap(), "");
    let one = saving.top().join("one");
    let (to, path) = (one.display().to_string(), saving.source().join("deep/er").display().to_string());
    assert_eq!(saving.run(&["restore", "latest", &path, "--to", &to]).await.unwrap().code, Some(0));
    assert_eq!(fs::read(saving.below(&one).join("deep/er/still/text")).unwrap(), b"hello");
    assert!(!saving.below(&one).join("random").exists());
}

#[tokio::test]
async fn trees_by_ssh_come_back_as_they_were() {
    let saving = Saving::new().unwrap();
    let sshd = Sshd::start(saving.top(), address::fresh()).await.unwrap();
    let repository = saving.top().join("a repository");
    round_trip(&saving, &repository, &sshd.repository(&repository)).await;
    assert!(job_folder(&repository).join("latest/tmp").exists() || job_folder(&repository).join("latest").exists());
}

#[tokio::test]
async fn trees_of_a_daemon_come_back_as_they_were() {
    let saving = Saving::new().unwrap();
    let module = saving.top().join("module");
    fs::create_dir_all(module.join("sub")).unwrap();
    let daemon = Rsyncd::start(saving.top(), &module, address::fresh()).await.unwrap();
    round_trip(&saving, &module.join("sub"), &daemon.repository("sub")).await;
    // Where it is, it can be read back as a folder.
    saving.write_job(&format!("repository = '{}'\n", module.join("sub").display())).unwrap();
    let verified = saving.run(&["verify"]).await.unwrap();
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[tokio::test]
async fn a_daemon_that_lets_nothing_be_removed_takes_the_next_tree_after_a_run_that_was_killed() {
    let saving = Saving::new().unwrap();
    let module = saving.top().join("module");
    fs::create_dir_all(module.join("sub")).unwrap();
    let at = address::fresh();
    let daemon = Rsyncd::start_with(saving.top(), &module, at, "refuse options = delete\n").await.unwrap();
    fs::write(saving.source().join("small"), "hello").unwrap();
    fs::write(saving.source().join("zlarge"), vec![7; 6_000_000]).unwrap();
    saving.write_job(&format!("{}[limits]\nbytes_per_second = 400000\n", daemon.repository("sub"))).unwrap();
    let job = job_folder(&module.join("sub"));
    let mut engine = saving.start(&["run"]).unwrap();
    let small = || names(&job).iter().any(|name| saving.below(&job.join(name)).join("small").exists());
    wait_until("a file that arrived", async || small()).await.unwrap();
    engine.kill().await.unwrap();
    let cut = names(&job);
    saving.write_job(&daemon.repository("sub")).unwrap();
    let run = saving.run(&["run"]).await.unwrap();
    assert!(run.code == Some(0) && run.out.contains("was cut off, and stays"), "{run:?}");
    let archives = saving.archives().await.unwrap();
    assert!(archives.len() == 1 && !cut.contains(&archives[0]), "{archives:?} {cut:?}");
    assert_eq!(saving.differences(&saving.below(&job.join(&archives[0]))).await.unwrap(), "");
}

#[tokio::test]
async fn a_cut_connection_leaves_no_tree_and_the_next_run_goes_on() {
    let saving = Saving::new().unwrap();
    let at = address::fresh();
    let mut sshd = Sshd::start(saving.top(), at).await.unwrap();
    let repository = saving.top().join("repository");
    fs::write(saving.source().join("small"), "hello").unwrap();
    saving.write_job(&sshd.repository(&repository)).unwrap();
    let first = saving.save().await.unwrap();
    let content: Vec<u8> = (0..6_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(saving.source().join("zlarge"), content).unwrap();
    saving.write_job(&format!("{}[limits]\nbytes_per_second = 400000\n", sshd.repository(&repository))).unwrap();
    let mut engine = saving.start(&["run"]).unwrap();
    let job = job_folder(&repository);
    let arrived = || {
        let partial = names(&job).into_iter().find(|name| name.ends_with("Z.partial"))?;
        saving.below(&job.join(partial)).join("small").exists().then_some(())
    };
    wait_until("a file that arrived", async || arrived().is_some()).await.unwrap();
    sshd.cut().await.unwrap();
    assert_eq!(engine.ended().await.unwrap().code(), Some(1));
    let whole = |name: &String| name.ends_with('Z') && *name != first;
    assert!(!names(&job).iter().any(whole), "{:?}", names(&job));
    // In the tree that was cut off this shares its content with the first one.
    fs::write(saving.source().join("small"), "hello, and more").unwrap();
    let sshd = Sshd::start(saving.top(), at).await.unwrap();
    saving.write_job(&sshd.repository(&repository)).unwrap();
    let archive = saving.save().await.unwrap();
    assert_eq!(saving.differences(&saving.below(&job.join(archive))).await.unwrap(), "");
    assert!(names(&job).iter().all(|name| !name.contains("partial")), "{:?}", names(&job));
    assert_eq!(fs::read(saving.below(&job.join(first)).join("small")).unwrap(), b"hello");
}

#[tokio::test]
async fn a_far_repository_must_be_found_again() {
    let saving = Saving::new().unwrap();
    let sshd = Sshd::start(saving.top(), address::fresh()).await.unwrap();
    let repository = saving.top().join("repository");
    fs::write(saving.source().join("text"), "hello").unwrap();
    saving.write_job(&sshd.repository(&repository)).unwrap();
    saving.save().await.unwrap();
    fs::rename(&repository, saving.top().join("away")).unwrap();
    fs::create_dir(&repository).unwrap();
    let refused = saving.run(&["run"]).await.unwrap();
    assert_eq!(refused.code, Some(1));
    assert!(refused.out.contains("has lost its marker"), "{refused:?}");
    assert_eq!(names(&repository), [""; 0]);
}

fn record(name: &str) -> Record {
    Record {
        format: 1,
        name: name.to_owned(),
        sequence: 0,
        received_unix_ms: 0,
        started_unix_ms: 1,
        kind: ArchiveKind::Full,
        base: None,
        outcome: Outcome::Ok,
        entries: 3,
        source_bytes: 10,
        stored_bytes: 0,
        verified: None,
    }
}

const NAME: &str = "2026-11-22T021500Z-full.tar.zst";

#[tokio::test]
async fn an_archive_is_streamed_by_ssh_and_read_back() {
    let saving = Saving::new().unwrap();
    let at = address::fresh();
    let mut sshd = Sshd::start(saving.top(), at).await.unwrap();
    let repository = saving.top().join("it's a repository");
    let job = format!("sources = ['/etc']\n{}", sshd.repository(&repository));
    let job: rackhaven_proto::model::backup::Job =
        rackhaven_proto::daemon::parse_toml::<rackhaven_proto::model::backup::RawJob, _>(&job, Path::new("j")).unwrap();
    let rackhaven_proto::model::backup::Repository::Ssh(remote) = job.repository else { panic!("by ssh") };
    let place = SshPlace {
        remote,
        requires_mount: None,
        node: "pi-1".to_owned(),
        job: "home".to_owned(),
        state: saving.top().join("state"),
    };
    let ssh = Ssh::open(&place, 5, &Stop::default()).unwrap();
    assert!(ssh.available_bytes().unwrap().unwrap() > 0);
    let content: Vec<u8> = (0..3_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut upload = ssh.begin(NAME).unwrap();
    upload.write_all(&content).unwrap();
    let published = upload.publish(record(NAME)).unwrap();
    assert_eq!(published.stored_bytes, 3_000_000);
    assert!(published.received_unix_ms > 1_700_000_000_000);
    let folder = job_folder(&repository);
    assert_eq!(fs::read(folder.join(NAME)).unwrap(), content);
    let listed = ssh.list().unwrap();
    assert_eq!(listed.iter().map(|archive| archive.name.as_str()).collect::<Vec<_>>(), [NAME]);
    let stored = Store::open(&ssh, NAME).unwrap();
    let mut part = vec![0; 1000];
    assert_eq!((stored.read_at(2_999_500, &mut part).unwrap(), stored.len_bytes()), (500, 3_000_000));
    assert_eq!(part[..500], content[2_999_500..]);
    let mut streamed = Vec::new();
    stored.stream(7, 100_000).unwrap().read_to_end(&mut streamed).unwrap();
    assert_eq!(streamed, content[7..100_007]);
    // What is given up, or arrives otherwise than it was sent, gets no name.
    let other = "2026-11-23T021500Z-full.tar.zst";
    let mut upload = ssh.begin(other).unwrap();
    upload.write_all(b"half").unwrap();
    drop(upload);
    let mut upload = ssh.begin(other).unwrap();
    upload.write_all(&content).unwrap();
    wait_until("the beginning of it", async || folder.join(format!("{other}.partial")).exists()).await.unwrap();
    sshd.cut().await.unwrap();
    assert!(upload.publish(record(other)).is_err());
    assert!(!folder.join(other).exists());
    let _sshd = Sshd::start(saving.top(), at).await.unwrap();
    ssh.clean().unwrap();
    ssh.remove(NAME).unwrap();
    assert_eq!(names(&folder), [""; 0]);
}
