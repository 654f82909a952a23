use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use rackhaven_proto::model::k3s::{Artifact, Digest};
use ring::digest::{Context, SHA256};

/// So much of the disk is left to the rest of the node, bytes.
const KEPT_FREE_BYTES: u64 = 128 << 20;
/// What a file ends with that is not whole yet.
const PARTIAL: &str = "partial";

/// The files of orders: one is named by its SHA-256 when it is whole.
#[derive(Debug, Clone)]
pub(super) struct Files(PathBuf);

fn told(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> String {
    let path = path.display().to_string();
    move |error| format!("{operation} {path}: {error}")
}

impl Files {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Where they are.
    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// Removes what none of these needs, and looks whether the rest of them has room.
    pub(super) fn make_room(&self, for_these: &[Artifact]) -> Result<(), String> {
        fs::create_dir_all(&self.0).map_err(told("making", &self.0))?;
        let mut there_bytes: u64 = 0;
        for entry in fs::read_dir(&self.0).map_err(told("reading", &self.0))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let digest = name.strip_suffix(PARTIAL).map_or(name.as_str(), |name| name.trim_end_matches('.'));
            if let Some(artifact) = for_these.iter().find(|artifact| artifact.sha256.to_string() == digest) {
                // One that the engine fetches counts for nothing: how long it will be is not known.
                let length = entry.metadata().map_or(0, |metadata| metadata.len()).min(artifact.bytes);
                there_bytes = there_bytes.saturating_add(length);
            } else {
                // What stays takes room, and no more.
                let _ = fs::remove_file(entry.path());
            }
        }
        let all_bytes = for_these.iter().fold(0_u64, |sum, artifact| sum.saturating_add(artifact.bytes));
        let needed_bytes = all_bytes.saturating_sub(there_bytes);
        let stat = statvfs(&self.0).map_err(|error| told("looking at", &self.0)(error.into()))?;
        #[expect(clippy::useless_conversion, reason = "narrower on 32-bit systems")]
        let free_bytes = u64::from(stat.blocks_available()).saturating_mul(u64::from(stat.fragment_size()));
        if needed_bytes > 0 && needed_bytes.saturating_add(KEPT_FREE_BYTES) > free_bytes {
            return Err(format!(
                "{needed_bytes} bytes do not fit: {free_bytes} are free, and {KEPT_FREE_BYTES} of them are kept for the \
                 node"
            ));
        }
        Ok(())
    }

    /// Removes all of them.
    pub(super) fn clear(&self) {
        // What stays is removed with the next order.
        let _ = fs::remove_dir_all(&self.0);
    }

    /// Whether it is here as a whole.
    pub(super) fn has(&self, artifact: &Artifact) -> bool {
        fs::metadata(self.whole(&artifact.sha256)).is_ok_and(|metadata| metadata.len() == artifact.bytes)
    }

    /// Goes on with what came of it before.
    pub(super) fn go_on(&self, artifact: &Artifact) -> Result<Partial, String> {
        let path = self.0.join(format!("{}.{PARTIAL}", artifact.sha256));
        let file = File::options().create(true).append(true).open(&path).map_err(told("opening", &path))?;
        let mut bytes = file.metadata().map_err(told("looking at", &path))?.len();
        if bytes > artifact.bytes {
            file.set_len(0).map_err(told("emptying", &path))?;
            bytes = 0;
        }
        Ok(Partial {
            whole: self.whole(&artifact.sha256),
            path,
            file,
            bytes,
            wanted: artifact.bytes,
            sha256: artifact.sha256,
        })
    }

    fn whole(&self, sha256: &Digest) -> PathBuf {
        self.0.join(sha256.to_string())
    }
}

/// A file that comes in. Dropped, it stays as it is, to be gone on with.
#[derive(Debug)]
pub(super) struct Partial {
    whole: PathBuf,
    path: PathBuf,
    file: File,
    /// So many are here.
    pub(super) bytes: u64,
    wanted: u64,
    sha256: Digest,
}

impl Partial {
    /// Takes the next bytes.
    pub(super) fn write(mut self, bytes: &[u8]) -> Result<Self, String> {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if self.bytes > self.wanted {
            let _ = fs::remove_file(&self.path);
            return Err(format!("more than the {} bytes that were announced", self.wanted));
        }
        self.file.write_all(bytes).map_err(told("writing", &self.path))?;
        Ok(self)
    }

    /// After its last byte: it counts as whole if it has its SHA-256, and is thrown away otherwise.
    pub(super) fn finish(self) -> Result<(), String> {
        let hash = hash(&self.path).map_err(told("reading", &self.path))?;
        if hash != self.sha256.0 {
            let _ = fs::remove_file(&self.path);
            return Err(format!("what came has the SHA-256 {}, not {}", Digest(hash), self.sha256));
        }
        self.file.sync_all().map_err(told("writing", &self.path))?;
        fs::rename(&self.path, &self.whole).map_err(told("naming", &self.whole))
    }
}

fn hash(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = file.read(&mut piece)?;
        if length == 0 {
            return Ok(context.finish().as_ref().try_into().unwrap_or([0; 32]));
        }
        context.update(piece.get(..length).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::model::k3s::{Arch, Artifact, ArtifactKind, Digest};

    use super::Files;

    fn artifact(bytes: &[u8]) -> Artifact {
        Artifact {
            version: "v1.31.4+k3s1".parse().unwrap(),
            arch: Arch::Arm64,
            kind: ArtifactKind::Program,
            bytes: bytes.len() as u64,
            sha256: Digest(rackhaven_pki::sha256(bytes)),
            added_unix_ms: 0,
            source: None,
        }
    }

    #[test]
    fn it_is_gone_on_with_and_whole_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path().join("files"));
        let wanted = artifact(b"hello, board");
        files.make_room(std::slice::from_ref(&wanted)).unwrap();
        drop(files.go_on(&wanted).unwrap().write(b"hello").unwrap());
        assert!(!files.has(&wanted));
        files.make_room(std::slice::from_ref(&wanted)).unwrap();
        let partial = files.go_on(&wanted).unwrap();
        assert_eq!(partial.bytes, 5);
        partial.write(b", board").unwrap().finish().unwrap();
        assert!(files.has(&wanted));
        // Of another order nothing is left.
        files.make_room(&[artifact(b"other")]).unwrap();
        assert!(!files.has(&wanted));
        assert_eq!(std::fs::read_dir(files.folder()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_wrong_does_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path().to_owned());
        let wanted = artifact(b"hello");
        let error = files.go_on(&wanted).unwrap().write(b"world").unwrap().finish().unwrap_err();
        assert!(error.starts_with("what came has the SHA-256 486ea4"), "{error}");
        let error = files.go_on(&wanted).unwrap().write(b"hello!").unwrap_err();
        assert_eq!(error, "more than the 5 bytes that were announced");
        assert_eq!(files.go_on(&wanted).unwrap().bytes, 0);
        let large = Artifact { bytes: 1 << 50, ..wanted };
        let error = files.make_room(&[large]).unwrap_err();
        assert!(error.starts_with("1125899906842624 bytes do not fit: "), "{error}");
    }
}
