use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::cluster::Cluster;
use super::error::ApiError;
use super::kubeconfig::servers;

/// The largest kubeconfig that is read, bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// Which file it was, as far as a look at its folder tells.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

type Read = Result<Arc<Cluster>, ApiError>;

/// The way to the cluster's API, if there is a cluster. The kubeconfig is read anew when it has changed.
#[derive(Debug)]
pub struct Api {
    usual: PathBuf,
    configured: Mutex<Option<PathBuf>>,
    known: Mutex<Option<(Stamp, Read)>>,
}

impl Api {
    /// By the kubeconfig at `configured`, or else at `usual`, which need not be there.
    pub fn new(usual: PathBuf, configured: Option<PathBuf>) -> Self {
        Self { usual, configured: Mutex::new(configured), known: Mutex::default() }
    }

    /// Takes another kubeconfig from now on.
    pub fn configure(&self, configured: Option<PathBuf>) {
        *self.configured.lock().unwrap_or_else(PoisonError::into_inner) = configured;
    }

    /// The cluster; none if there is no kubeconfig, which is no fault.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used, or is configured and not there.
    pub fn cluster(&self) -> Result<Option<Arc<Cluster>>, ApiError> {
        let configured = self.configured.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let path = configured.as_ref().unwrap_or(&self.usual);
        let wrong = |reason: String| ApiError::Kubeconfig { path: path.clone(), reason };
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && configured.is_none() => return Ok(None),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let stamp = Stamp {
            path: path.clone(),
            inode: metadata.ino(),
            length: metadata.len(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, read)) = known.as_ref().filter(|(of, _)| *of == stamp) {
            tracing::trace!(path = %of.path.display(), "the kubeconfig is as it was");
            return read.clone().map(Some);
        }
        let read = if stamp.length > MAX_BYTES || !metadata.is_file() {
            Err(wrong(format!("is no file of {MAX_BYTES} bytes at most")))
        } else {
            read(path).map(Arc::new).map_err(wrong)
        };
        *known = Some((stamp, read.clone()));
        read.map(Some)
    }
}

fn read(path: &Path) -> Result<Cluster, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    Cluster::new(servers(&text, folder)?)
}
