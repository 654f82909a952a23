use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::Setting;
use crate::outcome::Problems;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::tree::{Check, Checked, ReadError, Restore, Restored, restore, verify};

fn check(setting: &Setting, tree: &str, percent: u8) -> (Checked, Vec<String>) {
    let (problems, progress, stop) = (Problems::default(), Progress::default(), Stop::default());
    let check = Check { percent, seed: 3, threads: 2, problems: &problems, progress: &progress, stop: &stop };
    let checked = verify(&setting.local(), tree, &check).unwrap();
    let told = problems.listed().into_iter();
    (checked, told.map(|problem| format!("{} {}", problem.path.rsplit('/').next().unwrap(), problem.reason)).collect())
}

fn give_back(
    setting: &Setting,
    tree: &str,
    to: &Path,
    paths: &[PathBuf],
) -> Result<(Restored, Vec<String>), ReadError> {
    let (problems, progress, stop) = (Problems::default(), Progress::default(), Stop::default());
    let how =
        Restore { to, paths, in_place: false, dry_run: false, problems: &problems, progress: &progress, stop: &stop };
    let restored = restore(&setting.local(), tree, &how, &mut |_| {})?;
    Ok((restored, problems.listed().into_iter().map(|problem| format!("{problem:?}")).collect()))
}

fn filled() -> Setting {
    let setting = Setting::new();
    let source = setting.source();
    fs::create_dir_all(source.join("a/b")).unwrap();
    fs::write(source.join("a/text"), "hello").unwrap();
    fs::hard_link(source.join("a/text"), source.join("z")).unwrap();
    fs::hard_link(source.join("a/text"), source.join("y")).unwrap();
    symlink("nowhere", source.join("link")).unwrap();
    File::create(source.join("sparse")).unwrap().set_len(5_000_000).unwrap();
    for number in 0..50 {
        fs::write(source.join(format!("a/b/{number}")), format!("content {number}")).unwrap();
    }
    setting
}

#[test]
fn whatever_happened_to_a_tree_is_found() {
    let mut setting = filled();
    let tree = setting.run().unwrap().record.name;
    let (checked, told) = check(&setting, &tree, 100);
    assert_eq!((checked, told.len()), (Checked { entries: 58, files_read: 52, damaged: 0 }, 0));
    let at = |name: &str| setting.in_tree(&tree, name);
    let folders = ["", "a", "a/b"].map(|name| (at(name), fs::metadata(at(name)).unwrap().modified().unwrap()));
    let flipped = File::options().write(true).open(at("a/b/7")).unwrap();
    let time = flipped.metadata().unwrap().modified().unwrap();
    flipped.write_at(b"C", 0).unwrap();
    flipped.set_modified(time).unwrap();
    fs::write(at("a/b/8"), "longer than it was").unwrap();
    fs::remove_file(at("a/b/9")).unwrap();
    fs::remove_file(at("z")).unwrap();
    fs::copy(at("a/text"), at("z")).unwrap();
    File::open(at("z")).unwrap().set_modified(fs::metadata(at("a/text")).unwrap().modified().unwrap()).unwrap();
    let time = Timespec { tv_sec: fs::symlink_metadata(at("link")).unwrap().mtime(), tv_nsec: 0 };
    fs::remove_file(at("link")).unwrap();
    symlink("elsewhere", at("link")).unwrap();
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, at("link"), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    for (folder, time) in folders {
        File::open(folder).unwrap().set_modified(time).unwrap();
    }
    let (checked, told) = check(&setting, &tree, 100);
    let expected = [
        "7 its content is not what was written",
        "8 its length is not what was written",
        "9 it is missing: No such file or directory (os error 2)",
        "link its target is not what was written",
        "z it is not another name of the same file any more",
    ];
    assert_eq!((checked.damaged, told), (5, expected.map(str::to_owned).to_vec()));
    // The rest is found without reading anything.
    assert_eq!(check(&setting, &tree, 0).0.damaged, 4);
}

#[test]
fn a_damaged_manifest_is_found() {
    let mut setting = filled();
    let tree = setting.run().unwrap().record.name;
    let path = setting.job_folder().join(format!("{tree}.manifest.zst"));
    let good = fs::read(&path).unwrap();
    let (problems, progress, stop) = (Problems::default(), Progress::default(), Stop::default());
    for at in (0..good.len()).step_by(37) {
        let mut bad = good.clone();
        bad[at] ^= 4;
        fs::write(&path, bad).unwrap();
        let check = Check { percent: 0, seed: 3, threads: 1, problems: &problems, progress: &progress, stop: &stop };
        assert!(verify(&setting.local(), &tree, &check).is_err(), "byte {at}");
    }
}

#[test]
fn everything_comes_back_where_it_is_wanted() {
    let mut setting = filled();
    let tree = setting.run().unwrap().record.name;
    let to = setting.top.path().join("back");
    let source = setting.source();
    let below = |name: &str| to.join(source.strip_prefix("/").unwrap()).join(name);
    // What is there already is replaced, whatever it is.
    fs::create_dir_all(below("link")).unwrap();
    fs::create_dir_all(below("")).unwrap();
    fs::write(below("a"), "in the way").unwrap();
    fs::write(below("y"), "old").unwrap();
    let (restored, told) = give_back(&setting, &tree, &to, &[]).unwrap();
    assert_eq!((restored.entries, told), (58, vec![]));
    assert_eq!(fs::read(below("y")).unwrap(), b"hello");
    assert_eq!(fs::metadata(below("a/text")).unwrap().nlink(), 3);
    assert_eq!(fs::read_link(below("link")).unwrap(), Path::new("nowhere"));
    for name in ["a/b/7", "sparse", "a/b", "a"] {
        let (there, here) = (fs::metadata(source.join(name)).unwrap(), fs::metadata(below(name)).unwrap());
        assert_eq!(there.modified().unwrap(), here.modified().unwrap(), "{name}");
    }
    assert!(fs::metadata(below("sparse")).unwrap().blocks() < 100);
    let again = give_back(&setting, &tree, &to, &[]).unwrap();
    assert_eq!(again.0, restored);
}

#[test]
fn only_what_was_asked_for_comes_back() {
    let mut setting = filled();
    let tree = setting.run().unwrap().record.name;
    let to = setting.top.path().join("back");
    let source = setting.source();
    let below = |name: &str| to.join(source.strip_prefix("/").unwrap()).join(name);
    let paths = [source.join("z"), source.join("y"), source.join("a/b"), source.join("a/b/3")];
    let (restored, told) = give_back(&setting, &tree, &to, &paths).unwrap();
    assert_eq!((restored.entries, told), (53, vec![]));
    // Their first name was not asked for: they are names of one file all the same.
    assert_eq!((fs::read(below("z")).unwrap(), fs::metadata(below("y")).unwrap().nlink()), (b"hello".to_vec(), 2));
    assert!(!below("a/text").exists() && below("a/b/49").exists());
    let missing = give_back(&setting, &tree, &to, &[source.join("none")]).unwrap_err();
    assert!(missing.to_string().ends_with(&format!("none is not in {tree}")), "{missing}");
    let refused = give_back(&setting, &tree, Path::new("/"), &[]).unwrap_err();
    assert!(refused.to_string().contains("is the root of the running system"), "{refused}");
}
