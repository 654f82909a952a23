//! Extended attributes: access lists, capabilities, and what people attach to files.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr, getxattr, listxattr, setxattr};
use rustix::io::Errno;

/// What is asked for at first, bytes.
const USUAL_BYTES: usize = 1024;
/// The kernel's own limit for the list of names and for one value, bytes.
const MAX_BYTES: usize = 64 * 1024;

/// The extended attributes of one thing, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Attributes(Vec<(CString, Vec<u8>)>);

/// How the thing is held.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hold {
    /// It is open.
    Open,
    /// There is only a handle on its place (`O_PATH`): it is not a file that can be opened.
    Place,
}

impl Attributes {
    /// Reads all of them. Where there are none in general, there are none.
    pub(super) fn read(fd: impl AsFd, hold: Hold) -> Result<Self, Errno> {
        let fd = fd.as_fd();
        let path = way(fd, hold);
        let names = sized(|buffer| match &path {
            Some(path) => listxattr(path.as_str(), buffer),
            None => flistxattr(fd, buffer),
        });
        let names = match names {
            Ok(names) => names,
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut attributes = Vec::new();
        for name in names.split_inclusive(|byte| *byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok()) {
            let value = sized(|buffer| match &path {
                Some(path) => getxattr(path.as_str(), name, buffer),
                None => fgetxattr(fd, name, buffer),
            });
            match value {
                Ok(value) => attributes.push((name.to_owned(), value)),
                // It went away meanwhile.
                Err(Errno::NODATA) => {}
                Err(error) => return Err(error),
            }
        }
        attributes.sort();
        Ok(Self(attributes))
    }

    /// Gives them to something new. All are tried.
    pub(super) fn write(&self, fd: impl AsFd, hold: Hold) -> Result<(), (String, Errno)> {
        let fd = fd.as_fd();
        let path = way(fd, hold);
        let mut failed = Ok(());
        for (name, value) in &self.0 {
            let set = match &path {
                Some(path) => setxattr(path.as_str(), name.as_c_str(), value, XattrFlags::empty()),
                None => fsetxattr(fd, name.as_c_str(), value, XattrFlags::empty()),
            };
            if let Err(error) = set {
                failed = Err((name.to_string_lossy().into_owned(), error));
            }
        }
        failed
    }

    /// Stands for all of them; `None` if there are none.
    pub(super) fn hash(&self) -> Option<[u8; 16]> {
        if self.0.is_empty() {
            return None;
        }
        let mut hasher = blake3::Hasher::new();
        for (name, value) in &self.0 {
            hasher.update(name.as_bytes_with_nul());
            hasher.update(&(value.len() as u64).to_le_bytes());
            hasher.update(value);
        }
        let mut hash = [0; 16];
        hasher.finalize_xof().fill(&mut hash);
        Some(hash)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The kernel takes no handle on a place for these, but it takes the way to it.
fn way(fd: impl AsFd, hold: Hold) -> Option<String> {
    match hold {
        Hold::Open => None,
        Hold::Place => Some(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())),
    }
}

fn sized(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut usual = [0; USUAL_BYTES];
    match read(&mut usual) {
        Ok(len) => return Ok(usual.get(..len).unwrap_or_default().to_vec()),
        Err(Errno::RANGE) => {}
        Err(error) => return Err(error),
    }
    let mut large = vec![0; MAX_BYTES];
    let len = read(&mut large)?;
    large.truncate(len);
    Ok(large)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::fs::{Mode, OFlags, XattrFlags, fsetxattr};

    use super::{Attributes, Hold};

    #[test]
    fn they_are_copied_whichever_way_the_thing_is_held() {
        let top = tempfile::tempdir().unwrap();
        let (from, to) = (File::create(top.path().join("a")).unwrap(), File::create(top.path().join("b")).unwrap());
        assert_eq!(Attributes::read(&from, Hold::Open).unwrap().hash(), None);
        let large = vec![7; 3000];
        for (name, value) in [("user.x", &b"1"[..]), ("user.large", &large), ("user.empty", b"")] {
            if fsetxattr(&from, name, value, XattrFlags::empty()).is_err() {
                return; // The file system of the temporary folder has none.
            }
        }
        let read = Attributes::read(&from, Hold::Open).unwrap();
        let path = top.path().join("b");
        let place = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()).unwrap();
        read.write(&place, Hold::Place).unwrap();
        assert_eq!(Attributes::read(&to, Hold::Open).unwrap(), read);
        assert_eq!(Attributes::read(&place, Hold::Place).unwrap(), read);
        assert!(!read.is_empty() && read.hash().is_some());
        fsetxattr(&to, "user.x", b"2", XattrFlags::empty()).unwrap();
        assert_ne!(Attributes::read(&to, Hold::Open).unwrap().hash(), read.hash());
    }
}
