use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::tree::{assert_same, awkward, look};
use super::{Rig, WriteError};
use crate::manifest::{Item, Manifest};
use crate::outcome::Outcome;
use crate::stop::Stop;

#[test]
fn a_chain_of_increments_gives_back_each_state() {
    let mut rig = Rig::new();
    let tree = rig.tree();
    awkward(&tree);
    let mut states = vec![look(&tree)];
    rig.full();

    fs::write(tree.join("some"), "shorter").unwrap();
    fs::write(tree.join("new"), "new").unwrap();
    fs::remove_dir_all(tree.join("odd names")).unwrap();
    fs::remove_file(tree.join("frames")).unwrap();
    fs::rename(tree.join("deep"), tree.join("deeper")).unwrap();
    fs::hard_link(tree.join("links/small-007"), tree.join("seventh")).unwrap();
    states.push(look(&tree));
    let run = rig.run();
    assert_eq!(run.outcome(), Outcome::Ok, "{:?}", run.problems.listed());
    assert!(run.written.removed > 60 && run.written.kept > 250, "{:?}", run.written);

    fs::write(tree.join("frames"), vec![7; 5_000_000]).unwrap();
    fs::remove_file(tree.join("links/small-007")).unwrap();
    fs::set_permissions(tree.join("one"), fs::Permissions::from_mode(0o600)).unwrap();
    states.push(look(&tree));
    rig.run();
    // Nothing at all.
    states.push(look(&tree));
    let run = rig.run();
    assert_eq!((run.written.removed, run.written.kept), (0, states[3].len() as u64));
    assert_eq!(run.written.footer.frames, 1, "the end alone");

    for (number, state) in states.iter().enumerate() {
        let to = format!("state-{number}");
        let (restored, problems) = rig.restore(&rig.shelf(), &format!("{number}.tar.zst"), &to, &[]);
        assert_eq!(problems, [], "{to}");
        assert_eq!(restored.entries, state.len() as u64);
        assert_same(state, &look(&rig.restored(&to)));
    }
}

#[test]
fn what_went_away_is_listed() {
    let mut rig = Rig::new();
    let tree = rig.tree();
    fs::create_dir(tree.join("a")).unwrap();
    for name in ["a/1", "a/2", "b", "z"] {
        fs::write(tree.join(name), name).unwrap();
    }
    rig.full();
    fs::remove_dir_all(tree.join("a")).unwrap();
    fs::remove_file(tree.join("z")).unwrap();
    rig.run();
    let mut manifest = Manifest::open(fs::File::open(rig.spool()).unwrap()).unwrap();
    let removed: Vec<String> = manifest
        .records()
        .unwrap()
        .filter_map(|item| match item.unwrap() {
            Item::Removed(path) => Some(String::from_utf8(path).unwrap().replace(tree.to_str().unwrap(), "")),
            Item::Entry(_) => None,
        })
        .collect();
    assert_eq!(removed, ["/a", "/a/1", "/a/2", "/z"]);
}

#[test]
fn same_size_and_time_but_other_content_is_seen() {
    let mut rig = Rig::new();
    let file = rig.tree().join("file");
    fs::write(&file, "old content").unwrap();
    let time = fs::metadata(&file).unwrap();
    rig.full();
    fs::write(&file, "new content").unwrap();
    let mtime = Timespec { tv_sec: time.mtime(), tv_nsec: time.mtime_nsec() };
    utimensat(CWD, &file, &Timestamps { last_access: mtime, last_modification: mtime }, AtFlags::empty()).unwrap();
    let run = rig.run();
    assert_eq!(run.written.kept, 1, "the folder alone");
    let (_, problems) = rig.restore(&rig.shelf(), "1.tar.zst", "to", &[]);
    assert_eq!(problems, []);
    assert_eq!(fs::read_to_string(rig.restored("to").join("file")).unwrap(), "new content");
}

#[test]
fn what_changed_while_the_last_run_was_on_its_way_is_read_again() {
    let mut rig = Rig::new();
    fs::write(rig.tree().join("file"), "x").unwrap();
    rig.started_unix_ms = 1_000_000;
    rig.full();
    let run = rig.run();
    assert_eq!(run.written.kept, 0);
}

#[test]
fn a_folder_that_cannot_be_read_is_not_taken_for_an_empty_one() {
    let mut rig = Rig::new();
    let tree = rig.tree();
    fs::create_dir(tree.join("folder")).unwrap();
    fs::write(tree.join("folder/file"), "x").unwrap();
    rig.full();
    let source = tree;
    let aside = rig.folder.path().join("aside");
    fs::rename(&source, &aside).unwrap();
    let run = rig.run();
    assert_eq!(run.outcome(), Outcome::Partial);
    assert_eq!(run.written.removed, 0, "nobody knows");
    fs::rename(&aside, &source).unwrap();
}

#[test]
fn a_run_that_is_stopped_leaves_the_last_state_alone() {
    let mut rig = Rig::new();
    fs::write(rig.tree().join("file"), "x").unwrap();
    rig.full();
    let before = fs::read(rig.spool()).unwrap();
    let stop = Stop::default();
    stop.request();
    let stopped = rig.try_run(&stop);
    assert!(matches!(stopped, Err(WriteError::Stopped)));
    assert_eq!(fs::read(rig.spool()).unwrap(), before);
}
