use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use rackhaven_proto::model::backup::Selection;
use rustix::fs::{Mode, OFlags, mkdirat, openat};

use super::{Rules, Visit, Walk};
use crate::entry::{Kind, path_order};
use crate::outcome::{Outcome, Problem, ProblemKind, Problems};

fn selection(sources: &[&Path]) -> Selection {
    Selection {
        sources: sources.iter().map(|path| path.to_path_buf()).collect(),
        exclude: Vec::new(),
        exclude_caches: true,
        exclude_if_present: vec![".nobackup".to_owned()],
        one_file_system: true,
    }
}

fn walked(selection: &Selection, root: &Path) -> (Vec<String>, Problems) {
    let problems = Problems::default();
    let rules = Rules::new(selection, &[]).unwrap();
    let strip = |visit: Visit| {
        let path = visit.entry.path.strip_prefix(root.as_os_str().as_bytes()).unwrap().to_vec();
        String::from_utf8_lossy(&path).into_owned()
    };
    let paths = Walk::new(&rules, &problems).map(strip).collect();
    (paths, problems)
}

#[test]
fn folders_come_before_their_content_and_names_by_their_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for dir in ["a", "a/x", "a-b", "cache", "left", "b"] {
        fs::create_dir(root.join(dir)).unwrap();
    }
    for file in ["a/x/2", "a/x/10", "a/y", "a.txt", "cache/CACHEDIR.TAG", "cache/big", "left/.nobackup", "left/file"] {
        fs::write(root.join(file), "Signature: 8a477f597d28d172789f06886806bc55\n").unwrap();
    }
    symlink("a", root.join("link")).unwrap();
    fs::write(root.join("b/CACHEDIR.TAG"), "something else").unwrap();
    fs::write(root.join("b/kept"), "").unwrap();
    let (paths, problems) = walked(&selection(&[root]), root);
    assert_eq!(
        paths,
        [
            "",
            "/a",
            "/a/x",
            "/a/x/10",
            "/a/x/2",
            "/a/y",
            "/a-b",
            "/a.txt",
            "/b",
            "/b/CACHEDIR.TAG",
            "/b/kept",
            "/cache",
            "/cache/CACHEDIR.TAG",
            "/left",
            "/left/.nobackup",
            "/link",
        ]
    );
    assert_eq!(problems.listed(), []);
}

#[test]
fn the_first_name_of_a_file_stands_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("b"), "").unwrap();
    fs::hard_link(root.join("b"), root.join("c")).unwrap();
    fs::hard_link(root.join("b"), root.join("a")).unwrap();
    let problems = Problems::default();
    let rules = Rules::new(&selection(&[root]), &[]).unwrap();
    let links: Vec<_> = Walk::new(&rules, &problems).skip(1).map(|visit| visit.entry.hard_link).collect();
    let first = root.join("a").as_os_str().as_bytes().to_vec();
    assert_eq!(links, [None, Some(first.clone()), Some(first)]);
}

#[test]
fn a_tree_may_be_deeper_than_a_process_may_hold_files() {
    const DEPTH: usize = 1200;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let flags = OFlags::DIRECTORY | OFlags::RDONLY;
    let mut dir = rustix::fs::open(root, flags, Mode::empty()).unwrap();
    for _ in 0..DEPTH {
        mkdirat(&dir, "deep", Mode::RWXU).unwrap();
        let deeper = openat(&dir, "deep", flags, Mode::empty()).unwrap();
        // Comes after the folder: the way back is needed.
        openat(&dir, "z", OFlags::CREATE | OFlags::WRONLY, Mode::RWXU).unwrap();
        dir = deeper;
    }
    let (paths, problems) = walked(&selection(&[root]), root);
    assert_eq!(problems.listed(), []);
    assert_eq!(paths.len(), 1 + 2 * DEPTH);
    assert!(paths.is_sorted_by(|a, b| path_order(a.as_bytes(), b.as_bytes()).is_lt()));
    assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), paths.len());
}

#[test]
fn what_is_missing_or_is_no_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    symlink("/nowhere", root.join("source")).unwrap();
    let (paths, problems) =
        walked(&selection(&[&root.join("missing"), &root.join("socket"), &root.join("source")]), root);
    assert_eq!(paths, ["/source"]);
    let told: Vec<_> = problems.listed().into_iter().map(|Problem { kind, reason, .. }| (kind, reason)).collect();
    assert_eq!(
        told,
        [
            (ProblemKind::Unreadable, "opening this source: No such file or directory (os error 2)".to_owned()),
            (ProblemKind::LeftOut, "sockets are not saved".to_owned()),
            (
                ProblemKind::LeftOut,
                "this source is a symbolic link, which is saved; what it points to is not".to_owned()
            ),
        ]
    );
    assert_eq!(problems.outcome(), Outcome::Partial);
}

#[test]
fn names_may_be_anything() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let names: [&[u8]; 6] = [b"\n", b"-rf", b"a b", b"\xff\xfe", &[b'x'; 255], "ü".as_bytes()];
    for name in names {
        fs::write(root.join(std::ffi::OsStr::from_bytes(name)), "").unwrap();
    }
    let problems = Problems::default();
    let rules = Rules::new(&selection(&[root]), &[]).unwrap();
    let mut sorted: Vec<_> = names.iter().map(|name| name.to_vec()).collect();
    sorted.sort();
    let found: Vec<_> = Walk::new(&rules, &problems).filter(|visit| visit.entry.kind == Kind::File).collect();
    assert_eq!(found.iter().map(|visit| visit.name.to_bytes().to_vec()).collect::<Vec<_>>(), sorted);
}
