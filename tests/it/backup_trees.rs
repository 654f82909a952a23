//! Trees in a folder or on a mounted share: nothing is lost, nothing is claimed that is not so.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::signal::Signal;
use rackhaven_tests::saving::fill_awkwardly;
use rackhaven_tests::{Daemon, Saving, SmallDisk, wait_for, wait_until};

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Files of 64 KiB, so that a run at this pace takes a while.
fn fill_slowly(saving: &Saving, files: u32) {
    for number in 0..files {
        let content: Vec<u8> = (0..65_536_u32).map(|at| (at.wrapping_mul(number + 7) >> 5) as u8).collect();
        fs::write(saving.source().join(format!("f{number:04}")), content).unwrap();
    }
}

/// How many files a run has put into its unfinished tree.
fn copied(saving: &Saving, repository: &Path) -> usize {
    let job = repository.join("pi-1/home");
    let is_tree = |name: &String| name.ends_with(".partial") && !name.contains("manifest");
    let begun = |name: &String| fs::metadata(job.join(name)).and_then(|metadata| metadata.created()).ok();
    // Beside it may be the one that it goes on with.
    let partial = names(&job).into_iter().filter(is_tree).max_by_key(begun);
    partial.map_or(0, |partial| names(&saving.below(&job.join(partial))).len())
}

async fn killed_after(saving: &Saving, repository: &Path, files: usize) {
    let mut engine = saving.start(&["run"]).unwrap();
    wait_until("files in the tree", async || copied(saving, repository) >= files).await.unwrap();
    engine.kill().await.unwrap();
}

#[tokio::test]
async fn everything_comes_back_as_it_was() {
    let saving = Saving::new().unwrap();
    fill_awkwardly(&saving.source()).unwrap();
    let repository = saving.top().join("repository");
    saving.write_job(&format!("repository = '{}'\n", repository.display())).unwrap();
    let first = saving.save().await.unwrap();
    fs::write(saving.source().join("random"), "written anew").unwrap();
    let second = saving.save().await.unwrap();
    for archive in [&first, &second] {
        let verified = saving.run(&["verify", archive]).await.unwrap();
        assert_eq!(verified.code, Some(0), "{verified:?}");
    }
    let job = repository.join("pi-1/home");
    assert_eq!(saving.differences(&saving.below(&job.join("latest"))).await.unwrap(), "");
    let changed = saving.differences(&saving.below(&job.join(&first))).await.unwrap();
    assert_eq!(changed.lines().map(|line| line.rsplit(' ').next().unwrap()).collect::<Vec<_>>(), ["random"]);
    let back = saving.top().join("back");
    saving.give_back(&back).await.unwrap();
    assert_eq!(saving.differences(&saving.below(&back)).await.unwrap(), "");
}

#[tokio::test]
async fn nothing_is_written_where_the_share_is_not_mounted() {
    let saving = Saving::new().unwrap();
    fs::write(saving.source().join("text"), "hello").unwrap();
    let point = saving.top().join("nas");
    let repository = point.join("backups");
    let requires = format!("requires_mount = '{}'\n", point.display());
    for lines in ["", &requires] {
        saving.write_job(&format!("repository = '{}'\n{lines}", repository.display())).unwrap();
        let disk = SmallDisk::mount(&point, 4 << 20).unwrap();
        let _ = fs::remove_dir_all(saving.top().join("state"));
        saving.save().await.unwrap();
        drop(disk);
        let refused = saving.run(&["run"]).await.unwrap();
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.out.contains("the repository is not there"), "{refused:?}");
        assert_eq!(names(&point), [""; 0], "below the bare mount point");
    }
}

#[tokio::test]
async fn a_share_that_goes_away_during_a_run_gets_nothing_below_it() {
    let saving = Saving::new().unwrap();
    fill_slowly(&saving, 40);
    let point = saving.top().join("nas");
    let repository = point.join("backups");
    let lines = format!("repository = '{}'\n[limits]\nbytes_per_second = 1500000\n", repository.display());
    saving.write_job(&lines).unwrap();
    let disk = SmallDisk::mount(&point, 16 << 20).unwrap();
    let mut engine = saving.start(&["run"]).unwrap();
    wait_until("files in the tree", async || copied(&saving, &repository) > 5).await.unwrap();
    drop(disk);
    let ended = engine.ended().await.unwrap();
    assert_eq!(ended.code(), Some(1));
    assert_eq!(names(&point), [""; 0], "below the bare mount point");
    let said = fs::read_to_string(saving.top().join("engine.out")).unwrap();
    assert!(said.contains("the repository is not there"), "{said}");
}

#[tokio::test]
async fn a_full_disk_costs_the_run_and_nothing_else() {
    let saving = Saving::new().unwrap();
    let repository = saving.top().join("nas");
    let _disk = SmallDisk::mount(&repository, 4 << 20).unwrap();
    saving.write_job(&format!("repository = '{}'\n", repository.display())).unwrap();
    fs::write(saving.source().join("text"), "hello").unwrap();
    let first = saving.save().await.unwrap();
    let before = names(&repository.join("pi-1/home"));
    fill_slowly(&saving, 100);
    let failed = saving.run(&["run"]).await.unwrap();
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.out.contains("the repository has no room"), "{failed:?}");
    assert_eq!(names(&repository.join("pi-1/home")), before);
    assert_eq!(saving.run(&["verify", &first]).await.unwrap().code, Some(0));
    for number in 20..100 {
        fs::remove_file(saving.source().join(format!("f{number:04}"))).unwrap();
    }
    saving.save().await.unwrap();
}

#[tokio::test]
async fn a_run_that_is_killed_is_gone_on_with() {
    let saving = Saving::new().unwrap();
    fill_slowly(&saving, 30);
    let repository = saving.top().join("repository");
    let lines = format!("repository = '{}'\n[limits]\nbytes_per_second = 3000000\n", repository.display());
    saving.write_job(&lines).unwrap();
    for files in [1, 4, 9, 14, 19, 24, 28] {
        killed_after(&saving, &repository, files).await;
        let job = repository.join("pi-1/home");
        let finished: Vec<String> = names(&job).into_iter().filter(|name| name.ends_with('Z')).collect();
        assert_eq!(finished, [""; 0], "after {files} files");
        assert!(!job.join("latest").exists());
    }
    let archive = saving.save().await.unwrap();
    let job = repository.join("pi-1/home");
    assert_eq!(saving.differences(&saving.below(&job.join(&archive))).await.unwrap(), "");
    assert_eq!(saving.run(&["verify"]).await.unwrap().code, Some(0));
    assert!(names(&job).iter().all(|name| !name.contains("partial")), "{:?}", names(&job));
}

#[tokio::test]
async fn a_run_that_is_stopped_ends_soon_and_cleanly() {
    let saving = Saving::new().unwrap();
    fill_slowly(&saving, 60);
    let repository = saving.top().join("repository");
    let lines = format!("repository = '{}'\n[limits]\nbytes_per_second = 200000\n", repository.display());
    saving.write_job(&lines).unwrap();
    let mut engine = saving.start(&["run"]).unwrap();
    wait_until("files in the tree", async || copied(&saving, &repository) > 2).await.unwrap();
    engine.signal(Signal::SIGTERM).unwrap();
    assert_eq!(engine.ended().await.unwrap().code(), Some(1));
    let said = fs::read_to_string(saving.top().join("engine.out")).unwrap();
    assert!(said.contains("\"outcome\":\"stopped\""), "{said}");
    saving.write_job(&format!("repository = '{}'\n", repository.display())).unwrap();
    saving.save().await.unwrap();
}

#[tokio::test]
async fn prune_may_be_killed_anywhere() {
    let saving = Saving::new().unwrap();
    let repository = saving.top().join("repository");
    saving.write_job(&format!("repository = '{}'\n", repository.display())).unwrap();
    for number in 0..400 {
        fs::write(saving.source().join(format!("{number}")), format!("{number}")).unwrap();
    }
    for _ in 0..6 {
        saving.save().await.unwrap();
    }
    saving.write_job(&format!("repository = '{}'\n[keep]\nlast = 2\n", repository.display())).unwrap();
    let job = repository.join("pi-1/home");
    for _ in 0..3 {
        let mut prune: Daemon = saving.start(&["prune"]).unwrap();
        let begun = || names(&job).iter().any(|name| name.ends_with(".removing"));
        wait_for("a removal", async || Ok((begun() || prune_ended(&mut prune)).then_some(()))).await.unwrap();
        let _ = prune.kill().await;
        for archive in saving.archives().await.unwrap() {
            let verified = saving.run(&["verify", &archive]).await.unwrap();
            assert_eq!(verified.code, Some(0), "{archive}: {verified:?}");
        }
    }
    assert_eq!(saving.run(&["prune"]).await.unwrap().code, Some(0));
    assert_eq!(saving.archives().await.unwrap().len(), 2);
    assert_eq!(names(&job).len(), 8, "{:?}", names(&job));
}

fn prune_ended(prune: &mut Daemon) -> bool {
    prune.poll_end().unwrap().is_some()
}

#[tokio::test]
async fn what_goes_away_during_a_run_is_told() {
    let saving = Saving::new().unwrap();
    fill_slowly(&saving, 30);
    let repository = saving.top().join("repository");
    let lines = format!("repository = '{}'\n[limits]\nbytes_per_second = 1000000\n", repository.display());
    saving.write_job(&lines).unwrap();
    let mut engine = saving.start(&["run"]).unwrap();
    wait_until("files in the tree", async || copied(&saving, &repository) > 2).await.unwrap();
    fs::remove_file(saving.source().join("f0029")).unwrap();
    assert_eq!(engine.ended().await.unwrap().code(), Some(3));
    let said = fs::read_to_string(saving.top().join("engine.out")).unwrap();
    assert!(said.contains("\"outcome\":\"warn\"") && said.contains("f0029"), "{said}");
    assert_eq!(saving.run(&["verify"]).await.unwrap().code, Some(0));
}

#[tokio::test]
async fn what_cannot_be_read_is_told() {
    let saving = Saving::new().unwrap();
    let repository = saving.top().join("repository");
    saving.write_job(&format!("repository = '{}'\n", repository.display())).unwrap();
    fs::write(saving.source().join("text"), "hello").unwrap();
    fs::write(saving.source().join("secret"), "hello").unwrap();
    let mut chown = rackhaven_tests::process::command("sh");
    chown.args([
        "-c",
        "chmod 755 \"$1\"; chown -R 65534:65534 \"$1\"; cd \"$1\"/source; chown 0:0 secret; chmod 600 secret",
    ]);
    assert!(chown.arg("sh").arg(saving.top()).status().unwrap().success());
    let engine = saving.engine(&["run"]).unwrap();
    let mut nobody = rackhaven_tests::process::command("setpriv");
    nobody.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    // The engine lies where only root may look.
    let own = saving.top().join("engine");
    fs::copy(engine.get_program(), &own).unwrap();
    nobody.arg(&own).args(engine.get_args());
    let ended = rackhaven_tests::process::run_to_end(nobody).await.unwrap();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.out.contains("\"outcome\":\"partial\"") && ended.out.contains("source/secret"), "{ended:?}");
    let tree = saving.below(&repository.join("pi-1/home/latest"));
    assert_eq!(names(&tree), ["text"]);
    assert_eq!(fs::metadata(tree.join("text")).unwrap().uid(), 65534);
}
