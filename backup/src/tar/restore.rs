//! Gives files back.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::BLOCK_BYTES;
use super::archive::{ReadError, Shelf, Source, open_manifest};
use super::attributes::Attributes;
use super::content::Content;
use super::member::read_member;
use super::pax::member_name;
use super::sparse::{Extent, MapReader};
use super::target::Target;
use crate::entry::{Kind, path_order};
use crate::manifest::{Item, Manifest, ManifestError, Record};
use crate::outcome::{ProblemKind, Problems};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::walk::is_below;

/// How much of a file is written at once, bytes.
const CHUNK_BYTES: usize = 128 * 1024;

/// What is given back, and where to.
pub struct Restore<'a> {
    /// The folder to put it in; everything keeps its whole path below it.
    pub to: &'a Path,
    /// Only these, with all that is below them; none for everything.
    pub paths: &'a [PathBuf],
    /// Whether the root of the running system may be written over.
    pub in_place: bool,
    /// Nothing is written.
    pub dry_run: bool,
    /// What could not be given back.
    pub problems: &'a Problems,
    /// How far it is.
    pub progress: &'a Progress,
    /// Set to end early.
    pub stop: &'a Stop,
}

/// What was given back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    /// Files, folders and others.
    pub entries: u64,
    /// Content of files, bytes.
    pub bytes: u64,
}

/// Why nothing, or not everything, was given back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The archive cannot be used.
    #[error(transparent)]
    Archive(#[from] ReadError),
    /// What the archive says of itself is damaged.
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    /// The target cannot be used.
    #[error("opening {}: {source}", path.display())]
    Target {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The target is the root of the running system.
    #[error("{} is the root of the running system; say --in-place to write over it", path.display())]
    RunningRoot {
        /// How it was named.
        path: PathBuf,
    },
    /// A path that was asked for is not in the archive.
    #[error("{} is not in the archive", path.display())]
    NotThere {
        /// Which.
        path: PathBuf,
    },
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
}

/// Gives back what an archive holds, with what the archives hold that it builds on. `told` hears of each entry.
///
/// # Errors
/// When the archive or the target cannot be used, or a path is not there. What goes wrong with single entries becomes a
/// problem instead.
pub fn restore(
    shelf: &dyn Shelf,
    name: &str,
    how: &Restore<'_>,
    told: &mut dyn FnMut(&Record),
) -> Result<Restored, RestoreError> {
    let mut manifest = open_manifest(shelf, name)?;
    if how.paths.is_empty() {
        manifest.check()?;
    }
    let target = |source| RestoreError::Target { path: how.to.to_owned(), source };
    let mut writer = None;
    if !how.dry_run {
        let opened = Target::open(how.to).map_err(target)?;
        if opened.is_running_root() && !how.in_place {
            return Err(RestoreError::RunningRoot { path: how.to.to_owned() });
        }
        writer = Some(opened);
    }
    let (header, second) = (manifest.header.clone(), open_manifest(shelf, name)?);
    let content = Content::new(shelf, &header.chain);
    let mut run = Run { how, content, second, links: HashMap::new(), restored: Restored::default() };
    if how.paths.is_empty() {
        for item in manifest.records()? {
            run.item(item?, writer.as_mut(), told)?;
        }
    }
    let mut paths: Vec<&[u8]> = how.paths.iter().map(|path| path.as_os_str().as_bytes()).collect();
    paths.sort_by(|a, b| path_order(a, b));
    paths.dedup_by(|below, above| below == above || is_below(below, above));
    for path in paths {
        let mut found = false;
        for item in manifest.records_from(path)? {
            let item = item?;
            if item.path() == path || is_below(item.path(), path) {
                found |= matches!(item, Item::Entry(_));
                run.item(item, writer.as_mut(), told)?;
            } else if path_order(item.path(), path).is_gt() {
                break;
            }
        }
        if !found {
            return Err(RestoreError::NotThere { path: PathBuf::from(std::ffi::OsStr::from_bytes(path)) });
        }
    }
    if let Some(mut writer) = writer {
        writer.finish();
        for (path, (what, error)) in writer.refused.drain(..) {
            how.problems.add(&path, ProblemKind::Unreadable, format_args!("giving back its {what}: {error}"));
        }
        writer.sync().map_err(target)?;
    }
    Ok(run.restored)
}

struct Run<'a> {
    how: &'a Restore<'a>,
    content: Content<'a>,
    /// For looking things up while the first is read through.
    second: Manifest<Box<dyn Source>>,
    /// Where the first names of files were written, for their further names.
    links: HashMap<Vec<u8>, Vec<u8>>,
    restored: Restored,
}

impl Run<'_> {
    fn item(
        &mut self,
        item: Item,
        target: Option<&mut Target>,
        told: &mut dyn FnMut(&Record),
    ) -> Result<(), RestoreError> {
        if self.how.stop.is_requested() {
            return Err(RestoreError::Stopped);
        }
        let Item::Entry(record) = item else { return Ok(()) };
        told(&record);
        if let Some(target) = target {
            self.how.progress.at(&record.entry.path);
            if let Err(error) = self.entry(&record, target) {
                self.how.problems.add(
                    &record.entry.path,
                    ProblemKind::Unreadable,
                    format_args!("restoring it: {error}"),
                );
                return Ok(());
            }
        }
        self.restored.entries += 1;
        self.restored.bytes += if record.content.is_some() { record.entry.size } else { 0 };
        Progress::count(&self.how.progress.entries, 1);
        Ok(())
    }

    fn entry(&mut self, record: &Record, target: &mut Target) -> io::Result<()> {
        let entry = &record.entry;
        if let Some(first) = &entry.hard_link {
            if let Some(written) = self.links.get(first) {
                return target.link(&entry.path, written);
            }
            // Its first name was not asked for: this one takes its place.
            let mut instead = self.look_up(first)?;
            let first = std::mem::replace(&mut instead.entry.path, entry.path.clone());
            self.links.insert(first.clone(), entry.path.clone());
            return self.single(&instead, &first, target);
        }
        if entry.kind != Kind::Dir && entry.links > 1 {
            self.links.insert(entry.path.clone(), entry.path.clone());
        }
        self.single(record, &entry.path, target)
    }

    /// Writes an entry that is stored under a name of its own.
    fn single(&mut self, record: &Record, stored_as: &[u8], target: &mut Target) -> io::Result<()> {
        let entry = &record.entry;
        let mut attributes = Attributes::default();
        let refused = if entry.kind == Kind::File {
            let mut stream = self.content.at(record.place)?;
            let member = read_member(&mut stream)?;
            check_name(&member.name, stored_as, entry.kind)?;
            attributes = member.attributes;
            let content = record.content;
            let fill = |file: &mut File| {
                let hash = write_content(&mut stream, file, member.data_bytes, member.sparse_bytes)?;
                let damaged = || io::Error::new(io::ErrorKind::InvalidData, "its content does not fit its hash");
                if content.is_some_and(|content| content == hash) { Ok(()) } else { Err(damaged()) }
            };
            target.file(entry, &attributes, fill)?
        } else {
            if record.attributes.is_some() {
                let member = read_member(&mut self.content.at(record.place)?)?;
                check_name(&member.name, stored_as, entry.kind)?;
                attributes = member.attributes;
            }
            if entry.kind == Kind::Dir { target.dir(entry, attributes)? } else { target.node(entry, &attributes)? }
        };
        for (what, error) in refused {
            let reason = format_args!("giving back its {what}: {error}");
            self.how.problems.add(&entry.path, ProblemKind::Unreadable, reason);
        }
        Progress::count(&self.how.progress.bytes_read, entry.size);
        Ok(())
    }

    fn look_up(&mut self, path: &[u8]) -> io::Result<Record> {
        for item in self.second.records_from(path).map_err(io::Error::other)? {
            match item.map_err(io::Error::other)? {
                Item::Entry(record) if record.entry.path == path => return Ok(*record),
                item if path_order(item.path(), path).is_gt() => break,
                _ => {}
            }
        }
        Err(io::Error::new(io::ErrorKind::NotFound, "its first name is not in the archive"))
    }
}

fn check_name(name: &[u8], path: &[u8], kind: Kind) -> io::Result<()> {
    let other = || io::Error::new(io::ErrorKind::InvalidData, "the archive holds something else in its place");
    if name == member_name(path, kind) { Ok(()) } else { Err(other()) }
}

/// Writes a member's data into a file, holes where it has them. Returns the hash of the data.
fn write_content(input: &mut impl Read, file: &mut File, data_bytes: u64, sparse: Option<u64>) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; CHUNK_BYTES.min(data_bytes.max(1) as usize)];
    let Some(size) = sparse else {
        let mut left = data_bytes;
        while left > 0 {
            let chunk = chunk(&mut buffer, left);
            input.read_exact(chunk)?;
            hasher.update(chunk);
            file.write_all(chunk)?;
            left -= chunk.len() as u64;
        }
        return Ok(*hasher.finalize().as_bytes());
    };
    file.set_len(size)?;
    for Extent { mut offset, len } in read_map(input, &mut hasher, size)? {
        let end = offset + len;
        while offset < end {
            let chunk = chunk(&mut buffer, end - offset);
            input.read_exact(chunk)?;
            hasher.update(chunk);
            file.write_all_at(chunk, offset)?;
            offset += chunk.len() as u64;
        }
    }
    Ok(*hasher.finalize().as_bytes())
}

fn chunk(buffer: &mut [u8], left: u64) -> &mut [u8] {
    let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
    buffer.get_mut(..len).unwrap_or_default()
}

fn read_map(input: &mut impl Read, hasher: &mut blake3::Hasher, size: u64) -> io::Result<Vec<Extent>> {
    let mut reader = MapReader::default();
    loop {
        let mut block = [0; BLOCK_BYTES];
        input.read_exact(&mut block)?;
        hasher.update(&block);
        let extents = reader.block(&block, size);
        if let Some(extents) = extents.map_err(|what| io::Error::new(io::ErrorKind::InvalidData, what))? {
            return Ok(extents);
        }
    }
}
