use std::path::{Path, PathBuf};

use rackhaven_pki::durable::{self, StateError};

use super::record::Record;

const FILE: &str = "cluster";
const KIND: &str = "k3s-cluster";
const VERSION: u32 = 1;

/// The record on the disk, and beside it what the API is reached by.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    folder: PathBuf,
}

impl Memory {
    /// In the folder for K3s.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Reads it; none if there is no cluster.
    ///
    /// # Errors
    /// When it is damaged or cannot be read. It is not set aside: its tokens are nowhere else.
    pub(super) fn load(&self) -> Result<Option<Record>, StateError> {
        let path = self.folder.join(FILE);
        let Some(bytes) = durable::read_checked(&path, KIND, VERSION)? else { return Ok(None) };
        let corrupt = |error: serde_json::Error| StateError::Corrupt { path, reason: error.to_string() };
        serde_json::from_slice(&bytes).map(Some).map_err(corrupt)
    }

    /// Replaces it, or removes it with the last member.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn save(&self, record: Option<&Record>) -> Result<(), StateError> {
        let (path, access) = (self.folder.join(FILE), self.kubeconfig_path());
        let Some(record) = record else {
            durable::remove(&access)?;
            return durable::remove(&path);
        };
        std::fs::create_dir_all(&self.folder).map_err(|source| StateError::Io {
            path: self.folder.clone(),
            operation: "making",
            source,
        })?;
        let corrupt = |error: serde_json::Error| StateError::Corrupt { path: path.clone(), reason: error.to_string() };
        let bytes = serde_json::to_vec(record).map_err(corrupt)?;
        durable::replace_checked(&path, KIND, VERSION, &bytes, 0o600)?;
        match record.kubeconfig() {
            Some(text) => durable::replace(&access, text.as_bytes(), 0o600),
            None => durable::remove(&access),
        }
    }

    /// What the API is reached by.
    pub(super) fn kubeconfig_path(&self) -> PathBuf {
        self.folder.join("kubeconfig.yaml")
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::cluster;
    use super::Memory;

    #[test]
    fn it_is_kept_for_its_owner_alone_and_goes_with_the_last_member() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::new(&folder.path().join("k3s"));
        assert_eq!(memory.load().unwrap(), None);
        let record = cluster(&["master"]);
        assert!(!format!("{record:?}").contains(&record.server_token.0));
        memory.save(Some(&record)).unwrap();
        assert_eq!(memory.load().unwrap(), Some(record));
        for name in ["cluster", "kubeconfig.yaml"] {
            let metadata = std::fs::metadata(folder.path().join("k3s").join(name)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
        }
        memory.save(None).unwrap();
        assert_eq!(std::fs::read_dir(folder.path().join("k3s")).unwrap().count(), 0);
    }
}
