//! Files that change, go away or cannot be read while they are saved.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::tree::content;
use super::{Rig, shell};
use crate::outcome::{Outcome, ProblemKind};
use crate::stop::Stop;
use crate::tar::attributes::{AttributeReader, Bearer};
use crate::tar::segment::read_attributes;
use crate::tar::{Check, verify};

/// Runs until the outcome is a warning, while another thread does `change` over and over; each archive must be whole.
fn runs_while(rig: &mut Rig, change: impl Fn(u64) + Sync) {
    /// Ends the changes, also when an assertion fails: the scope would wait for them for ever.
    struct Ends<'a>(&'a AtomicBool);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = AtomicBool::new(false);
    let warned = std::thread::scope(|scope| {
        let _ends = Ends(&stop);
        scope.spawn(|| (0..).take_while(|_| !stop.load(Ordering::Relaxed)).for_each(&change));
        (0..50).any(|_| {
            let run = rig.full();
            assert_whole(rig, &run.name);
            assert!(run.outcome() <= Outcome::Warn, "{:?}", run.problems.listed());
            run.outcome() == Outcome::Warn
        })
    });
    assert!(warned, "nobody noticed");
}

/// Every frame is good, tar finds no mistake, and everything that the manifest lists can be given back.
fn assert_whole(rig: &Rig, name: &str) {
    let problems = crate::outcome::Problems::default();
    let check = Check {
        percent: 100,
        seed: 0,
        threads: 1,
        problems: &problems,
        progress: &crate::progress::Progress::default(),
        stop: &Stop::default(),
    };
    assert!(verify(&rig.shelf(), name, &check).unwrap().is_good());
    shell("zstd -dc archives/0.tar.zst | tar -tf - >list", rig.folder.path());
    let (_, problems) = rig.restore(&rig.shelf(), name, "whole", &[]);
    assert_eq!(problems, []);
}

#[test]
fn files_that_grow_and_shrink_are_cut_and_filled() {
    let mut rig = Rig::new();
    let tree = rig.tree();
    fs::write(tree.join("after"), "whole").unwrap();
    let open = |name: &str| OpenOptions::new().create(true).append(true).open(tree.join(name)).unwrap();
    let (small, big): (File, File) = (open("small"), open("big"));
    (&big).write_all(&content(9_000_000, 1)).unwrap();
    runs_while(&mut rig, |n| {
        (&small).write_all(&content(997, n)).unwrap();
        (&big).write_all(&content(997, n)).unwrap();
        if n % 1000 == 999 {
            small.set_len(0).unwrap();
            big.set_len(8_500_000).unwrap();
        }
    });
    assert_eq!(fs::read_to_string(rig.restored("whole").join("after")).unwrap(), "whole");
}

#[test]
fn files_that_come_and_go_are_told() {
    let mut rig = Rig::new();
    let tree = rig.tree();
    let folder = |n: u64| tree.join(format!("folder-{n}"));
    runs_while(&mut rig, |n| {
        let folder = folder(n % 50);
        if fs::create_dir(&folder).is_ok() {
            (0..20).for_each(|file| fs::write(folder.join(file.to_string()), "x").unwrap());
        } else {
            fs::remove_dir_all(&folder).unwrap();
        }
    });
}

/// This thread, and those that it starts, may no longer read what its permissions do not allow.
fn lose_power() {
    let mut sets = capabilities(None).unwrap();
    sets.effective.remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH);
    set_capabilities(None, sets).unwrap();
}

#[test]
fn what_must_not_be_read_makes_it_partial_and_is_named() {
    let mut rig = Rig::new();
    let tree = rig.tree();
    for name in ["big", "folder/inside", "good", "secret"] {
        fs::create_dir_all(tree.join(name).parent().unwrap()).unwrap();
        fs::write(tree.join(name), content(if name == "big" { 5_000_000 } else { 5 }, 1)).unwrap();
    }
    fs::hard_link(tree.join("secret"), tree.join("secret, too")).unwrap();
    rig.full();
    let lock = |name: &str| fs::set_permissions(tree.join(name), fs::Permissions::from_mode(0o0)).unwrap();
    ["big", "folder", "secret"].into_iter().for_each(lock);
    lose_power();
    let run = rig.run();
    let listed = run.problems.listed();
    let told: Vec<_> =
        listed.iter().map(|problem| problem.path.strip_prefix(tree.to_str().unwrap()).unwrap()).collect();
    assert_eq!(told, ["/big", "/folder", "/secret", "/secret, too"]);
    assert!(listed.iter().all(|problem| problem.kind == ProblemKind::Unreadable));
    assert_eq!(run.outcome(), Outcome::Partial);
    assert_eq!(run.written.removed, 0, "nothing is known to be gone");
    assert_eq!(run.written.footer.entries, 3, "the source, the folder itself and what is good");
}

#[test]
fn what_fails_while_it_is_read_is_left_out() {
    // A file of the kernel's that says a size and then refuses to be read.
    let refusing = Path::new("/sys/class/net/lo/speed");
    if fs::read(refusing).is_ok() || !refusing.exists() {
        return;
    }
    let mut rig = Rig::new();
    fs::write(rig.tree().join("x"), "x").unwrap();
    rig.sources = vec![refusing.to_owned(), rig.tree().join("x")];
    let run = rig.full();
    assert_eq!(run.outcome(), Outcome::Partial);
    assert_eq!(run.problems.listed()[0].path, refusing.to_str().unwrap());
    assert_eq!(run.written.footer.entries, 1);
}

/// What goes away between being listed and being looked at is told as gone: the archive is not one with parts missing.
#[test]
fn gone_is_gone_at_every_look() {
    for error in [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::STALE] {
        assert_eq!(ProblemKind::of(error), ProblemKind::Vanished);
    }
    for error in [Errno::ACCESS, Errno::IO, Errno::PERM] {
        assert_eq!(ProblemKind::of(error), ProblemKind::Unreadable);
    }
    let folder = tempfile::tempdir().unwrap();
    let there = File::open(folder.path()).unwrap();
    let problems = crate::outcome::Problems::default();
    let bearer = Bearer::Named(there.as_fd(), c"gone");
    read_attributes(&mut AttributeReader::new(), bearer, b"/gone", &problems);
    assert_eq!(problems.listed()[0].kind, ProblemKind::Vanished);
}
