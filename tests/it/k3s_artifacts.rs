//! The files of K3s's releases: given to the controller, checked, kept whole or not at all.

use std::fs;
use std::path::Path;

use rackhaven_tests::{Fleet, Release, SmallDisk, wait_until};

const VERSION: &str = "v1.31.4+k3s1";

/// All that the controller keeps in its folder for K3s.
fn kept(fleet: &Fleet) -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => walk(&path, found),
                path => found.push(path.file_name().unwrap().to_string_lossy().into_owned()),
            }
        }
    }
    let mut found = Vec::new();
    walk(&fleet.state().join("k3s"), &mut found);
    found
}

#[tokio::test]
async fn files_of_a_release_are_checked_and_kept() {
    let fleet = Fleet::start().await.unwrap();
    let ctl = fleet.ctl();
    let release = Release::new(fleet.folder()).unwrap();
    let program = release.program("k3s-arm64", 0xb7, 3_000_000).unwrap();
    let images = release.images("k3s-airgap-images-arm64.tar.zst", 5_000_000).unwrap();
    let list = release.list(&["k3s-arm64", "k3s-airgap-images-arm64.tar.zst"]).unwrap();
    let add = |files: &[&Path]| {
        let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
        format!("k3s artifacts add --version {VERSION} {}", files.join(" "))
    };
    let none = ctl.ok("k3s artifacts list").await.unwrap();
    assert!(none.starts_with("No files"), "{none}");
    let added = ctl.json(&add(&[&program, &images, &list])).await.unwrap();
    let listed = ctl.json("k3s artifacts list").await.unwrap();
    assert_eq!(added, listed);
    let facts = |number: usize| {
        let it = &listed["artifacts"][number];
        (it["version"].clone(), it["arch"].clone(), it["kind"].clone(), it["bytes"].clone())
    };
    assert_eq!(facts(0), (VERSION.into(), "arm64".into(), "k3s".into(), 3_000_000.into()));
    assert_eq!(facts(1), (VERSION.into(), "arm64".into(), "images.tar.zst".into(), 5_000_000.into()));
    let again = ctl.run(&add(&[&program, &list])).await.unwrap();
    assert!(again.code == Some(0) && again.err.contains("has it already"), "{again:?}");

    // A file that is damaged, one without a list, one that is something else, one for processors that nobody has.
    let other = release.program("k3s", 0x3e, 1_000_000).unwrap();
    for (files, code, refusal) in [
        (vec![other.as_path(), &list], 1, "is in no list that was given"),
        (vec![other.as_path()], 2, "the release's list of checksums is missing"),
        (vec![list.as_path(), Path::new("/etc/passwd")], 1, "is neither a program nor an archive of images"),
        (vec![list.as_path(), Path::new("/no/such/file")], 1, "No such file"),
    ] {
        let refused = ctl.fails(&add(&files), code).await.unwrap();
        assert!(refused.err.contains(refusal), "{}", refused.err);
    }
    let strange = release.program("k3s-riscv64", 0xf3, 1000).unwrap();
    let refused = ctl.fails(&add(&[&strange, &release.list(&["k3s-riscv64"]).unwrap()]), 1).await.unwrap();
    assert!(refused.err.contains("processors that Rackhaven does not know"), "{}", refused.err);
    ctl.fails("k3s artifacts add --version 1.31 x", 2).await.unwrap();
    assert_eq!(kept(&fleet).len(), 2);

    let operator = ctl.another("olga", "operator", &fleet.endpoint(), &fleet.folder().join("olga")).await.unwrap();
    operator.ok("k3s artifacts list").await.unwrap();
    for line in [add(&[&other, &release.list(&["k3s"]).unwrap()]), format!("k3s artifacts remove {VERSION} --yes")] {
        operator.fails(&line, 5).await.unwrap();
    }
    ctl.fails(&format!("k3s artifacts remove {VERSION} --arch amd64 --yes"), 1).await.unwrap();
    ctl.ok(&format!("k3s artifacts remove {VERSION} --yes")).await.unwrap();
    assert!(kept(&fleet).is_empty());
    for action in ["K3s/AddArtifact", "K3s/RemoveArtifacts"] {
        let done = |record: &rackhaven_proto::v1::AuditRecord| record.action == action && record.outcome == "ok";
        let record = fleet.wait_for_audit(action, done).await.unwrap();
        assert!(record.target.starts_with(VERSION), "{}", record.target);
    }
}

#[tokio::test]
async fn nothing_half_stays() {
    let mut fleet = Fleet::start().await.unwrap();
    let release = Release::new(fleet.folder()).unwrap();
    let program = release.program("k3s-arm64", 0xb7, 100_000_000).unwrap();
    let list = release.list(&["k3s-arm64"]).unwrap();
    let add = format!("k3s artifacts add --version {VERSION} {} {}", program.display(), list.display());
    let partial = |fleet: &Fleet| kept(fleet).iter().filter(|name| name.ends_with(".partial")).count();
    // Who sends it is killed.
    let mut sender = fleet.ctl().start(&add, fleet.folder()).unwrap();
    wait_until("the file to come", async || partial(&fleet) == 1).await.unwrap();
    sender.kill().await.unwrap();
    wait_until("nothing to be left", async || kept(&fleet).is_empty()).await.unwrap();
    // The controller is.
    let mut sender = fleet.ctl().start(&add, fleet.folder()).unwrap();
    wait_until("the file to come", async || partial(&fleet) == 1).await.unwrap();
    fleet.kill_controller().await.unwrap();
    assert!(!sender.ended().await.unwrap().success());
    assert_eq!(kept(&fleet).len(), 1);
    fleet.start_controller().await.unwrap();
    assert!(kept(&fleet).is_empty());
    // It works all the same.
    fleet.ctl().ok(&add).await.unwrap();
    assert_eq!(kept(&fleet).len(), 1);
}

#[tokio::test]
async fn a_disk_without_room_is_not_filled() {
    let mut fleet = Fleet::prepare().unwrap();
    let _disk = SmallDisk::mount(fleet.state(), 16 * 1024 * 1024).unwrap();
    fleet.init().await.unwrap();
    fleet.start_controller().await.unwrap();
    let release = Release::new(fleet.folder()).unwrap();
    let program = release.program("k3s-arm64", 0xb7, 1_000_000).unwrap();
    let list = release.list(&["k3s-arm64"]).unwrap();
    let add = format!("k3s artifacts add --version {VERSION} {} {}", program.display(), list.display());
    let refused = fleet.ctl().fails(&add, 1).await.unwrap();
    assert!(refused.err.contains("1000000 bytes do not fit"), "{}", refused.err);
    assert!(kept(&fleet).is_empty());
}
