//! One run: from the walk to the name under which the tree is found.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rackhaven_proto::model::backup::Selection;
use rustix::fs::{
    AtFlags, Mode, OFlags, fchmod, fremovexattr, fstat, fsync, mkdirat, openat, renameat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::assemble::Assembler;
use super::earlier::Earlier;
use super::journal::Journal;
use super::pipeline::{Shared, fill};
use crate::chance;
use crate::clock::steady;
use crate::manifest::{ArchiveId, ChainLink, Footer, Header, Writer};
use crate::outcome::{ArchiveKind, Outcome, Problems};
use crate::pace::Pace;
use crate::progress::Progress;
use crate::repository::archive::{form, fresh_name};
use crate::repository::{Form, Local, MANIFEST, PARTIAL, Record, RepositoryError, Store};
use crate::stop::Stop;
use crate::walk::{Rules, Walk};

/// The link to the newest tree.
const LATEST: &str = "latest";
/// How many files a run may have open, if it is let.
const OPEN_FILES: u64 = 8192;
/// Below so many entries nothing is concluded from how many are gone.
pub(super) const FEW_ENTRIES: u64 = 100;

/// What one run is to make.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// The node's name.
    pub node: &'a str,
    /// The job's name.
    pub job: &'a str,
    /// What is saved.
    pub selection: &'a Selection,
    /// The same, as the walk takes it.
    pub rules: &'a Rules,
    /// When the run began, milliseconds since 1970-01-01 UTC.
    pub started_unix_ms: i64,
    /// Copy everything, and accept that most of it may be gone.
    pub full: bool,
    /// How many threads copy.
    pub threads: usize,
}

impl Snapshot<'_> {
    /// What the tree of this name says of itself.
    pub(super) fn header(&self, name: &str) -> io::Result<(ArchiveId, Header)> {
        let id = ArchiveId(chance::bits()?);
        let header = Header {
            job: self.job.to_owned(),
            node: self.node.to_owned(),
            kind: ArchiveKind::Snapshot,
            started_unix_ms: self.started_unix_ms,
            sources: self.selection.sources.iter().map(|source| source.display().to_string()).collect(),
            chain: vec![ChainLink { id, name: name.to_owned() }],
        };
        Ok((id, header))
    }
}

/// What one run made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What stands beside the tree.
    pub record: Record,
    /// How many things were there the last time and are no more.
    pub entries_removed: u64,
    /// What people should know, for which no path is to blame.
    pub notes: Vec<String>,
}

/// Why a run made no tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// It was told to stop. The next run goes on.
    #[error("stopped; what was done is kept for the next run")]
    Stopped,
    /// The repository refused.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// Something could not be written to the tree.
    #[error("writing {path} in the repository: {source}")]
    Writing {
        /// What was to be written.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The manifest could not be written.
    #[error("writing the manifest: {0}")]
    Manifest(io::Error),
    /// Most of what was there is gone.
    #[error(
        "of {before} entries only {now} are there: is a source not mounted? Nothing was published; a run with --full \
         accepts it"
    )]
    Vanished {
        /// How many there were.
        before: u64,
        /// How many there are.
        now: u64,
    },
}

/// Makes a tree of what the job selects.
///
/// # Errors
/// When there is no tree then. What was copied stays for the next run, but on a full disk.
pub fn make(
    local: &Local,
    snapshot: &Snapshot<'_>,
    problems: &Problems,
    progress: &Progress,
    pace: &Pace,
    stop: &Stop,
) -> Result<Made, TreeError> {
    raise_open_files();
    local.clean_but_trees()?;
    let unfinished = Unfinished::find(local)?;
    let archives = local.list()?;
    let trees: Vec<_> = archives.iter().filter(|archive| archive.kind == ArchiveKind::Snapshot).collect();
    let mut notes = Vec::new();
    let mut earlier = Vec::new();
    if !snapshot.full {
        earlier.extend(unfinished.as_ref().and_then(|unfinished| unfinished.open(local)));
        if let Some(last) = trees.last() {
            match published(local, &last.name) {
                Ok(last) => earlier.push(last),
                Err(why) => notes.push(format!("nothing is shared with {}: {why}", last.name)),
            }
        }
    }
    let before = earlier.iter().find_map(|earlier| earlier.entries);
    expect(&earlier, progress);
    let taken: Vec<String> = (archives.iter().map(|archive| archive.name.clone()))
        .chain(unfinished.iter().map(|unfinished| unfinished.name.clone()))
        .collect();
    let name = fresh_name(snapshot.started_unix_ms, Form::Tree, &taken);

    let (root, assembler, id) = begin(local, snapshot, &name, problems)?;
    let threads = snapshot.threads.max(1);
    let born_to = fstat(&*root).ok().map(|stat| (stat.st_uid, stat.st_gid));
    let shared = Shared { problems, progress, pace, stop, threads, born_to };
    let (assembler, filled) = fill(Walk::new(snapshot.rules, problems), &root, &mut earlier, assembler, &shared);
    if let Err(error) = filled.and_then(|()| if stop.is_requested() { Err(TreeError::Stopped) } else { Ok(()) }) {
        let error = if stop.is_requested() { TreeError::Stopped } else { error };
        return Err(given_up(local, &name, assembler, error));
    }
    let entries_removed = earlier.pop().filter(|last| last.entries.is_some()).map_or(0, Earlier::finish);
    let help = format!("A tree beside this file, in {name}. Copy from it: cp -a --parents or rsync -aHAXS.");
    let footer = assembler.finish(id, &help).map_err(|error| on_disk(local, &name, error))?;
    if let Some(before) =
        before.filter(|before| *before >= FEW_ENTRIES && footer.entries < before / 2 && !snapshot.full)
    {
        for made in [format!("{name}{PARTIAL}"), format!("{name}{MANIFEST}{PARTIAL}")] {
            local.discard(&made)?;
        }
        return Err(TreeError::Vanished { before, now: footer.entries });
    }
    let record = publish(local, snapshot, &name, &footer, problems, progress)?;
    if let Some(unfinished) = unfinished {
        unfinished.discard(local)?;
    }
    Ok(Made { record, entries_removed, notes })
}

/// A tree that a run did not finish.
struct Unfinished {
    name: String,
    manifest: String,
}

impl Unfinished {
    /// The one that got furthest. Others are removed.
    fn find(local: &Local) -> Result<Option<Self>, RepositoryError> {
        let mut found = Vec::new();
        for name in local.names_ending(PARTIAL)? {
            if form(&name) != Some(Form::Tree) {
                continue;
            }
            let done = format!("{name}{MANIFEST}");
            let candidates = [done.clone(), format!("{done}{PARTIAL}")];
            let sized = candidates.into_iter().filter_map(|manifest| {
                let stat = statat(local.dir(), manifest.as_str(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
                Some((stat.st_size, manifest))
            });
            let (size, manifest) = sized.max().unwrap_or((-1, done));
            found.push((size, Self { name, manifest }));
        }
        found.sort_by_key(|(size, _)| *size);
        let furthest = found.pop().map(|(_, furthest)| furthest);
        for (_, other) in found {
            other.discard(local)?;
        }
        Ok(furthest)
    }

    /// What is in it, if that can be known.
    fn open(&self, local: &Local) -> Option<Earlier> {
        let root = open_folder(local, &format!("{}{PARTIAL}", self.name)).ok()?;
        Earlier::unfinished(root, open_file(local, &self.manifest).ok()?).ok()
    }

    fn discard(&self, local: &Local) -> Result<(), RepositoryError> {
        for what in [MANIFEST.to_owned(), format!("{MANIFEST}{PARTIAL}"), PARTIAL.to_owned()] {
            local.discard(&format!("{}{what}", self.name))?;
        }
        Ok(())
    }
}

fn published(local: &Local, name: &str) -> Result<Earlier, String> {
    let root = open_folder(local, name).map_err(|error| error.to_string())?;
    let manifest = open_file(local, &format!("{name}{MANIFEST}")).map_err(|error| format!("its manifest: {error}"))?;
    Earlier::published(root, manifest).map_err(|error| error.to_string())
}

/// Makes the folder and the manifest that are to be filled.
fn begin<'a>(
    local: &Local,
    snapshot: &Snapshot<'_>,
    name: &str,
    problems: &'a Problems,
) -> Result<(Arc<OwnedFd>, Assembler<'a>, ArchiveId), TreeError> {
    let writing = |path: &str, error: Errno| {
        RepositoryError::io(format!("making {}", local.folder().join(path).display()), error)
    };
    let partial = format!("{name}{PARTIAL}");
    mkdirat(local.dir(), partial.as_str(), Mode::RWXU).map_err(|error| writing(&partial, error))?;
    let root = Arc::new(open_folder(local, &partial).map_err(|error| writing(&partial, error))?);
    // What the repository's folder hands down to new ones has no place in a copy.
    match fremovexattr(&*root, "system.posix_acl_default") {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
        Err(error) => return Err(writing(&partial, error).into()),
    }
    fchmod(&*root, Mode::RWXU).map_err(|error| writing(&partial, error))?;
    let manifest = format!("{name}{MANIFEST}{PARTIAL}");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = openat(local.dir(), manifest.as_str(), flags, Mode::RUSR | Mode::WUSR)
        .map_err(|error| writing(&manifest, error))?;
    let (id, header) = snapshot.header(name).map_err(TreeError::Manifest)?;
    let journal = Journal::new(File::from(file), steady());
    let writer = Writer::new(journal, &header).map_err(TreeError::Manifest)?;
    Ok((Arc::clone(&root), Assembler::new(root, writer, problems), id))
}

/// Gives the tree its name. Everything in it is on the disk.
fn publish(
    local: &Local,
    snapshot: &Snapshot<'_>,
    name: &str,
    footer: &Footer,
    problems: &Problems,
    progress: &Progress,
) -> Result<Record, TreeError> {
    local.check_there()?;
    let failed = |what: &str, error: Errno| {
        RepositoryError::io(format!("naming {}", local.folder().join(what).display()), error)
    };
    let manifest = format!("{name}{MANIFEST}");
    renameat(local.dir(), format!("{manifest}{PARTIAL}").as_str(), local.dir(), manifest.as_str())
        .map_err(|error| failed(&manifest, error))?;
    let record = local.publish(Record {
        format: 1,
        name: name.to_owned(),
        sequence: 0,
        received_unix_ms: 0,
        started_unix_ms: snapshot.started_unix_ms,
        kind: ArchiveKind::Snapshot,
        base: None,
        outcome: problems.outcome().max(Outcome::Ok),
        entries: footer.entries,
        source_bytes: footer.content_bytes,
        stored_bytes: progress.status().bytes_stored,
        verified: None,
    })?;
    // For people. A file system without symbolic links does without.
    let temporary = format!("{LATEST}{PARTIAL}");
    let _ = unlinkat(local.dir(), temporary.as_str(), AtFlags::empty());
    if symlinkat(name, local.dir(), temporary.as_str()).is_ok() {
        renameat(local.dir(), temporary.as_str(), local.dir(), LATEST).map_err(|error| failed(LATEST, error))?;
        fsync(local.dir()).map_err(|error| failed(LATEST, error))?;
    }
    Ok(record)
}

/// Keeps what was done, unless that is what fills the disk.
fn given_up(local: &Local, name: &str, assembler: Assembler<'_>, error: TreeError) -> TreeError {
    let full = match &error {
        TreeError::Writing { source, .. } | TreeError::Manifest(source) => is_full(source),
        _ => false,
    };
    let kept = if full { Err(io::ErrorKind::StorageFull.into()) } else { assembler.give_up() };
    match kept {
        Ok(()) => error,
        Err(_) => discarded(local, name, error),
    }
}

fn on_disk(local: &Local, name: &str, error: io::Error) -> TreeError {
    if is_full(&error) { discarded(local, name, TreeError::Manifest(error)) } else { TreeError::Manifest(error) }
}

fn discarded(local: &Local, name: &str, error: TreeError) -> TreeError {
    for made in [format!("{name}{PARTIAL}"), format!("{name}{MANIFEST}{PARTIAL}")] {
        // The next run tries it again.
        let _ = local.discard(&made);
    }
    match error {
        TreeError::Writing { path, source } if is_full(&source) => {
            RepositoryError::Full(format!("writing {path}: {source}")).into()
        }
        TreeError::Manifest(source) if is_full(&source) => {
            RepositoryError::Full(format!("writing the manifest: {source}")).into()
        }
        other => other,
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn expect(earlier: &[Earlier], progress: &Progress) {
    use std::sync::atomic::Ordering::Relaxed;
    for known in earlier {
        if let (Some(entries), Some(bytes)) = (known.entries, known.content_bytes) {
            progress.entries_expected.store(entries, Relaxed);
            progress.bytes_expected.store(bytes, Relaxed);
        }
    }
}

fn open_folder(local: &Local, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(local.dir(), name, flags, Mode::empty())
}

fn open_file(local: &Local, name: &str) -> Result<File, Errno> {
    openat(local.dir(), name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).map(File::from)
}

/// Folders are held open on both sides while files are copied.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(OPEN_FILES, |most| most.min(OPEN_FILES));
    if limit.current.is_some_and(|current| current < most) {
        // Without, runs of many threads may fail, and say so.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum });
    }
}
