use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rackhaven_pki::{durable, hex, random};
use rackhaven_proto::model::k3s::{Arch, Artifact, ArtifactKind, Digest, Source};
use ring::digest::{Context, SHA256};

/// So much of the disk is left to the controller's own state, bytes.
const KEPT_FREE_BYTES: u64 = 256 << 20;
/// So many first bytes tell what a file is.
const TELLING_BYTES: usize = 512;
/// What a file ends with that is not whole yet.
const PARTIAL: &str = "partial";
/// What a file ends with that says where another is, and its longest text, bytes.
const SOURCE: &str = ".source";
const MAX_SOURCE_BYTES: u64 = 4096;

/// Why a file was not taken or found.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// It is not what it was said to be.
    #[error("{0}")]
    Wrong(String),
    /// The disk has too little room.
    #[error(
        "{needed_bytes} bytes do not fit: {free_bytes} are free, and {KEPT_FREE_BYTES} of them are kept for the controller"
    )]
    NoRoom {
        /// What it takes.
        needed_bytes: u64,
        /// What there is.
        free_bytes: u64,
    },
    /// The disk refused.
    #[error("{operation} {}: {source}", path.display())]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ArtifactError {
    /// Whether there is no such file, or none any more.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Disk { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

fn disk(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArtifactError {
    let path = path.to_owned();
    move |source| ArtifactError::Disk { operation, path, source }
}

/// The files of releases, in folders VERSION/ARCH, each under its kind and its SHA-256: what has such a name is whole. Where
/// nodes fetch one by themselves there is its source, in a file of that name with an end of its own.
#[derive(Debug, Clone)]
pub struct Artifacts {
    folder: PathBuf,
}

impl Artifacts {
    /// In this folder, which is made when the first file comes.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Removes what was not whole when the controller ended. The first time in a run of the controller only.
    pub fn clean(&self) {
        for path in self.files() {
            if path.extension().is_some_and(|end| end == PARTIAL)
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!(%error, path = %path.display(), "what is left of a transfer could not be removed");
            }
        }
    }

    /// All files that are whole, by version, architecture and kind.
    pub fn list(&self) -> Vec<Artifact> {
        let mut all: Vec<_> = self.files().iter().filter_map(|path| read(path)).collect();
        all.sort_by(|a, b| (&a.version, a.arch, a.kind).cmp(&(&b.version, b.arch, b.kind)));
        all
    }

    /// Removes what `chosen` says; what that was.
    ///
    /// # Errors
    /// When the disk refuses; what was removed before is gone.
    pub fn remove(&self, chosen: impl Fn(&Artifact) -> bool) -> Result<Vec<Artifact>, ArtifactError> {
        let mut removed = Vec::new();
        for artifact in self.list().into_iter().filter(chosen) {
            let path = self.path(&artifact);
            fs::remove_file(&path).map_err(disk("removing", &path))?;
            removed.push(artifact);
        }
        for folder in folders(&self.folder) {
            // One that is not empty stays.
            folders(&folder).iter().for_each(|arch| drop(fs::remove_dir(arch)));
            let _ = fs::remove_dir(&folder);
        }
        Ok(removed)
    }

    /// Reads a file from `offset_bytes` on, in pieces, as long as `take` wants more.
    ///
    /// # Errors
    /// When it is gone, or the disk refuses.
    pub fn read(
        &self,
        artifact: &Artifact,
        offset_bytes: u64,
        piece_bytes: usize,
        mut take: impl FnMut(Vec<u8>) -> bool,
    ) -> Result<(), ArtifactError> {
        if artifact.source.is_some() {
            return Err(ArtifactError::Wrong("nodes fetch it by themselves".to_owned()));
        }
        let path = self.path(artifact);
        let mut file = File::open(&path).map_err(disk("opening", &path))?;
        file.seek(SeekFrom::Start(offset_bytes)).map_err(disk("reading", &path))?;
        loop {
            let mut piece = vec![0; piece_bytes];
            let length = file.read(&mut piece).map_err(disk("reading", &path))?;
            piece.truncate(length);
            if length == 0 || !take(piece) {
                return Ok(());
            }
        }
    }

    /// Begins to take up a file.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn begin(&self, artifact: Artifact) -> Result<Incoming, ArtifactError> {
        let path = self.path(&artifact);
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).map_err(disk("making", folder))?;
        let room = nix::sys::statvfs::statvfs(folder).map_err(|error| disk("looking at", folder)(error.into()))?;
        let free_bytes = room.blocks_available().saturating_mul(room.fragment_size());
        if artifact.bytes.saturating_add(KEPT_FREE_BYTES) > free_bytes {
            return Err(ArtifactError::NoRoom { needed_bytes: artifact.bytes, free_bytes });
        }
        let unique = random::<8>().map_err(|error| disk("naming", &path)(io::Error::other(error)))?;
        let partial = folder.join(format!("{}.{PARTIAL}", hex(&unique)));
        let file = File::create_new(&partial).map_err(disk("making", &partial))?;
        Ok(Incoming { artifact, path, partial, file, first: Vec::new(), hash: Context::new(&SHA256), written: 0 })
    }

    /// Takes up where nodes fetch a file by themselves, and removes what that replaces.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn pin(&self, artifact: &Artifact) -> Result<Artifact, ArtifactError> {
        let path = self.path(artifact);
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).map_err(disk("making", folder))?;
        let source = artifact.source.as_ref().map_or("", Source::as_str);
        durable::replace(&path, source.as_bytes(), 0o600)
            .map_err(|error| disk("writing", &path)(io::Error::other(error)))?;
        take_place(&path, artifact.kind)
    }

    fn path(&self, artifact: &Artifact) -> PathBuf {
        let end = if artifact.source.is_some() { SOURCE } else { "" };
        let name = format!("{}.{}{end}", artifact.kind, artifact.sha256);
        self.folder.join(artifact.version.as_str()).join(artifact.arch.as_str()).join(name)
    }

    fn files(&self) -> Vec<PathBuf> {
        let archs = folders(&self.folder).into_iter().flat_map(|version| folders(&version));
        archs.flat_map(|arch| entries(&arch)).filter(|path| path.is_file()).collect()
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|path| path.is_dir()).collect()
}

/// What a file is by its place; none if it is nothing of ours.
fn read(path: &Path) -> Option<Artifact> {
    let name = |path: &Path| path.file_name()?.to_str().map(str::to_owned);
    let own = name(path)?;
    let metadata = fs::metadata(path).ok()?;
    let (own, bytes, source) = match own.strip_suffix(SOURCE) {
        Some(own) if metadata.len() <= MAX_SOURCE_BYTES => (own, 0, Some(fs::read_to_string(path).ok()?.parse().ok()?)),
        Some(_) => return None,
        None => (own.as_str(), metadata.len(), None),
    };
    let (kind, sha256) = own.rsplit_once('.')?;
    let arch = path.parent()?;
    let added = metadata.modified().ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(Artifact {
        version: name(arch.parent()?)?.parse().ok()?,
        arch: name(arch)?.parse().ok()?,
        kind: kind.parse().ok()?,
        bytes,
        sha256: sha256.parse().ok()?,
        added_unix_ms: i64::try_from(added.as_millis()).unwrap_or(i64::MAX),
        source,
    })
}

/// Removes what a file of this kind replaces, once that is in its place.
fn take_place(path: &Path, kind: ArtifactKind) -> Result<Artifact, ArtifactError> {
    for other in entries(path.parent().unwrap_or(path)) {
        let replaced = read(&other).is_some_and(|other| kind.replaces(other.kind));
        if replaced && other != path {
            fs::remove_file(&other).map_err(disk("removing", &other))?;
        }
    }
    read(path).ok_or_else(|| ArtifactError::Wrong("it is gone".to_owned()))
}

/// A file that comes in. Dropped before its end, nothing of it stays.
pub struct Incoming {
    artifact: Artifact,
    path: PathBuf,
    partial: PathBuf,
    file: File,
    first: Vec<u8>,
    hash: Context,
    written: u64,
}

impl Incoming {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// When they are too many, are not of such a file, or the disk refuses.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ArtifactError> {
        let told = self.first.len() >= TELLING_BYTES;
        let missing = TELLING_BYTES.saturating_sub(self.first.len()).min(bytes.len());
        self.first.extend_from_slice(bytes.get(..missing).unwrap_or_default());
        if !told && self.first.len() >= TELLING_BYTES {
            self.tell()?;
        }
        self.written = self.written.saturating_add(bytes.len() as u64);
        if self.written > self.artifact.bytes {
            return Err(ArtifactError::Wrong(format!(
                "more than the {} bytes that were announced",
                self.artifact.bytes
            )));
        }
        self.hash.update(bytes);
        self.file.write_all(bytes).map_err(disk("writing", &self.partial))
    }

    /// Whether its first bytes are such as they must be.
    fn tell(&self) -> Result<(), ArtifactError> {
        let Artifact { arch, kind, .. } = self.artifact;
        if ArtifactKind::of_bytes(&self.first) != Some(kind) {
            return Err(ArtifactError::Wrong(format!("it does not begin as {kind} does")));
        }
        let is = Arch::of_program(&self.first);
        if kind == ArtifactKind::Program && is != Some(arch) {
            let is = is.map_or("another architecture", Arch::as_str);
            return Err(ArtifactError::Wrong(format!("it is a program for {is}, not for {arch}")));
        }
        Ok(())
    }

    /// After its last byte: whether it is what it was said to be.
    ///
    /// # Errors
    /// When it is not whole, has another SHA-256, or the disk refuses.
    pub fn check(&mut self) -> Result<(), ArtifactError> {
        if self.written != self.artifact.bytes {
            let message = format!("it ended after {} of {} bytes", self.written, self.artifact.bytes);
            return Err(ArtifactError::Wrong(message));
        }
        self.tell()?;
        let hash = std::mem::replace(&mut self.hash, Context::new(&SHA256)).finish();
        let has = Digest(hash.as_ref().try_into().unwrap_or([0; 32]));
        if has != self.artifact.sha256 {
            let message = format!("its SHA-256 is {has}, not {}", self.artifact.sha256);
            return Err(ArtifactError::Wrong(message));
        }
        self.file.sync_all().map_err(disk("writing", &self.partial))
    }

    /// Puts what was checked in its place, where it is kept from now on, and removes what it replaces.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep(self) -> Result<Artifact, ArtifactError> {
        fs::rename(&self.partial, &self.path).map_err(disk("naming", &self.path))?;
        let folder = self.path.parent().unwrap_or(&self.path);
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(disk("writing", folder))?;
        take_place(&self.path, self.artifact.kind)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // It has another name if it was whole.
        let _ = fs::remove_file(&self.partial);
    }
}

#[cfg(test)]
mod tests;
