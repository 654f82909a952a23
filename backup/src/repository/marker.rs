//! By which a repository is known again.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::RepositoryError;
use crate::chance;

/// Where a job keeps by what it knows its repository, in its folder of the node's state.
const KNOWN: &str = "repository.json";
/// The longest marker, and the longest file of the node's own, bytes.
const MAX_BYTES: usize = 64 * 1024;

/// What stands in the marker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    /// The form of the repository; 1.
    pub(super) format: u32,
    /// 128 bits by chance, in hexadecimal digits.
    pub(super) id: String,
    /// When it was made, milliseconds since 1970-01-01 UTC by the clock of the node that made it.
    pub(super) created_unix_ms: i64,
}

impl Marker {
    /// A new one.
    pub(super) fn new(unix_ms: i64) -> Result<Self, RepositoryError> {
        let bytes = chance::bits().map_err(|error| RepositoryError::io("drawing an id for the repository", error))?;
        let id = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { format: 1, id, created_unix_ms: unix_ms })
    }

    /// Reads one that stands at `place`.
    pub(super) fn parse(text: &[u8], place: &str) -> Result<Self, RepositoryError> {
        let broken = |why: &str| RepositoryError::NotThere(format!("{place} cannot be understood: {why}"));
        if text.len() > MAX_BYTES {
            return Err(broken("it is too long"));
        }
        let marker: Self = serde_json::from_slice(text).map_err(|error| broken(&error.to_string()))?;
        if marker.format != 1 {
            return Err(broken(&format!("it has form {}, which is newer than this program", marker.format)));
        }
        if marker.id.len() != 32 || !marker.id.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(broken("its id is none"));
        }
        Ok(marker)
    }

    /// As it is written.
    pub(super) fn text(&self) -> String {
        format!("{{\"format\":{},\"id\":\"{}\",\"created_unix_ms\":{}}}\n", self.format, self.id, self.created_unix_ms)
    }
}

/// The repository that a job has used before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    location: String,
    id: String,
}

impl Known {
    /// What the job knows of the repository at this place; nothing if it has never used that.
    pub(super) fn read(state: &Path, location: &str) -> Result<Option<String>, RepositoryError> {
        let path = state.join(KNOWN);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(RepositoryError::io(format!("reading {}", path.display()), error)),
        };
        let known: Self = serde_json::from_slice(&text)
            .map_err(|error| RepositoryError::io(format!("reading {}", path.display()), std::io::Error::from(error)))?;
        Ok((known.location == location).then_some(known.id))
    }

    /// Keeps it.
    pub(super) fn write(state: &Path, location: &str, id: &str) -> Result<(), RepositoryError> {
        let known = Self { location: location.to_owned(), id: id.to_owned() };
        let path = state.join(KNOWN);
        let write = || -> std::io::Result<()> {
            let temporary: PathBuf = state.join(format!("{KNOWN}.new"));
            let mut file = fs::File::create(&temporary)?;
            file.write_all(&serde_json::to_vec(&known)?)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            fs::File::open(state)?.sync_all()
        };
        write().map_err(|error| RepositoryError::io(format!("writing {}", path.display()), error))
    }

    /// Whether the repository that is there is the one that the job knows.
    pub(super) fn check(
        known: Option<&str>,
        found: Option<&Marker>,
        location: &str,
        state: &Path,
    ) -> Result<(), RepositoryError> {
        let forget = state.join(KNOWN);
        match (known, found) {
            (None, _) => Ok(()),
            (Some(known), Some(found)) if found.id == known => Ok(()),
            (Some(_), Some(_)) => Err(RepositoryError::NotThere(format!(
                "{location} is another repository than before; if that is meant, remove {}",
                forget.display()
            ))),
            (Some(_), None) => Err(RepositoryError::NotThere(format!(
                "{location} has lost its marker {}: is it mounted? If it is a new one on purpose, remove {}",
                super::MARKER,
                forget.display()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, Marker};

    #[test]
    fn a_marker_is_read_as_it_was_written() {
        let marker = Marker::new(7).unwrap();
        assert_eq!(Marker::parse(marker.text().as_bytes(), "m").unwrap(), marker);
        assert_ne!(Marker::new(7).unwrap(), marker);
        for (text, why) in [
            ("", "EOF"),
            (r#"{"format":2,"id":"00000000000000000000000000000000","created_unix_ms":0}"#, "newer"),
            (r#"{"format":1,"id":"$(reboot)","created_unix_ms":0}"#, "its id is none"),
        ] {
            let error = Marker::parse(text.as_bytes(), "m").unwrap_err().to_string();
            assert!(error.starts_with("the repository is not there: m cannot be") && error.contains(why), "{error}");
        }
    }

    #[test]
    fn what_is_known_must_be_found_again() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(Known::read(state.path(), "/mnt/a").unwrap(), None);
        let marker = Marker::new(7).unwrap();
        Known::write(state.path(), "/mnt/a", &marker.id).unwrap();
        assert_eq!(Known::read(state.path(), "/mnt/a").unwrap(), Some(marker.id.clone()));
        assert_eq!(Known::read(state.path(), "/mnt/b").unwrap(), None);
        let other = Marker::new(7).unwrap();
        let golden = [
            (None, None, true),
            (None, Some(&marker), true),
            (Some(&marker), Some(&marker), true),
            (Some(&marker), Some(&other), false),
            (Some(&marker), None, false),
        ];
        for (known, found, good) in golden {
            let known = known.map(|marker: &Marker| marker.id.as_str());
            assert_eq!(Known::check(known, found, "/mnt/a", state.path()).is_ok(), good, "{known:?} {found:?}");
        }
    }
}
