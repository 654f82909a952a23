//! What is known of one file, folder or other thing in a file system.

use std::cmp::Ordering;

/// What kind of thing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A socket. Sockets are made by the programs that listen on them and are never saved.
    Socket,
}

/// A moment as file systems know it. Ordered by time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileTime {
    /// Seconds since 1970-01-01 UTC; before that, negative.
    pub seconds: i64,
    /// Nanoseconds after that second, less than 1,000,000,000.
    pub nanoseconds: u32,
}

impl FileTime {
    /// From milliseconds since 1970-01-01 UTC.
    pub fn from_unix_ms(ms: i64) -> Self {
        // The remainder of a division by 1000 fits.
        let nanoseconds = u32::try_from(ms.rem_euclid(1000)).unwrap_or_default() * 1_000_000;
        Self { seconds: ms.div_euclid(1000), nanoseconds }
    }
}

/// One thing that a walk came by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Absolute, as the kernel knows it: any bytes but NUL.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-user-ID, set-group-ID and sticky: 0 to 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Of a regular file its length in bytes; of others 0.
    pub size: u64,
    /// When its content last changed.
    pub mtime: FileTime,
    /// When anything about it last changed. Nobody can set it, so that it tells whether a file is still the same.
    pub ctime: FileTime,
    /// Its number in its file system.
    pub ino: u64,
    /// Its file system.
    pub dev: u64,
    /// Which device it is, major and minor; for device files only.
    pub rdev: (u32, u32),
    /// How many names it has.
    pub links: u64,
    /// Where a symbolic link points.
    pub target: Option<Vec<u8>>,
    /// Another name of the same file that came earlier in the walk.
    pub hard_link: Option<Vec<u8>>,
}

/// The order of a walk: a folder before what is in it, names in a folder by their bytes. So `/a/x` comes before `/a-b`.
pub fn path_order(a: &[u8], b: &[u8]) -> Ordering {
    let shared = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    // No name holds a NUL: as one, a slash comes before every other byte.
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    match (a.get(shared), b.get(shared)) {
        (Some(a), Some(b)) => rank(a).cmp(&rank(b)),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::{FileTime, path_order};

    #[test]
    fn a_folder_comes_before_its_content_and_that_before_its_neighbour() {
        let order: [&[u8]; 8] = [b"/", b"/a", b"/a/x", b"/a/x/y", b"/a\x01", b"/a-b", b"/a.b/c", b"/b\xff"];
        for (i, a) in order.iter().enumerate() {
            for (j, b) in order.iter().enumerate() {
                assert_eq!(path_order(a, b), i.cmp(&j), "{} {}", a.escape_ascii(), b.escape_ascii());
            }
        }
    }

    #[test]
    fn moments_before_1970_have_their_nanoseconds_after_the_second() {
        assert_eq!(FileTime::from_unix_ms(-1), FileTime { seconds: -1, nanoseconds: 999_000_000 });
        assert_eq!(FileTime::from_unix_ms(1_500), FileTime { seconds: 1, nanoseconds: 500_000_000 });
    }
}
