use std::io::Cursor;

use proptest::prelude::*;

use super::{ArchiveId, ChainLink, Frame, Header, Item, Manifest, ManifestError, Place, Record, Writer};
use crate::entry::{Entry, FileTime, Kind, path_order};
use crate::outcome::ArchiveKind;

fn header() -> Header {
    Header {
        job: "etc".to_owned(),
        node: "pi-3".to_owned(),
        kind: ArchiveKind::Full,
        started_unix_ms: 1_767_225_600_000,
        sources: vec!["/etc".to_owned()],
        chain: vec![ChainLink { id: ArchiveId([7; 16]), name: "2026-01-01T000000Z-full.tar.zst".to_owned() }],
    }
}

fn record(path: &[u8], seed: u64) -> Item {
    let kind = [Kind::File, Kind::Dir, Kind::Symlink, Kind::Fifo, Kind::Char, Kind::Block][(seed % 6) as usize];
    let small = (seed >> 3) as u32;
    let entry = Entry {
        path: path.to_vec(),
        kind,
        mode: small & 0o7777,
        uid: small,
        gid: !small,
        size: seed,
        mtime: FileTime { seconds: (seed << 9).cast_signed(), nanoseconds: small % 1_000_000_000 },
        ctime: FileTime { seconds: seed.cast_signed(), nanoseconds: 0 },
        ino: seed.rotate_left(17),
        dev: seed >> 50,
        rdev: if matches!(kind, Kind::Char | Kind::Block) { (small, 3) } else { (0, 0) },
        links: seed >> 60,
        target: (kind == Kind::Symlink).then(|| seed.to_be_bytes().to_vec()),
        hard_link: seed.is_multiple_of(5).then(|| b"/first".to_vec()),
    };
    let content = (kind == Kind::File).then_some([small as u8; 32]);
    let attributes = (seed.is_multiple_of(7)).then_some([1; 16]);
    Item::Entry(Box::new(Record {
        entry,
        attributes,
        content,
        place: Place { archive: small >> 20, frame: small, offset: small },
    }))
}

/// A manifest alone, and behind so much data as its table says.
fn written(items: &[Item]) -> (Vec<u8>, Vec<u8>) {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    items.iter().for_each(|item| writer.push(item).unwrap());
    let frames = vec![
        Frame { stored_bytes: 100, raw_bytes: 300, hash: [1; 32] },
        Frame { stored_bytes: 23, raw_bytes: 1, hash: [2; 32] },
    ];
    let finished = writer.finish(ArchiveId([7; 16]), frames).unwrap();
    let mut alone = finished.out;
    alone.extend_from_slice(&finished.footer.to_bytes("zstd -d"));
    let behind = [vec![0; 123], alone.clone()].concat();
    (alone, behind)
}

fn read(bytes: &[u8]) -> Result<Vec<Item>, ManifestError> {
    let mut manifest = Manifest::open(Cursor::new(bytes))?;
    manifest.check()?;
    manifest.records()?.collect()
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    let name =
        prop_oneof!["[a-c]{1,3}", "[ -.0-~]{1,20}"].prop_filter("leads elsewhere", |name| name != "." && name != "..");
    let path = prop::collection::vec(name, 1..5).prop_map(|names| format!("/{}", names.join("/")).into_bytes());
    prop::collection::btree_map(path, any::<(bool, u64)>(), 0..200).prop_map(|map| {
        let mut items: Vec<_> = map
            .into_iter()
            .map(|(path, (removed, seed))| if removed { Item::Removed(path) } else { record(&path, seed) })
            .collect();
        items.sort_by(|a, b| path_order(a.path(), b.path()));
        items
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(items in items()) {
        let (alone, behind) = written(&items);
        prop_assert_eq!(read(&alone).unwrap(), &items[..]);
        prop_assert_eq!(read(&behind).unwrap(), items);
    }
}

#[test]
fn a_manifest_of_many_blocks_is_entered_in_the_middle() {
    let items: Vec<Item> = (0..20_000_u64).map(|n| record(format!("/{n:08}").as_bytes(), n * 0x9E37_79B9)).collect();
    let (alone, _) = written(&items);
    let mut manifest = Manifest::open(Cursor::new(&alone)).unwrap();
    assert!(manifest.table.blocks.len() > 5);
    assert_eq!(manifest.footer.entries, 20_000);
    for n in [0, 1, 9_999, 19_999] {
        let wanted = format!("/{n:08}").into_bytes();
        let mut from = manifest.records_from(&wanted).unwrap();
        let (at, found) = from.by_ref().enumerate().find(|(_, item)| item.as_ref().unwrap().path() == wanted).unwrap();
        assert!(at < 5000, "{at} records were passed over");
        assert_eq!(found.unwrap(), items[n]);
    }
    assert!(manifest.records_from(b"/x").unwrap().all(|item| item.unwrap().path() != b"/x"));
    assert_eq!(manifest.records().unwrap().count(), 20_000);
}

#[test]
fn each_flipped_bit_and_each_cut_is_found() {
    let items: Vec<Item> = (0..50_u64).map(|n| record(format!("/{n:03}").as_bytes(), n * 0x9E37_79B9)).collect();
    let (alone, _) = written(&items);
    for at in 0..alone.len() {
        let mut bytes = alone.clone();
        bytes[at] ^= 1 << (at % 8);
        assert!(read(&bytes).is_err(), "a bit of byte {at} of {}", alone.len());
        assert!(read(&alone[..at]).is_err(), "cut at {at} of {}", alone.len());
    }
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    for path in ["a", "", "/a/../b", "/.", "//a", "/a/", "/a\0b"] {
        let (alone, _) = written(&[Item::Removed(path.as_bytes().to_vec())]);
        assert!(matches!(read(&alone), Err(ManifestError::Damaged(_))), "{path:?}");
    }
    for path in ["/", "/..a", "/a/...", "/a b/\u{1}"] {
        let (alone, _) = written(&[Item::Removed(path.as_bytes().to_vec())]);
        assert_eq!(read(&alone).unwrap()[0].path(), path.as_bytes());
    }
    let (alone, _) = written(&[Item::Removed(b"/b".to_vec()), Item::Removed(b"/a".to_vec())]);
    assert!(matches!(read(&alone), Err(ManifestError::Damaged(_))));
}
