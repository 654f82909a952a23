//! What is known of our installation. It is written before the first file is placed, and removed after the last one:
//! where it is, K3s is ours.

use std::io;

use serde::{Deserialize, Serialize};

use crate::files;
use crate::paths::{OF_PODS, RECORD, SHARED, STATE};
use crate::root::Root;

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// `server` or `agent`; empty if it is not known any more.
    pub role: String,
    /// The node's name in the cluster; empty if it is not known any more.
    pub node_name: String,
    /// Folders of [`OF_PODS`] and [`SHARED`] that were not there before.
    pub absent_before: Vec<String>,
    /// With what K3s was last started: a sum of program, configuration and unit. Written after the start.
    pub started: String,
}

impl Record {
    /// Of an installation that is about to begin.
    #[must_use]
    pub fn begin(root: &Root, role: &str, node_name: &str) -> Self {
        let absent = OF_PODS.iter().chain(&SHARED).filter(|path| !root.is_there(path));
        Self {
            role: role.to_owned(),
            node_name: node_name.to_owned(),
            absent_before: absent.map(|path| (*path).to_owned()).collect(),
            started: String::new(),
        }
    }

    /// As it stands on the node; none if K3s is not ours there. A damaged one still says that it is, and nothing else.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(root: &Root) -> io::Result<Option<Self>> {
        let bytes = root.read(RECORD)?;
        Ok(bytes.map(|bytes| serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    /// Writes it down.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, root: &Root) -> io::Result<()> {
        files::make_folder(&root.at(STATE), 0o700)?;
        files::replace(&root.at(RECORD), &serde_json::to_vec_pretty(self)?, 0o600)
    }

    /// Whether a folder was not there before.
    #[must_use]
    pub fn is_ours(&self, folder: &str) -> bool {
        self.absent_before.iter().any(|absent| absent == folder)
    }
}

/// Says that nothing of ours is here any more.
///
/// # Errors
/// When it cannot be removed.
pub fn forget(root: &Root) -> io::Result<()> {
    files::remove_made(&root.at(RECORD))?;
    files::remove_if_empty(&root.at(STATE));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Record, forget};
    use crate::paths::{NODE_PASSWORD, RECORD};
    use crate::root::Root;

    #[test]
    fn a_damaged_record_still_says_that_it_is_ours() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        assert_eq!(Record::load(&root).unwrap(), None);
        let record = Record::begin(&root, "agent", "pi-1");
        record.save(&root).unwrap();
        assert_eq!(Record::load(&root).unwrap().as_ref(), Some(&record));
        assert!(record.is_ours(NODE_PASSWORD));
        std::fs::write(root.at(RECORD), "{\"role\": \"age").unwrap();
        assert_eq!(Record::load(&root).unwrap(), Some(Record::default()));
        forget(&root).unwrap();
        assert_eq!(Record::load(&root).unwrap(), None);
    }
}
