//! Files that are there as a whole or not at all, whenever the power is cut.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rackhaven_proto::model::k3s::{Artifact, Digest};
use ring::digest::{Context, SHA256, digest};

use crate::root::named;

/// By how much a file is read at once, bytes.
const PIECE_BYTES: usize = 256 * 1024;

/// SHA-256 of these bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    taken(digest(&SHA256, bytes).as_ref())
}

fn taken(bytes: &[u8]) -> Digest {
    let mut sum = [0; 32];
    sum.copy_from_slice(bytes);
    Digest(sum)
}

/// SHA-256 and length of a file; `on` hears how far it is, and may end it.
///
/// # Errors
/// When it cannot be read, or `on` ends it.
pub fn sum_of(path: &Path, on: &mut dyn FnMut(u64) -> io::Result<()>) -> io::Result<(Digest, u64)> {
    let file = File::open(path).map_err(|error| named("opening", &path.display().to_string(), &error))?;
    pour(file, &mut io::sink(), on).map_err(|error| named("reading", &path.display().to_string(), &error))
}

/// Copies all bytes, and says what they were.
fn pour(
    mut from: impl Read,
    to: &mut dyn Write,
    on: &mut dyn FnMut(u64) -> io::Result<()>,
) -> io::Result<(Digest, u64)> {
    let (mut sum, mut length, mut piece) = (Context::new(&SHA256), 0, vec![0; PIECE_BYTES]);
    loop {
        let count = match from.read(&mut piece) {
            Ok(0) => return Ok((taken(sum.finish().as_ref()), length)),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        sum.update(&piece[..count]);
        to.write_all(&piece[..count])?;
        length += count as u64;
        on(length)?;
    }
}

/// The place of an order's file that is not whole yet, among its files.
#[must_use]
pub fn partial(artifacts: &Path, artifact: &Artifact) -> PathBuf {
    artifacts.join(format!("{}.partial", artifact.sha256))
}

/// The place in which a file is made before it gets its name.
fn new_beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".rackhaven-new");
    path.with_file_name(name)
}

/// Makes a file beside `path` by `fill`, and gives it the name when it is whole and on the disk.
fn make(path: &Path, mode: u32, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let temporary = new_beside(path);
    let made = || {
        // Of a run that was killed.
        remove_if_there(&temporary)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        fill(&mut file)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_folder_of(path)
    };
    made().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        named("writing", &path.display().to_string(), &error)
    })
}

/// Puts a file in place of what is there.
///
/// # Errors
/// When it cannot be written; then what was there stays.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    make(path, mode, |file| file.write_all(bytes))
}

/// The same for what need not outlive a power cut, for root alone.
///
/// # Errors
/// When it cannot be written.
pub fn replace_quickly(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = new_beside(path);
    remove_if_there(&temporary)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    fs::rename(&temporary, path)
}

/// Puts a copy of a file in place of what is there, if it has this sum.
///
/// # Errors
/// When it cannot be read or written, or has another sum; then what was there stays.
pub fn copy(
    from: &Path,
    to: &Path,
    mode: u32,
    sum: Digest,
    on: &mut dyn FnMut(u64) -> io::Result<()>,
) -> io::Result<()> {
    let source = File::open(from).map_err(|error| named("opening", &from.display().to_string(), &error))?;
    make(to, mode, |file| {
        let (found, _) = pour(source, file, on)?;
        if found == sum { Ok(()) } else { Err(io::Error::other(format!("its SHA-256 is {found}, not {sum}"))) }
    })
}

/// Makes a folder and those above it.
///
/// # Errors
/// When one cannot be made.
pub fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.and_then(|()| sync_folder_of(path)).map_err(|error| named("making", &path.display().to_string(), &error))
}

/// Makes a symbolic link, if nothing has its name.
///
/// # Errors
/// When it cannot be made.
pub fn link(target: &str, path: &Path) -> io::Result<()> {
    let made = std::os::unix::fs::symlink(target, path).and_then(|()| sync_folder_of(path));
    made.map_err(|error| named("linking", &path.display().to_string(), &error))
}

/// Removes a file or link, if it is there; whether it was.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_if_there(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(named("removing", &path.display().to_string(), &error)),
    }
}

/// Removes a file that [`replace`] or [`copy`] makes, and what one that was killed has left beside it; whether the file
/// was there.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_made(path: &Path) -> io::Result<bool> {
    remove_if_there(&new_beside(path))?;
    remove_if_there(path)
}

/// Removes a folder if it is there and empty; whether it did.
pub fn remove_if_empty(path: &Path) -> bool {
    fs::remove_dir(path).is_ok()
}

/// Removes a folder with all in it; follows no link, and goes into no other file system: what somebody has mounted
/// there stays as it is.
///
/// # Errors
/// When something cannot be removed, or another file system is mounted below.
pub fn remove_tree(path: &Path) -> io::Result<bool> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(named("looking at", &path.display().to_string(), &error)),
    };
    if !metadata.is_dir() {
        return remove_if_there(path);
    }
    let parent = path.parent().map(fs::symlink_metadata).transpose()?;
    if parent.is_some_and(|parent| parent.dev() != metadata.dev()) {
        return Err(io::Error::other(format!("{} is another file system", path.display())));
    }
    remove_within(path, metadata.dev())?;
    fs::remove_dir(path).map_err(|error| named("removing", &path.display().to_string(), &error))?;
    Ok(true)
}

fn remove_within(folder: &Path, device: u64) -> io::Result<()> {
    for entry in fs::read_dir(folder).map_err(|error| named("reading", &folder.display().to_string(), &error))? {
        let path = entry?.path();
        let metadata = fs::symlink_metadata(&path)?;
        // On an overlay files have other devices than folders; one that something is mounted on cannot be removed anyway.
        if metadata.is_dir() {
            if metadata.dev() != device {
                return Err(io::Error::other(format!("{} is another file system", path.display())));
            }
            remove_within(&path, device)?;
            fs::remove_dir(&path).map_err(|error| named("removing", &path.display().to_string(), &error))?;
        } else {
            remove_if_there(&path)?;
        }
    }
    Ok(())
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::{copy, remove_tree, replace, sha256};

    #[test]
    fn a_file_is_replaced_as_a_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        replace(&to, b"old", 0o640).unwrap();
        fs::write(folder.path().join(".to.rackhaven-new"), "left behind").unwrap();
        fs::write(&from, "new").unwrap();
        let refused = copy(&from, &to, 0o755, sha256(b"other"), &mut |_| Ok(())).unwrap_err();
        assert!(refused.to_string().contains("its SHA-256 is"), "{refused}");
        assert_eq!(fs::read(&to).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        copy(&from, &to, 0o755, sha256(b"new"), &mut |_| Ok(())).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"new");
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o7777, 0o755);
    }

    #[test]
    fn a_tree_is_removed_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, other) = (folder.path().join("tree"), folder.path().join("other"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(tree.join("a/b/c"), "x").unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("kept"), "x").unwrap();
        std::os::unix::fs::symlink(&other, tree.join("a/link")).unwrap();
        assert!(remove_tree(&tree).unwrap() && !remove_tree(&tree).unwrap());
        assert!(!tree.exists() && other.join("kept").exists());
    }
}
