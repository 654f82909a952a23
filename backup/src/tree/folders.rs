//! The way to folders below a root, for paths that come in a walk's order.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

/// How many folders are held open.
const MAX_OPEN: usize = 32;

/// Folders of one tree. Those on the way to the last one that was asked for are held open, up to a number; symbolic links
/// are never followed.
#[derive(Debug)]
pub(super) struct Folders {
    root: Arc<OwnedFd>,
    /// The path of the innermost folder.
    path: Vec<u8>,
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    /// How much of the path leads here.
    end: usize,
    dir: Arc<OwnedFd>,
}

impl Folders {
    /// Below this one.
    pub(super) fn new(root: Arc<OwnedFd>) -> Self {
        Self { root, path: Vec::new(), levels: Vec::new() }
    }

    /// The folder in which `path` lies, and the name in it. The root itself lies in itself, under the name of a dot.
    pub(super) fn parent<'a>(&mut self, path: &'a [u8]) -> Result<(Arc<OwnedFd>, &'a [u8]), Errno> {
        let (folder, name) = split(path);
        Ok((self.open(folder, false)?, name))
    }

    /// As [`Self::parent`], and makes the folders that are missing.
    pub(super) fn make_parent<'a>(&mut self, path: &'a [u8]) -> Result<(Arc<OwnedFd>, &'a [u8]), Errno> {
        let (folder, name) = split(path);
        Ok((self.open(folder, true)?, name))
    }

    /// The folder with this path.
    pub(super) fn folder(&mut self, path: &[u8]) -> Result<Arc<OwnedFd>, Errno> {
        self.open(path.strip_suffix(b"/").unwrap_or(path), false)
    }

    /// As [`Self::folder`], and makes what is missing of it.
    pub(super) fn make_folder(&mut self, path: &[u8]) -> Result<Arc<OwnedFd>, Errno> {
        self.open(path.strip_suffix(b"/").unwrap_or(path), true)
    }

    fn open(&mut self, folder: &[u8], make: bool) -> Result<Arc<OwnedFd>, Errno> {
        let leads_there =
            |end: usize| folder.get(..end) == self.path.get(..end) && matches!(folder.get(end), None | Some(b'/'));
        let shared = self.levels.iter().rposition(|level| leads_there(level.end)).map_or(0, |index| index + 1);
        self.levels.truncate(shared);
        let (mut at, mut dir) = match self.levels.last() {
            Some(level) => (level.end, Arc::clone(&level.dir)),
            None => (0, Arc::clone(&self.root)),
        };
        self.path.truncate(at);
        self.path.extend_from_slice(folder.get(at..).unwrap_or_default());
        while let Some(rest) = folder.get(at..).and_then(|rest| rest.strip_prefix(b"/")) {
            let name = rest.split(|byte| *byte == b'/').next().unwrap_or_default();
            dir = Arc::new(enter(&dir, name, make)?);
            at += 1 + name.len();
            // The way to where the walk is, and the nearest of it: what is far away is found again from the root.
            if self.levels.len() >= MAX_OPEN {
                self.levels.remove(MAX_OPEN / 2);
            }
            self.levels.push(Level { end: at, dir: Arc::clone(&dir) });
        }
        Ok(dir)
    }
}

fn enter(dir: &OwnedFd, name: &[u8], make: bool) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(dir.as_fd(), name, flags, Mode::empty()) {
        Err(Errno::NOENT) if make => {
            match mkdirat(dir.as_fd(), name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            openat(dir.as_fd(), name, flags, Mode::empty())
        }
        other => other,
    }
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) if path.len() > 1 => {
            (path.get(..slash).unwrap_or_default(), path.get(slash + 1..).unwrap_or_default())
        }
        _ => (&[], b"."),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    use rustix::fs::{AtFlags, statat};
    use rustix::io::Errno;

    use super::Folders;

    fn ino(folders: &mut Folders, path: &[u8]) -> Result<u64, Errno> {
        let (dir, name) = folders.parent(path)?;
        statat(&*dir, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| stat.st_ino)
    }

    #[test]
    fn it_finds_its_way_wherever_it_was_before() {
        let top = tempfile::tempdir().unwrap();
        let deep = "/d".repeat(100);
        fs::create_dir_all(top.path().join(&deep[1..])).unwrap();
        fs::create_dir_all(top.path().join("a/b")).unwrap();
        fs::create_dir_all(top.path().join("ab")).unwrap();
        symlink("a", top.path().join("link")).unwrap();
        let mut folders = Folders::new(Arc::new(fs::File::open(top.path()).unwrap().into()));
        let expected = |path: &str| {
            use std::os::unix::fs::MetadataExt;
            fs::symlink_metadata(top.path().join(&path[1..])).unwrap().ino()
        };
        let most = &deep[..180];
        for path in [deep.as_str(), most, deep.as_str(), "/", "/a", "/a/b", "/ab", "/a/b", deep.as_str(), "/link"] {
            assert_eq!(ino(&mut folders, path.as_bytes()), Ok(expected(path)), "{path}");
        }
        assert_eq!(ino(&mut folders, b"/link/b"), Err(Errno::NOTDIR));
        assert_eq!(ino(&mut folders, b"/a/none/x"), Err(Errno::NOENT));
        assert_eq!(ino(&mut folders, b"/a/b"), Ok(expected("/a/b")));
        assert!(folders.make_parent(b"/new/one/x").is_ok());
        assert!(top.path().join("new/one").is_dir());
    }
}
