//! An earlier tree, from which is shared what did not change.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::folders::Folders;
use crate::entry::{Entry, Kind, path_order};
use crate::manifest::{Header, Item, Manifest, ManifestError, Record, Records};

/// What changed so shortly before a run is not believed to have held still during it, whatever its times say, seconds:
/// a file system's clock has coarse ticks.
const DOUBT_S: i64 = 2;
/// The longest header that is read, bytes.
const MAX_HEADER_BYTES: u32 = 16 * 1024 * 1024;

/// An earlier tree and its manifest, gone through together with the walk.
pub(super) struct Earlier {
    folders: Folders,
    records: Records<BufReader<File>>,
    next: Option<Box<Record>>,
    /// When that run began, seconds since 1970.
    began_s: i64,
    /// How many things were there that are no more.
    pub(super) removed: u64,
    /// What its footer says; nothing for a tree that was never finished.
    pub(super) entries: Option<u64>,
    pub(super) content_bytes: Option<u64>,
}

impl Earlier {
    /// One that was published.
    pub(super) fn published(root: OwnedFd, manifest: File) -> Result<Self, ManifestError> {
        let manifest = Manifest::open(BufReader::new(manifest))?;
        let (header, footer) = (manifest.header.clone(), manifest.footer);
        let mut earlier = Self::new(root, manifest.into_records()?, &header);
        (earlier.entries, earlier.content_bytes) = (Some(footer.entries), Some(footer.content_bytes));
        earlier.advance();
        Ok(earlier)
    }

    /// One that was not finished: its manifest may end anywhere.
    pub(super) fn unfinished(root: OwnedFd, manifest: File) -> Result<Self, ManifestError> {
        let len = manifest.metadata()?.len();
        let mut manifest = BufReader::new(manifest);
        let mut head = [0; 8];
        manifest.read_exact(&mut head)?;
        let [_, _, _, _, a, b, c, d] = head;
        let header_bytes = u32::from_le_bytes([a, b, c, d]);
        if header_bytes > MAX_HEADER_BYTES {
            return Err(std::io::Error::from(ErrorKind::InvalidData).into());
        }
        let mut text = vec![0; header_bytes as usize];
        manifest.read_exact(&mut text)?;
        let header: Header = serde_json::from_slice(&text).map_err(std::io::Error::from)?;
        let left = len.saturating_sub(8 + u64::from(header_bytes));
        let mut earlier = Self::new(root, Records::new(manifest, left), &header);
        earlier.advance();
        Ok(earlier)
    }

    fn new(root: OwnedFd, records: Records<BufReader<File>>, header: &Header) -> Self {
        Self {
            folders: Folders::new(Arc::new(root)),
            records,
            next: None,
            began_s: header.started_unix_ms.div_euclid(1000),
            removed: 0,
            entries: None,
            content_bytes: None,
        }
    }

    /// What was written of this thing, if it is as it was then, and the folder in which it is. To be asked for everything
    /// that the walk comes by, in its order.
    pub(super) fn same(&mut self, entry: &Entry) -> Option<(Arc<OwnedFd>, Box<Record>)> {
        loop {
            match path_order(&self.next.as_ref()?.entry.path, &entry.path) {
                Ordering::Less => {
                    self.removed += 1;
                    self.advance();
                }
                Ordering::Equal => break,
                Ordering::Greater => return None,
            }
        }
        let record = self.next.take()?;
        self.advance();
        if !is_same(&record.entry, entry, self.began_s) {
            return None;
        }
        // Without its folder it is as if it were not there.
        let folder = self.folders.parent(&entry.path).ok()?.0;
        Some((folder, record))
    }

    /// Counts what is left as removed.
    pub(super) fn finish(mut self) -> u64 {
        while self.next.is_some() {
            self.removed += 1;
            self.advance();
        }
        self.removed
    }

    /// A manifest that cannot be read any further ends there: what comes behind is copied again.
    fn advance(&mut self) {
        self.next = loop {
            match self.records.next() {
                Some(Ok(Item::Entry(record))) => break Some(record),
                Some(Ok(Item::Removed(_))) => {}
                Some(Err(_)) | None => break None,
            }
        };
    }
}

/// Whether something is as it was. Device numbers change from boot to boot and say nothing.
fn is_same(then: &Entry, now: &Entry, began_s: i64) -> bool {
    let shared = then.kind != Kind::Dir && then.hard_link.is_none() && now.hard_link.is_none();
    shared
        && then.kind == now.kind
        && then.ino == now.ino
        && then.size == now.size
        && then.mtime == now.mtime
        && then.ctime == now.ctime
        && (then.mode, then.uid, then.gid, then.rdev) == (now.mode, now.uid, now.gid, now.rdev)
        && then.target == now.target
        && then.ctime.seconds < began_s - DOUBT_S
}

#[cfg(test)]
mod tests {
    use super::is_same;
    use crate::entry::{Entry, FileTime, Kind};

    #[test]
    fn the_table() {
        let at = |seconds| FileTime { seconds, nanoseconds: 5 };
        let then = Entry {
            path: b"/a".to_vec(),
            kind: Kind::File,
            mode: 0o644,
            uid: 1,
            gid: 1,
            size: 10,
            mtime: at(100),
            ctime: at(100),
            ino: 7,
            dev: 1,
            rdev: (0, 0),
            links: 1,
            target: None,
            hard_link: None,
        };
        let with = |change: fn(&mut Entry)| {
            let mut now = then.clone();
            change(&mut now);
            now
        };
        let table: [(&str, Entry, i64, bool); 11] = [
            ("nothing changed", then.clone(), 200, true),
            ("another device number", with(|now| now.dev = 9), 200, true),
            ("another name", with(|now| now.links = 2), 200, true),
            ("same size and mtime, but written to", with(|now| now.ctime.nanoseconds = 6), 200, false),
            ("another file in its place", with(|now| now.ino = 8), 200, false),
            ("longer", with(|now| now.size = 11), 200, false),
            ("an older time", with(|now| now.mtime.seconds = 1), 200, false),
            ("other permissions", with(|now| now.mode = 0o600), 200, false),
            ("a further name of another", with(|now| now.hard_link = Some(b"/0".to_vec())), 200, false),
            ("changed just before that run", then.clone(), 102, false),
            ("changed after it by a clock that ran ahead", then.clone(), 50, false),
        ];
        for (title, now, began_s, expected) in table {
            assert_eq!(is_same(&then, &now, began_s), expected, "{title}");
        }
        let mut folder = then;
        folder.kind = Kind::Dir;
        assert!(!is_same(&folder, &folder, 200));
    }
}
