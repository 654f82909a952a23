//! Files that survive a power cut at any byte: either the old or the new content is there, never a mixture.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};

/// What a checked file's payload is checked by: that of zip and Ethernet. Without a table, for its files are small, and the
/// table is larger than most of them.
const CHECKSUM: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);
/// First word of every checked file.
const MAGIC: &str = "rackhaven";

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file system refused.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The content is not what was written.
    #[error("{}: {reason}", path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl StateError {
    fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }

    fn corrupt(path: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), reason: reason.into() }
    }
}

/// Puts `bytes` in place of `path`'s content, all or nothing, with permission bits `mode` (such as 0o600): a temporary
/// file beside it, fsync, rename, fsync of the folder.
///
/// # Errors
/// When the file system refuses; the old content is then untouched.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StateError> {
    let (folder, name) = split(path)?;
    let temporary = folder.join(format!(".{name}.new"));
    let written = write_synced(&temporary, bytes, mode)
        .and_then(|()| fs::rename(&temporary, path).map_err(StateError::io("renaming to", path)));
    if written.is_err() {
        // What is left of a failed try would only fill a full disk further.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_folder(folder)
}

/// Removes a file for good, also from the folder on the disk. One that is not there is no error.
///
/// # Errors
/// When the file system refuses.
pub fn remove(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder(split(path)?.0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StateError::io("removing", path)(error)),
    }
}

/// Like [`replace`], with a first line that says what follows: kind, version, length and CRC-32 (IEEE 802.3).
///
/// # Errors
/// When the file system refuses; the old content is then untouched.
pub fn replace_checked(path: &Path, kind: &str, version: u32, payload: &[u8], mode: u32) -> Result<(), StateError> {
    let mut bytes = header(kind, version, payload).into_bytes();
    bytes.extend_from_slice(payload);
    replace(path, &bytes, mode)
}

/// Reads what [`replace_checked`] wrote, in the version given; none if there is no such file.
///
/// # Errors
/// [`StateError::Corrupt`] when it is truncated, changed, of another kind or version.
pub fn read_checked(path: &Path, kind: &str, version: u32) -> Result<Option<Vec<u8>>, StateError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StateError::io("reading", path)(error)),
    }
    check(&bytes, kind, version)
        .map(|payload| Some(payload.to_vec()))
        .map_err(|reason| StateError::corrupt(path, reason))
}

/// The payload of a checked file's bytes.
///
/// # Errors
/// What is wrong with them.
pub fn check<'a>(bytes: &'a [u8], kind: &str, version: u32) -> Result<&'a [u8], String> {
    let end = bytes.iter().take(256).position(|byte| *byte == b'\n').ok_or("has no first line; truncated?")?;
    let (first, payload) = (&bytes[..end], &bytes[end + 1..]);
    let words = std::str::from_utf8(first).map_err(|_| "its first line is not text")?;
    let mut words = words.split(' ');
    if words.next() != Some(MAGIC) {
        return Err("is not a file of Rackhaven's".to_owned());
    }
    let found = words.next().unwrap_or_default();
    if found != kind {
        return Err(format!("holds {found:?}, not {kind:?}"));
    }
    let found = words.next().unwrap_or_default();
    if found != format!("v{version}") {
        return Err(format!("is of version {found:?}, this program reads v{version}"));
    }
    if first != header(kind, version, payload).trim_end().as_bytes() {
        return Err("length or checksum do not fit; truncated or damaged".to_owned());
    }
    Ok(payload)
}

/// Renames an unusable file to `NAME.corrupt-N`, so that nothing is lost and a fresh one can be written.
///
/// # Errors
/// When the file system refuses.
pub fn set_aside(path: &Path) -> Result<PathBuf, StateError> {
    let (folder, name) = split(path)?;
    let free = (1..1000)
        .map(|n| folder.join(format!("{name}.corrupt-{n}")))
        .find(|candidate| fs::symlink_metadata(candidate).is_err())
        .ok_or_else(|| StateError::corrupt(path, "999 set-aside files are beside it already"))?;
    fs::rename(path, &free).map_err(StateError::io("setting aside", path))?;
    sync_folder(folder)?;
    Ok(free)
}

fn header(kind: &str, version: u32, payload: &[u8]) -> String {
    format!("{MAGIC} {kind} v{version} {} {:08x}\n", payload.len(), CHECKSUM.checksum(payload))
}

fn split(path: &Path) -> Result<(&Path, &str), StateError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| StateError::corrupt(path, "is not the name of a file"))?;
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    };
    Ok((folder, name))
}

fn write_synced(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StateError::io("removing", path)(error)),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(StateError::io("creating", path))?;
    file.write_all(bytes).map_err(StateError::io("writing", path))?;
    file.sync_all().map_err(StateError::io("syncing", path))
}

fn sync_folder(folder: &Path) -> Result<(), StateError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(StateError::io("syncing", folder))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::{StateError, check, read_checked, remove, replace_checked, set_aside};

    /// By the catalogue of CRC algorithms, "check" of CRC-32/ISO-HDLC: files of all versions are read with it.
    #[test]
    fn the_checksum_is_that_of_the_catalogue() {
        assert_eq!(super::header("run", 1, b"123456789"), "rackhaven run v1 9 cbf43926\n");
    }

    #[test]
    fn every_prefix_and_every_flipped_bit_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        replace_checked(&path, "run", 1, b"boot = \"abc\"\n", 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let whole = fs::read(&path).unwrap();
        assert_eq!(read_checked(&path, "run", 1).unwrap().unwrap(), b"boot = \"abc\"\n");
        for end in 0..whole.len() {
            assert!(check(&whole[..end], "run", 1).is_err(), "the first {end} bytes were taken");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&flipped, "run", 1).is_err(), "bit {bit} flipped was taken");
        }
        let mut longer = whole;
        longer.push(b'x');
        assert!(check(&longer, "run", 1).is_err());
    }

    #[test]
    fn a_write_that_was_cut_leaves_the_old_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        replace_checked(&path, "run", 1, b"old", 0o600).unwrap();
        // What a power cut before the rename leaves behind: a temporary file of any length.
        for cut in [&b""[..], b"rackhaven run v1 3 0", b"rackhaven run v1 3 00000000\nnew"] {
            fs::write(folder.path().join(".run.new"), cut).unwrap();
            assert_eq!(read_checked(&path, "run", 1).unwrap().unwrap(), b"old");
        }
        replace_checked(&path, "run", 1, b"new", 0o600).unwrap();
        assert_eq!(read_checked(&path, "run", 1).unwrap().unwrap(), b"new");
        assert!(!folder.path().join(".run.new").exists());
    }

    #[test]
    fn other_kinds_and_versions_are_refused_and_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        replace_checked(&path, "spool", 1, b"x", 0o600).unwrap();
        assert!(matches!(read_checked(&path, "run", 1), Err(StateError::Corrupt { .. })));
        assert!(matches!(read_checked(&path, "spool", 2), Err(StateError::Corrupt { .. })));
        assert!(set_aside(&path).unwrap().ends_with("run.corrupt-1"));
        fs::write(&path, "garbage").unwrap();
        assert!(set_aside(&path).unwrap().ends_with("run.corrupt-2"));
        assert_eq!(read_checked(&path, "run", 1).unwrap(), None);
        remove(&path).unwrap();
    }
}
