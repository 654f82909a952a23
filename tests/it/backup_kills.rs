//! The engine is killed, or refused a system call, at any point: what has an archive's name verifies, and the next run
//! goes well.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rackhaven_tests::process::run_to_end;
use rackhaven_tests::strace::{counts, injured, traced};
use rackhaven_tests::{Rsyncd, Saving, Sshd, address};

/// The system calls that make an archive, or show that there is one.
const CALLS: [&str; 16] = [
    "openat",
    "mkdirat",
    "write",
    "pwrite64",
    "copy_file_range",
    "ftruncate",
    "fallocate",
    "linkat",
    "symlinkat",
    "unlinkat",
    "fsync",
    "fdatasync",
    "renameat",
    "renameat2",
    "utimensat",
    "statx",
];

/// A small tree with a large file, and its job.
struct Rig {
    saving: Saving,
    /// Where the archives are.
    job: PathBuf,
    round: usize,
}

impl Rig {
    fn new(engine: &str, more: &str) -> Self {
        let saving = Saving::in_memory().unwrap();
        let repository = saving.top().join("repository");
        let lines = format!("repository = '{}'\n{more}", repository.display());
        let rig = Self { saving, job: repository.join("pi-1/home"), round: 0 };
        rig.fill();
        rig.saving.write_job_of(engine, &lines).unwrap();
        rig
    }

    fn fill(&self) {
        let source = self.saving.source();
        fs::create_dir(source.join("folder")).unwrap();
        for number in 0..12 {
            fs::write(source.join(format!("folder/{number}")), format!("{number}").repeat(500)).unwrap();
        }
        fs::write(source.join("large"), noise(5_000_000, 1)).unwrap();
        fs::hard_link(source.join("large"), source.join("also large")).unwrap();
        std::os::unix::fs::symlink("nowhere", source.join("link")).unwrap();
    }

    /// Other content each time, other names each time.
    fn change(&mut self) {
        self.round += 1;
        let source = self.saving.source();
        fs::write(source.join("changing"), noise(40_000, self.round as u64)).unwrap();
        let _ = fs::remove_file(source.join(format!("new-{}", self.round - 1)));
        fs::write(source.join(format!("new-{}", self.round)), "new").unwrap();
    }

    /// What has an archive's name, by whatever is there.
    fn archives(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.job).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        let is_archive = |name: &String| name.starts_with("20") && (!name.contains('.') || name.ends_with(".tar.zst"));
        let mut names: Vec<String> = names.filter(is_archive).collect();
        names.sort();
        names
    }

    async fn assert_all_verify(&self, when: &str) {
        for archive in self.archives() {
            let verified = self.saving.run(&["verify", &archive]).await.unwrap();
            assert_eq!(verified.code, Some(0), "{when}: {archive}: {verified:?}");
        }
    }

    async fn assert_gives_back(&self, when: &str) {
        let back = self.saving.top().join("back");
        let _ = fs::remove_dir_all(&back);
        self.saving.give_back(&back).await.unwrap();
        assert_eq!(self.saving.differences(&self.saving.below(&back)).await.unwrap(), "", "{when}");
    }

    fn assert_nothing_is_left(&self, when: &str) {
        let entries = fs::read_dir(&self.job).unwrap();
        let names: BTreeSet<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let left = names.iter().any(|name| name.ends_with(".partial") || name.ends_with(".removing"));
        assert!(!left, "{when}: {names:?}");
    }

    /// Which system calls a command makes, and how often.
    async fn points(&self, words: &[&str]) -> Vec<(String, usize)> {
        let log = self.saving.top().join("calls");
        let ran = run_to_end(traced(&self.saving.engine(words).unwrap(), &CALLS, &log)).await.unwrap();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let counts = counts(&log).unwrap();
        counts.into_iter().flat_map(|(call, count)| (1..=count).map(move |number| (call.clone(), number))).collect()
    }

    /// Runs a command that is hurt at this point; whether it did not end well.
    async fn hurt(&self, words: &[&str], (call, number): &(String, usize), fault: &str) -> bool {
        let hurt = injured(&self.saving.engine(words).unwrap(), call, fault, *number);
        run_to_end(hurt).await.unwrap().code != Some(0)
    }
}

/// Bytes that compress little, and differ with the seed.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// So many of the points: the rare calls, by which names come and go, all of them; of the others some, by chance that is
/// always the same.
fn chosen(points: Vec<(String, usize)>, count: usize) -> Vec<(String, usize)> {
    let rare = ["renameat", "renameat2", "fsync", "fdatasync", "mkdirat", "symlinkat", "linkat"];
    let mut keyed: Vec<(u64, (String, usize))> = points
        .into_iter()
        .map(|(call, number)| {
            let first = rare.contains(&call.as_str()) && number <= 8;
            let chance = (number as u64 ^ call.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 1;
            (if first { 0 } else { chance | 1 }, (call, number))
        })
        .collect();
    keyed.sort();
    keyed.into_iter().map(|(_, point)| point).take(count).collect()
}

/// Kills runs at 50 points; after each everything verifies, the next run goes well, and now and then all is given back.
async fn killed_at_many_points(mut rig: Rig) {
    rig.saving.save().await.unwrap();
    rig.change();
    let points = chosen(rig.points(&["run"]).await, 50);
    assert_eq!(points.len(), 50, "{points:?}");
    let mut killed = 0;
    for (round, point) in points.iter().enumerate() {
        let when = format!("killed at {point:?}");
        rig.change();
        killed += usize::from(rig.hurt(&["run"], point, "signal=KILL").await);
        rig.assert_all_verify(&when).await;
        let archive = rig.saving.save().await.unwrap();
        assert!(rig.archives().contains(&archive), "{when}");
        rig.assert_nothing_is_left(&when);
        if round % 5 == 4 {
            rig.assert_gives_back(&when).await;
        }
    }
    assert!(killed >= 40, "{killed} of {}", points.len());
    rig.assert_all_verify("at last").await;
}

#[tokio::test]
async fn archives_whose_runs_are_killed_at_fifty_points() {
    // Full ones and increments in turns.
    killed_at_many_points(Rig::new("tar", "full_every = 2\n[keep]\nlast = 1\n")).await;
}

#[tokio::test]
async fn trees_whose_runs_are_killed_at_fifty_points() {
    killed_at_many_points(Rig::new("rsync", "[keep]\nlast = 1\n")).await;
}

/// Refuses one system call each time, as a full or broken disk does.
async fn refused_at_many_points(mut rig: Rig, fault: &str, count: usize) {
    rig.saving.save().await.unwrap();
    rig.change();
    let mut points = rig.points(&["run"]).await;
    points.retain(|(call, _)| !matches!(call.as_str(), "openat" | "statx"));
    let mut failed = 0;
    for point in chosen(points, count) {
        let when = format!("{fault} at {point:?}");
        rig.change();
        failed += usize::from(rig.hurt(&["run"], &point, fault).await);
        rig.assert_all_verify(&when).await;
        rig.saving.save().await.unwrap();
        rig.assert_nothing_is_left(&when);
    }
    rig.assert_gives_back(fault).await;
    assert!(failed > 0, "nothing failed");
}

#[tokio::test]
async fn archives_on_a_disk_that_is_full_or_broken_at_any_moment() {
    let more = "full_every = 2\n[keep]\nlast = 1\n";
    refused_at_many_points(Rig::new("tar", more), "error=ENOSPC", 15).await;
    refused_at_many_points(Rig::new("tar", more), "error=EIO", 15).await;
}

#[tokio::test]
async fn trees_on_a_disk_that_is_full_or_broken_at_any_moment() {
    let more = "[keep]\nlast = 1\n";
    refused_at_many_points(Rig::new("rsync", more), "error=ENOSPC", 15).await;
    refused_at_many_points(Rig::new("rsync", more), "error=EIO", 15).await;
}

fn copied(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let mut cp = rackhaven_tests::process::command("cp");
    assert!(cp.arg("-a").arg("--").arg(from).arg(to).status().unwrap().success());
}

/// Hurts a prune at each of its system calls that changes something; after each, all that is still listed verifies and
/// the newest is given back, and the next prune ends what this one began.
async fn pruned(mut rig: Rig, keep: &str, stay: usize) {
    for _ in 0..5 {
        rig.change();
        rig.saving.save().await.unwrap();
    }
    assert_eq!(rig.archives().len(), 5, "{:?}", rig.archives());
    let file = rig.saving.top().join("home.toml");
    fs::write(&file, format!("{}[keep]\n{keep}\n", fs::read_to_string(&file).unwrap())).unwrap();
    let (repository, template) = (rig.saving.top().join("repository"), rig.saving.top().join("template"));
    copied(&repository, &template);
    let mut points = rig.points(&["prune"]).await;
    points.retain(|(call, _)| ["renameat", "renameat2", "unlinkat", "fsync"].contains(&call.as_str()));
    assert_eq!(rig.archives().len(), stay);
    let kept = rig.archives();
    // Trees have many names to go; the first and the last of them are enough.
    let last = points.len().saturating_sub(8);
    points = points.into_iter().enumerate().filter(|(n, _)| *n < 16 || *n >= last).map(|(_, point)| point).collect();
    for (round, point) in points.iter().enumerate() {
        let fault = if round % 3 == 2 { "error=EIO" } else { "signal=KILL" };
        let when = format!("{fault} at {point:?}");
        copied(&template, &repository);
        assert!(rig.hurt(&["prune"], point, fault).await, "{when}");
        assert!(kept.iter().all(|name| rig.archives().contains(name)), "{when}: {:?}", rig.archives());
        let mut listed = rig.saving.archives().await.unwrap();
        listed.sort();
        assert_eq!(listed, rig.archives(), "{when}");
        rig.assert_all_verify(&when).await;
        let pruned = rig.saving.run(&["prune"]).await.unwrap();
        assert_eq!((pruned.code, rig.archives()), (Some(0), kept.clone()), "{when}: {pruned:?}");
        rig.assert_nothing_is_left(&when);
    }
    rig.assert_gives_back("after all").await;
}

#[tokio::test]
async fn chains_whose_prune_is_killed_or_refused_at_each_step() {
    // f i i f i: the last chain stays whole.
    pruned(Rig::new("tar", "full_every = 2\n"), "last = 1", 2).await;
}

#[tokio::test]
async fn trees_whose_prune_is_killed_or_refused_at_each_step() {
    pruned(Rig::new("rsync", ""), "last = 2", 2).await;
}

/// The engine is killed while the other machine goes on. What is there is looked at in its folder.
async fn far_and_killed(saving: Saving, repository: &Path, engine: &str, lines: &str) {
    let mut rig = Rig { saving, job: repository.join("pi-1/home"), round: 0 };
    rig.fill();
    let often = if engine == "tar" { "full_every = 2\n" } else { "" };
    let far = format!("{lines}{often}");
    let near = format!("repository = '{}'\n", repository.display());
    rig.saving.write_job_of(engine, &far).unwrap();
    rig.saving.save().await.unwrap();
    rig.change();
    let points = chosen(rig.points(&["run"]).await, 24).into_iter().step_by(12);
    for point in points {
        let when = format!("killed at {point:?}");
        rig.change();
        rig.hurt(&["run"], &point, "signal=KILL").await;
        let archive = rig.saving.save().await.unwrap();
        assert!(rig.archives().contains(&archive), "{when}");
        rig.assert_nothing_is_left(&when);
        if engine == "tar" {
            rig.saving.write_job_of(engine, &near).unwrap();
            rig.assert_all_verify(&when).await;
            rig.saving.write_job_of(engine, &far).unwrap();
        } else {
            let tree = rig.saving.below(&rig.job.join(archive));
            assert_eq!(rig.saving.differences(&tree).await.unwrap(), "", "{when}");
        }
    }
    rig.assert_gives_back("after all").await;
}

#[tokio::test]
async fn runs_to_another_machine_that_are_killed() {
    for engine in ["tar", "rsync"] {
        let saving = Saving::in_memory().unwrap();
        let sshd = Sshd::start(saving.top(), address::fresh()).await.unwrap();
        let repository = saving.top().join("far");
        let lines = sshd.repository(&repository);
        far_and_killed(saving, &repository, engine, &lines).await;
    }
}

#[tokio::test]
async fn runs_to_a_daemon_that_are_killed() {
    let saving = Saving::in_memory().unwrap();
    let module = saving.top().join("module");
    fs::create_dir_all(module.join("sub")).unwrap();
    let daemon = Rsyncd::start(saving.top(), &module, address::fresh()).await.unwrap();
    let lines = daemon.repository("sub");
    far_and_killed(saving, &module.join("sub"), "rsync", &lines).await;
}
