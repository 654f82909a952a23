//! Extended attributes, among them access lists and capabilities.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr, lgetxattr, llistxattr, lsetxattr};
use rustix::io::Errno;

use super::acl;

/// The most that the kernel lets a list of names or a value be, bytes.
const MAX_BYTES: usize = 64 * 1024;

/// Where tar keeps access lists, which the kernel keeps among the attributes.
const ACLS: [(&CStr, &[u8]); 2] =
    [(c"system.posix_acl_access", b"SCHILY.acl.access"), (c"system.posix_acl_default", b"SCHILY.acl.default")];
const XATTR: &[u8] = b"SCHILY.xattr.";

/// What attributes are read from or written to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bearer<'a> {
    /// Something open.
    Open(BorrowedFd<'a>),
    /// Something in an open folder that is not opened, such as a symbolic link or a device.
    Named(BorrowedFd<'a>, &'a CStr),
}

impl Bearer<'_> {
    /// The kernel has no call for a name in an open folder, but shows open folders as paths.
    fn path(folder: BorrowedFd<'_>, name: &CStr) -> Result<CString, Errno> {
        let mut path = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
        path.extend_from_slice(name.to_bytes());
        CString::new(path).map_err(|_| Errno::INVAL)
    }

    fn list(self, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(fd) => flistxattr(fd, buffer),
            Self::Named(folder, name) => llistxattr(Self::path(folder, name)?, buffer),
        }
    }

    fn get(self, key: &CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(fd) => fgetxattr(fd, key, buffer),
            Self::Named(folder, name) => lgetxattr(Self::path(folder, name)?, key, buffer),
        }
    }

    fn set(self, key: &CStr, value: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => fsetxattr(fd, key, value, XattrFlags::empty()),
            Self::Named(folder, name) => lsetxattr(Self::path(folder, name)?, key, value, XattrFlags::empty()),
        }
    }
}

/// Attributes as pax records: keyword and value, ordered by keyword.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Attributes(pub(super) Vec<(Vec<u8>, Vec<u8>)>);

impl Attributes {
    /// Stands for all of them; none when there are none.
    pub(super) fn hash(&self) -> Option<[u8; 16]> {
        let mut hasher = blake3::Hasher::new();
        for part in self.0.iter().flat_map(|(key, value)| [key, value]) {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        let hash = hasher.finalize();
        if self.0.is_empty() { None } else { hash.as_bytes().first_chunk().copied() }
    }

    /// Puts them on a file. The first refusal is returned, after all have been tried.
    pub(super) fn write(&self, bearer: Bearer<'_>) -> Result<(), (String, Errno)> {
        let mut refused = Ok(());
        for (keyword, value) in &self.0 {
            let Some((key, value)) = from_pax(keyword, value) else { continue };
            if let Err(error) = bearer.set(&key, &value) {
                refused = refused.and(Err((String::from_utf8_lossy(key.to_bytes()).into_owned(), error)));
            }
        }
        refused
    }
}

/// Reads attributes, with room that is used again.
#[derive(Debug)]
pub(super) struct AttributeReader {
    names: Vec<u8>,
    value: Vec<u8>,
}

impl AttributeReader {
    pub(super) fn new() -> Self {
        Self { names: vec![0; MAX_BYTES], value: vec![0; MAX_BYTES] }
    }

    /// All attributes of a file; none where its file system has none.
    pub(super) fn read(&mut self, bearer: Bearer<'_>) -> Result<Attributes, Errno> {
        let len = match bearer.list(&mut self.names) {
            Ok(0) | Err(Errno::NOTSUP) => return Ok(Attributes::default()),
            other => other?,
        };
        let mut attributes = Vec::new();
        for name in self.names.get(..len).unwrap_or_default().split_inclusive(|byte| *byte == 0) {
            let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
            match bearer.get(name, &mut self.value) {
                Ok(len) => attributes.push(to_pax(name, self.value.get(..len).unwrap_or_default())),
                // It went away, or is a name without a value.
                Err(Errno::NODATA | Errno::NOTSUP) => {}
                Err(error) => return Err(error),
            }
        }
        attributes.sort();
        Ok(Attributes(attributes))
    }
}

fn to_pax(name: &CStr, value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    if let Some((_, keyword)) = ACLS.iter().find(|(known, _)| *known == name)
        && let Some(text) = acl::to_text(value)
    {
        return (keyword.to_vec(), text.into_bytes());
    }
    let mut keyword = XATTR.to_vec();
    for byte in name.to_bytes() {
        // A keyword ends with the first `=`: GNU tar's way around.
        match byte {
            b'=' => keyword.extend_from_slice(b"%3D"),
            b'%' => keyword.extend_from_slice(b"%25"),
            other => keyword.push(*other),
        }
    }
    (keyword, value.to_vec())
}

fn from_pax(keyword: &[u8], value: &[u8]) -> Option<(CString, Vec<u8>)> {
    if let Some((name, _)) = ACLS.iter().find(|(_, known)| *known == keyword) {
        return Some(((*name).to_owned(), acl::from_text(value)?));
    }
    let mut rest = keyword.strip_prefix(XATTR)?;
    let mut name = Vec::with_capacity(rest.len());
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if let Some(after) = rest.strip_prefix(b"3D").filter(|_| *first == b'%') {
            name.push(b'=');
            rest = after;
        } else if let Some(after) = rest.strip_prefix(b"25").filter(|_| *first == b'%') {
            name.push(b'%');
            rest = after;
        } else {
            name.push(*first);
        }
    }
    Some((CString::new(name).ok()?, value.to_vec()))
}

/// Whether a pax keyword is an attribute's.
pub(super) fn is_attribute(keyword: &[u8]) -> bool {
    keyword.starts_with(XATTR) || ACLS.iter().any(|(_, known)| *known == keyword)
}

impl<'a> Bearer<'a> {
    /// Something open.
    pub(super) fn open(fd: &'a impl AsFd) -> Self {
        Self::Open(fd.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::{from_pax, to_pax};

    #[test]
    fn names_and_values_of_any_kind_come_back() {
        for (name, keyword) in [
            (c"user.a", "SCHILY.xattr.user.a"),
            (c"user.a=b%c%3D", "SCHILY.xattr.user.a%3Db%25c%253D"),
            (c"security.capability", "SCHILY.xattr.security.capability"),
        ] {
            let (found, value) = to_pax(name, b"\0\n=\xff");
            assert_eq!(found, keyword.as_bytes());
            assert_eq!(from_pax(&found, &value), Some((name.to_owned(), b"\0\n=\xff".to_vec())));
        }
    }
}
