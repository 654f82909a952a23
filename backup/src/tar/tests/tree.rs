//! Trees with everything that is awkward about file systems, and what they look like.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

use rackhaven_proto::model::backup::Selection;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chownat, lsetxattr, makedev, mknodat,
    setxattr, utimensat,
};

use crate::entry::{Entry, Kind};
use crate::outcome::Problems;
use crate::tar::attributes::{AttributeReader, Attributes, Bearer};
use crate::walk::{Rules, Walk, open_file};

/// Content that no two places have in common, and that compresses to about a half.
pub(super) fn content(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 33).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Makes a tree. Needs root for devices, owners and capabilities.
pub(super) fn awkward(root: &Path) {
    let path = |name: &str| root.join(name);
    for folder in ["empty", "deep", "links", "acl", "odd names", "closed"] {
        fs::create_dir(path(folder)).unwrap();
    }
    let mut deep = path("deep");
    for _ in 0..60 {
        deep.push("level-".repeat(10));
        // The kernel takes paths of 4096 bytes in one call.
        fs::create_dir(&deep).unwrap();
    }
    fs::write(deep.join("bottom"), "here").unwrap();
    for (name, len) in [("empty file", 0), ("one", 1), ("block", 512), ("block and one", 513), ("some", 100_000)] {
        fs::write(path(name), content(len, len as u64)).unwrap();
    }
    for (name, len) in [("frame", 4 << 20), ("frame and one", (4 << 20) + 1), ("frames", 13_000_000)] {
        fs::write(path(name), content(len, 3)).unwrap();
    }
    for n in 0..300 {
        fs::write(path("links").join(format!("small-{n:03}")), content(n * 7, n as u64)).unwrap();
    }
    odd_names(&path("odd names"));
    links(&path("links"));
    sparse(root);
    attributes(root);
    special(root);
    times(root);
    fs::set_permissions(path("closed"), fs::Permissions::from_mode(0o000)).unwrap();
}

fn odd_names(folder: &Path) {
    let long = vec![b'x'; 255];
    let names: [&[u8]; 11] = [
        b"new\nline",
        b"-rf",
        b" ",
        b"\xff\xfe not UTF-8",
        &long,
        "Grüße, 世界".as_bytes(),
        b"back\\slash",
        b"quote'\"",
        b"*?[a]",
        b"a=b",
        b"\x1b[31mred",
    ];
    for name in names {
        fs::write(folder.join(OsStr::from_bytes(name)), name).unwrap();
    }
    let mut nested = folder.to_owned();
    for _ in 0..4 {
        nested.push("n".repeat(90));
        fs::create_dir(&nested).unwrap();
    }
    fs::write(nested.join("long path"), "x").unwrap();
    symlink("t".repeat(300), folder.join("long target")).unwrap();
    fs::hard_link(nested.join("long path"), nested.join("long path linked")).unwrap();
}

fn links(folder: &Path) {
    symlink("small-001", folder.join("link")).unwrap();
    symlink("/nowhere/at all", folder.join("dangling")).unwrap();
    symlink("..", folder.join("up")).unwrap();
    fs::hard_link(folder.join("small-100"), folder.join("hard")).unwrap();
    fs::hard_link(folder.join("small-100"), folder.parent().unwrap().join("hard too")).unwrap();
    fs::hard_link(folder.join("link"), folder.join("link, linked")).unwrap();
}

fn sparse(root: &Path) {
    let holes = File::create(root.join("holes")).unwrap();
    holes.set_len(20 << 20).unwrap();
    for at in [0, 5 << 20, (12 << 20) + 4096] {
        holes.write_all_at(&content(10_000, at), at).unwrap();
    }
    let end = File::create(root.join("holes, and data at the end")).unwrap();
    end.write_all_at(b"end", 1 << 20).unwrap();
    File::create(root.join("only a hole")).unwrap().set_len(16 << 20).unwrap();
    let small = File::create(root.join("small hole")).unwrap();
    small.set_len(100_000).unwrap();
    small.write_all_at(b"start", 0).unwrap();
    let many = File::create(root.join("many holes")).unwrap();
    many.set_len(6000 * 8192).unwrap();
    for n in 0..1500 {
        many.write_all_at(&content(4096, n), n * 4 * 8192).unwrap();
    }
}

fn attributes(root: &Path) {
    let file = root.join("acl/file");
    fs::write(&file, "x").unwrap();
    setxattr(&file, "user.plain", b"value", XattrFlags::empty()).unwrap();
    setxattr(&file, "user.binary=%3D", b"\0\n=\xff", XattrFlags::empty()).unwrap();
    setxattr(&file, "user.empty", b"", XattrFlags::empty()).unwrap();
    setxattr(root.join("acl"), "user.folder", b"too", XattrFlags::empty()).unwrap();
    setxattr(&file, "trusted.root", b"only", XattrFlags::empty()).unwrap();
    symlink("file", root.join("acl/link")).unwrap();
    lsetxattr(root.join("acl/link"), "trusted.link", b"itself", XattrFlags::empty()).unwrap();
    let list = |entries: &[(u16, u16, u32)]| {
        let entry = |(tag, bits, id): &(u16, u16, u32)| {
            [tag.to_le_bytes().as_slice(), &bits.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        [vec![2, 0, 0, 0], entries.iter().flat_map(entry).collect()].concat()
    };
    let access = list(&[(1, 6, u32::MAX), (2, 4, 1234), (4, 4, u32::MAX), (16, 6, u32::MAX), (32, 0, u32::MAX)]);
    setxattr(&file, "system.posix_acl_access", &access, XattrFlags::empty()).unwrap();
    setxattr(root.join("acl"), "system.posix_acl_default", &access, XattrFlags::empty()).unwrap();
    let capable = root.join("capable");
    fs::write(&capable, "#!/bin/true").unwrap();
    chownat(CWD, &capable, Some(Uid::from_raw(1000)), Some(Gid::from_raw(1001)), AtFlags::empty()).unwrap();
    fs::set_permissions(&capable, fs::Permissions::from_mode(0o755)).unwrap();
    // cap_net_bind_service=ep, version 2.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    setxattr(&capable, "security.capability", &capability, XattrFlags::empty()).unwrap();
}

fn special(root: &Path) {
    mknodat(CWD, root.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o622), 0).unwrap();
    mknodat(CWD, root.join("null"), FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(1, 3)).unwrap();
    mknodat(CWD, root.join("block device"), FileType::BlockDevice, Mode::from_raw_mode(0o660), makedev(259, 70_000))
        .unwrap();
    for (name, mode) in [("setuid", 0o4755), ("setgid", 0o2755), ("sticky", 0o1777), ("nothing", 0)] {
        fs::write(root.join(name), name).unwrap();
        let large = Some(Uid::from_raw(3_000_000_000));
        chownat(CWD, root.join(name), large, Some(Gid::from_raw(2_500_000)), AtFlags::empty()).unwrap();
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let owner = (Some(Uid::from_raw(77)), Some(Gid::from_raw(78)));
    chownat(CWD, root.join("links/dangling"), owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    chownat(CWD, root.join("pipe"), owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn times(root: &Path) {
    let set = |name: &str, tv_sec: i64, tv_nsec: i64| {
        let time = Timespec { tv_sec, tv_nsec };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, root.join(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    };
    set("one", 1_700_000_000, 123_456_789);
    set("block", -1, 500_000_000);
    set("some", -86_400, 0);
    set("null", 1_000_000_000, 0);
    set("links/link", 1_234_567_890, 1);
    set("empty", 4_000_000_000, 999_999_999);
    set("odd names", 0, 0);
}

/// What one thing of a tree looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    entry: Entry,
    attributes: Attributes,
    content: Option<[u8; 32]>,
    /// Whether it takes up less room than it is long.
    holes: bool,
}

/// Everything in a tree, by its path in there.
pub(super) fn look(root: &Path) -> BTreeMap<Vec<u8>, Look> {
    let selection = Selection {
        sources: vec![root.to_owned()],
        exclude: Vec::new(),
        exclude_caches: false,
        exclude_if_present: Vec::new(),
        one_file_system: false,
    };
    let (problems, rules) = (Problems::default(), Rules::new(&selection, &[]).unwrap());
    let mut attributes = AttributeReader::new();
    let strip = |path: &[u8]| path.strip_prefix(root.as_os_str().as_bytes()).unwrap().to_vec();
    let looks = Walk::new(&rules, &problems).map(|visit| {
        let mut entry = visit.entry;
        let mut look = Look {
            attributes: attributes.read(Bearer::Named(visit.parent.as_fd(), &visit.name)).unwrap(),
            content: None,
            holes: false,
            entry: Entry { ino: 0, dev: 0, ctime: Default::default(), ..entry.clone() },
        };
        if entry.kind == Kind::File {
            let mut file = File::from(open_file(&visit.parent, &visit.name).unwrap());
            look.holes = !crate::tar::segment::entry_blocks_fill(&file, entry.size) && entry.size > 4096;
            let mut hasher = blake3::Hasher::new();
            std::io::copy(&mut file, &mut hasher).unwrap();
            look.content = Some(*hasher.finalize().as_bytes());
        }
        if entry.kind == Kind::Dir {
            // How many folders are in it, on some file systems.
            look.entry.links = 0;
        }
        look.entry.path = strip(&entry.path);
        look.entry.hard_link = entry.hard_link.take().map(|first| strip(&first));
        (look.entry.path.clone(), look)
    });
    let looks = looks.collect();
    assert_eq!(problems.outcome(), crate::outcome::Outcome::Ok, "{:?}", problems.listed());
    looks
}

/// Both trees must look the same.
pub(super) fn assert_same(expected: &BTreeMap<Vec<u8>, Look>, found: &BTreeMap<Vec<u8>, Look>) {
    for (path, look) in expected {
        let shown = path.escape_ascii();
        assert_eq!(Some(look), found.get(path), "{shown}");
    }
    let more: Vec<_> = found.keys().filter(|path| !expected.contains_key(*path)).collect();
    assert!(more.is_empty(), "{} too many, such as {}", more.len(), more[0].escape_ascii());
}
