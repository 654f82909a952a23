use super::ManifestError;
use super::bytes::{Bytes, put_bytes, put_number, put_signed};
use crate::entry::{Entry, FileTime, Kind};

/// Where an entry's data begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Which archive of the chain.
    pub archive: u32,
    /// Which of its frames.
    pub frame: u32,
    /// At which byte of the frame, once decompressed.
    pub offset: u32,
}

/// What a manifest says of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The entry.
    pub entry: Entry,
    /// Stands for its extended attributes and access lists; none when it has none.
    pub attributes: Option<[u8; 16]>,
    /// BLAKE3 of a regular file's content (of a sparse one, of its map and what is not a hole). None for other kinds and
    /// for further names of a file.
    pub content: Option<[u8; 32]>,
    /// Where it is.
    pub place: Place,
}

/// One item of a manifest, in the order of a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// There is this entry.
    Entry(Box<Record>),
    /// There was something here at the time of the archive before, and no more.
    Removed(Vec<u8>),
}

impl Item {
    /// The path that it is about.
    pub fn path(&self) -> &[u8] {
        match self {
            Self::Entry(record) => &record.entry.path,
            Self::Removed(path) => path,
        }
    }
}

const KINDS: [Kind; 6] = [Kind::File, Kind::Dir, Kind::Symlink, Kind::Fifo, Kind::Char, Kind::Block];
/// In place of a kind.
const REMOVED: u8 = 7;
const KIND_BITS: u8 = 0b111;
const HAS_HARD_LINK: u8 = 1 << 3;
const HAS_ATTRIBUTES: u8 = 1 << 4;
const HAS_CONTENT: u8 = 1 << 5;

/// What the item before said: most of it is the same again. Begins anew with each block.
#[derive(Debug, Default)]
pub(super) struct Before {
    path: Vec<u8>,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: i64,
    ctime: i64,
    ino: u64,
    dev: u64,
    archive: u32,
    frame: u32,
}

impl Before {
    /// Appends an item.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, item: &Item) {
        match item {
            Item::Removed(path) => {
                out.push(REMOVED);
                self.put_path(out, path);
            }
            Item::Entry(record) => self.put_record(out, record),
        }
    }

    fn put_path(&mut self, out: &mut Vec<u8>, path: &[u8]) {
        let shared = self.path.iter().zip(path).take_while(|(a, b)| a == b).count();
        put_number(out, shared as u64);
        put_bytes(out, path.get(shared..).unwrap_or_default());
        self.path.clear();
        self.path.extend_from_slice(path);
    }

    fn put_record(&mut self, out: &mut Vec<u8>, record: &Record) {
        let entry = &record.entry;
        // A walk yields no other kind.
        let kind = KINDS.iter().position(|kind| *kind == entry.kind).unwrap_or_default() as u8;
        let flag = |there: bool, flag: u8| if there { flag } else { 0 };
        out.push(
            kind | flag(entry.hard_link.is_some(), HAS_HARD_LINK)
                | flag(record.attributes.is_some(), HAS_ATTRIBUTES)
                | flag(record.content.is_some(), HAS_CONTENT),
        );
        self.put_path(out, &entry.path);
        for (now, before) in [(entry.mode, &mut self.mode), (entry.uid, &mut self.uid), (entry.gid, &mut self.gid)] {
            put_signed(out, i64::from(now) - i64::from(*before));
            *before = now;
        }
        put_number(out, entry.size);
        for (now, before) in [(entry.mtime, &mut self.mtime), (entry.ctime, &mut self.ctime)] {
            put_signed(out, now.seconds.wrapping_sub(*before));
            put_number(out, u64::from(now.nanoseconds));
            *before = now.seconds;
        }
        for (now, before) in [(entry.ino, &mut self.ino), (entry.dev, &mut self.dev)] {
            put_signed(out, now.wrapping_sub(*before).cast_signed());
            *before = now;
        }
        put_number(out, entry.links);
        if matches!(entry.kind, Kind::Char | Kind::Block) {
            put_number(out, u64::from(entry.rdev.0));
            put_number(out, u64::from(entry.rdev.1));
        }
        if entry.kind == Kind::Symlink {
            put_bytes(out, entry.target.as_deref().unwrap_or_default());
        }
        if let Some(first) = &entry.hard_link {
            put_bytes(out, first);
        }
        out.extend(record.attributes.iter().flatten());
        out.extend(record.content.iter().flatten());
        for (now, before) in [(record.place.archive, &mut self.archive), (record.place.frame, &mut self.frame)] {
            put_signed(out, i64::from(now) - i64::from(*before));
            *before = now;
        }
        put_number(out, u64::from(record.place.offset));
    }

    /// Reads an item.
    pub(super) fn take(&mut self, bytes: &mut Bytes<'_>) -> Result<Item, ManifestError> {
        let head = bytes.byte()?;
        if head == REMOVED {
            self.take_path(bytes)?;
            return Ok(Item::Removed(self.path.clone()));
        }
        let kind = KINDS.get(usize::from(head & KIND_BITS)).filter(|_| head < HAS_CONTENT << 1);
        let kind = *kind.ok_or_else(|| ManifestError::damaged("an entry is of an unknown kind"))?;
        self.take_path(bytes)?;
        let path = self.path.clone();
        for before in [&mut self.mode, &mut self.uid, &mut self.gid] {
            *before = moved(*before, bytes.signed()?)?;
        }
        let size = bytes.number()?;
        let mut times = [FileTime::default(); 2];
        for (time, before) in times.iter_mut().zip([&mut self.mtime, &mut self.ctime]) {
            *before = before.wrapping_add(bytes.signed()?);
            let nanoseconds = bytes.number32()?;
            if nanoseconds >= 1_000_000_000 {
                return Err(ManifestError::damaged("a second has too many nanoseconds"));
            }
            *time = FileTime { seconds: *before, nanoseconds };
        }
        for before in [&mut self.ino, &mut self.dev] {
            *before = before.wrapping_add(bytes.signed()?.cast_unsigned());
        }
        let links = bytes.number()?;
        let device = matches!(kind, Kind::Char | Kind::Block);
        let rdev = if device { (bytes.number32()?, bytes.number32()?) } else { (0, 0) };
        let target = if kind == Kind::Symlink { Some(bytes.string()?.to_vec()) } else { None };
        let hard_link = if head & HAS_HARD_LINK == 0 { None } else { Some(bytes.string()?.to_vec()) };
        let attributes = if head & HAS_ATTRIBUTES == 0 { None } else { Some(bytes.array()?) };
        let content = if head & HAS_CONTENT == 0 { None } else { Some(bytes.array()?) };
        self.archive = moved(self.archive, bytes.signed()?)?;
        self.frame = moved(self.frame, bytes.signed()?)?;
        let place = Place { archive: self.archive, frame: self.frame, offset: bytes.number32()? };
        if self.mode > 0o7777 {
            return Err(ManifestError::damaged("an entry has impossible permissions"));
        }
        let [mtime, ctime] = times;
        let entry = Entry {
            path,
            kind,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            size,
            mtime,
            ctime,
            ino: self.ino,
            dev: self.dev,
            rdev,
            links,
            target,
            hard_link,
        };
        Ok(Item::Entry(Box::new(Record { entry, attributes, content, place })))
    }

    fn take_path(&mut self, bytes: &mut Bytes<'_>) -> Result<(), ManifestError> {
        let shared = usize::try_from(bytes.number()?).unwrap_or(usize::MAX);
        let rest = bytes.string()?;
        if shared > self.path.len() || shared + rest.len() > crate::walk::MAX_PATH_BYTES {
            return Err(ManifestError::damaged("a path is too long"));
        }
        if rest.first().is_some_and(|first| self.path.get(shared) == Some(first)) {
            return Err(ManifestError::damaged("a path says again what it shares"));
        }
        self.path.truncate(shared);
        self.path.extend_from_slice(rest);
        if is_path(&self.path) { Ok(()) } else { Err(ManifestError::damaged("a path is none")) }
    }
}

fn moved(before: u32, by: i64) -> Result<u32, ManifestError> {
    let now = i64::from(before).checked_add(by).and_then(|now| u32::try_from(now).ok());
    now.ok_or_else(|| ManifestError::damaged("a number is too large"))
}

/// Absolute, and without anything that leads elsewhere than it says.
fn is_path(path: &[u8]) -> bool {
    let names = |rest: &[u8]| {
        rest.is_empty() || rest.split(|byte| *byte == b'/').all(|name| !matches!(name, b"" | b"." | b".."))
    };
    !path.contains(&0) && path.strip_prefix(b"/").is_some_and(names)
}
