mod back;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rackhaven_proto::model::backup::Selection;

use super::{Made, Snapshot, TreeError, make};
use crate::outcome::{Outcome, ProblemKind, Problems};
use crate::pace::Pace;
use crate::progress::Progress;
use crate::repository::local::Place;
use crate::repository::{Local, MountTables, Store};
use crate::stop::Stop;
use crate::walk::Rules;

/// Later than anything in these tests: what is older than two seconds before a run is believed.
const LATER_MS: i64 = 4_000_000_000_000;

struct Setting {
    top: tempfile::TempDir,
    runs: i64,
    full: bool,
    stop: Stop,
    problems: Problems,
}

impl Setting {
    fn new() -> Self {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir(top.path().join("source")).unwrap();
        Self { top, runs: 0, full: false, stop: Stop::default(), problems: Problems::default() }
    }

    fn source(&self) -> PathBuf {
        self.top.path().join("source")
    }

    fn local(&self) -> Local {
        let place = Place {
            repository: self.top.path().join("repository"),
            requires_mount: None,
            node: "pi-1".to_owned(),
            job: "home".to_owned(),
            state: self.top.path().join("state"),
            mounts: MountTables::default(),
        };
        Local::open(place, 5).unwrap()
    }

    fn run(&mut self) -> Result<Made, TreeError> {
        self.runs += 1;
        self.problems = Problems::default();
        let selection = Selection {
            sources: vec![self.source()],
            exclude: vec!["*.tmp".to_owned()],
            exclude_caches: true,
            exclude_if_present: vec![],
            one_file_system: true,
        };
        let rules = Rules::new(&selection, &[]).unwrap();
        let snapshot = Snapshot {
            node: "pi-1",
            job: "home",
            selection: &selection,
            rules: &rules,
            started_unix_ms: LATER_MS + self.runs * 1000,
            full: self.full,
            threads: 2,
        };
        let progress = Progress::default();
        make(&self.local(), &snapshot, &self.problems, &progress, &Pace::new(None), &self.stop)
    }

    fn job_folder(&self) -> PathBuf {
        self.top.path().join("repository/pi-1/home")
    }

    /// Where a source's path is in a tree.
    fn in_tree(&self, tree: &str, name: &str) -> PathBuf {
        let source = self.source();
        self.job_folder().join(tree).join(source.strip_prefix("/").unwrap()).join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.job_folder()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn ino(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

#[test]
fn a_tree_holds_what_was_there() {
    let mut setting = Setting::new();
    let source = setting.source();
    fs::create_dir_all(source.join("a/empty")).unwrap();
    fs::write(source.join("a/text"), "hello").unwrap();
    fs::hard_link(source.join("a/text"), source.join("again")).unwrap();
    fs::write(source.join("left.tmp"), "x").unwrap();
    symlink("a/text", source.join("link")).unwrap();
    let sparse = File::create(source.join("sparse")).unwrap();
    sparse.write_at(b"in the middle", 10_000_000).unwrap();
    sparse.set_len(20_000_000).unwrap();
    fs::set_permissions(source.join("a"), Permissions::from_mode(0o2750)).unwrap();
    let then = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_007, 123_456_789);
    for path in ["a/text", "a/empty", "a"] {
        File::open(source.join(path)).unwrap().set_modified(then).unwrap();
    }
    let made = setting.run().unwrap();
    assert_eq!((made.record.outcome, made.record.entries), (Outcome::Ok, 7), "{:?}", setting.problems.listed());
    let tree = made.record.name;
    let at = |name: &str| setting.in_tree(&tree, name);
    assert_eq!(fs::read(at("a/text")).unwrap(), b"hello");
    assert_eq!(ino(&at("a/text")), ino(&at("again")));
    assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("a/text"));
    assert!(!at("left.tmp").exists());
    assert_eq!(fs::read(at("sparse")).unwrap(), fs::read(source.join("sparse")).unwrap());
    assert!(fs::metadata(at("sparse")).unwrap().blocks() < 1000);
    assert_eq!(fs::metadata(at("a")).unwrap().mode() & 0o7777, 0o2750);
    for path in ["a/text", "a/empty", "a"] {
        assert_eq!(fs::metadata(at(path)).unwrap().modified().unwrap(), then, "{path}");
    }
    let beside = [".lock".to_owned(), tree.clone(), format!("{tree}.manifest.zst"), format!("{tree}.record.json")];
    assert_eq!(setting.names(), [&beside[..], &["latest".to_owned()]].concat());
    assert_eq!(fs::read_link(setting.job_folder().join("latest")).unwrap(), Path::new(&tree));
}

#[test]
fn what_did_not_change_is_shared_and_what_did_leaves_earlier_trees_alone() {
    let mut setting = Setting::new();
    let source = setting.source();
    for (name, text) in [("same", "1"), ("rewritten", "2"), ("removed", "3"), ("sly", "44"), ("mode", "5")] {
        fs::write(source.join(name), text).unwrap();
    }
    symlink("same", source.join("link")).unwrap();
    let first = setting.run().unwrap().record.name;
    fs::write(source.join("rewritten"), "changed").unwrap();
    fs::remove_file(source.join("removed")).unwrap();
    fs::set_permissions(source.join("mode"), Permissions::from_mode(0o600)).unwrap();
    // The same length and the same time: only the kernel's own time tells.
    let sly = File::options().write(true).open(source.join("sly")).unwrap();
    let time = sly.metadata().unwrap().modified().unwrap();
    sly.write_at(b"xx", 0).unwrap();
    sly.set_modified(time).unwrap();
    let made = setting.run().unwrap();
    let second = made.record.name;
    assert_eq!(made.entries_removed, 1);
    let shared = |name: &str| ino(&setting.in_tree(&first, name)) == ino(&setting.in_tree(&second, name));
    assert!(shared("same") && shared("link"));
    for (name, before, after) in [("rewritten", "2", "changed"), ("sly", "44", "xx"), ("mode", "5", "5")] {
        assert!(!shared(name), "{name}");
        assert_eq!(fs::read_to_string(setting.in_tree(&first, name)).unwrap(), before);
        assert_eq!(fs::read_to_string(setting.in_tree(&second, name)).unwrap(), after);
    }
    assert!(setting.in_tree(&first, "removed").exists() && !setting.in_tree(&second, "removed").exists());
    // Somebody damaged a file of the last tree: it is not carried on.
    fs::write(setting.in_tree(&second, "same"), "longer than it was").unwrap();
    let third = setting.run().unwrap().record.name;
    assert_eq!(fs::read_to_string(setting.in_tree(&third, "same")).unwrap(), "1");
    setting.full = true;
    let full = setting.run().unwrap().record.name;
    assert_ne!(ino(&setting.in_tree(&third, "link")), ino(&setting.in_tree(&full, "link")));
}

#[test]
fn a_stopped_run_is_gone_on_with() {
    let mut setting = Setting::new();
    let source = setting.source();
    for number in 0..300 {
        fs::write(source.join(format!("f{number:03}")), "text").unwrap();
    }
    let first = setting.run().unwrap().record.name;
    // As if that run had been killed just before its end.
    let folder = setting.job_folder();
    fs::rename(folder.join(&first), folder.join(format!("{first}.partial"))).unwrap();
    fs::remove_file(folder.join(format!("{first}.record.json"))).unwrap();
    let manifest = folder.join(format!("{first}.manifest.zst"));
    let whole = fs::read(&manifest).unwrap();
    fs::write(folder.join(format!("{first}.manifest.zst.partial")), &whole[..whole.len() - 1030]).unwrap();
    fs::remove_file(manifest).unwrap();
    let kept = ino(&folder.join(format!("{first}.partial")).join(source.strip_prefix("/").unwrap()).join("f299"));
    setting.stop.request();
    assert!(matches!(setting.run(), Err(TreeError::Stopped)));
    setting.stop = Stop::default();
    let second = setting.run().unwrap().record.name;
    assert_eq!(ino(&setting.in_tree(&second, "f299")), kept);
    assert_eq!(setting.names().iter().filter(|name| name.contains(".partial")).count(), 0, "{:?}", setting.names());
}

#[test]
fn a_source_that_is_not_mounted_makes_no_tree() {
    let mut setting = Setting::new();
    let source = setting.source();
    for number in 0..200 {
        fs::write(source.join(format!("{number}")), "text").unwrap();
    }
    setting.run().unwrap();
    let before = setting.names();
    fs::remove_dir_all(&source).unwrap();
    fs::create_dir(&source).unwrap();
    let refused = setting.run().unwrap_err();
    assert!(matches!(refused, TreeError::Vanished { before: 201, now: 1 }), "{refused}");
    assert_eq!(setting.names(), before);
    setting.full = true;
    assert_eq!(setting.run().unwrap().record.entries, 1);
}

#[test]
fn a_source_that_is_not_there_is_told() {
    let mut setting = Setting::new();
    fs::remove_dir(setting.source()).unwrap();
    let made = setting.run().unwrap();
    assert_eq!(made.record.outcome, Outcome::Warn.max(made.record.outcome));
    assert!(!setting.problems.listed().is_empty());
    assert!(setting.problems.counts().keys().all(|kind| *kind != ProblemKind::LeftOut));
}

#[test]
fn trees_are_listed_pruned_and_leave_nothing() {
    let mut setting = Setting::new();
    fs::create_dir_all(setting.source().join("a/b/c")).unwrap();
    fs::write(setting.source().join("a/b/c/d"), "x").unwrap();
    let first = setting.run().unwrap().record.name;
    let second = setting.run().unwrap().record.name;
    let local = setting.local();
    let names: Vec<String> = local.list().unwrap().into_iter().map(|archive| archive.name).collect();
    assert_eq!(names, [first.clone(), second.clone()]);
    local.remove(&first).unwrap();
    assert!(setting.names().iter().all(|name| !name.starts_with(&first)), "{:?}", setting.names());
    assert_eq!(fs::read(setting.in_tree(&second, "a/b/c/d")).unwrap(), b"x");
}
