use std::borrow::Cow;

use super::{lines, words};

/// One line of `/proc/PID/mountinfo` (proc(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount<'a> {
    /// What is mounted: a device, a share, or any word.
    pub source: Cow<'a, [u8]>,
    /// Where.
    pub mount_point: Cow<'a, [u8]>,
    /// The file system's type.
    pub fs_type: Cow<'a, [u8]>,
    /// Whether the file system itself, not only this mount of it, is for reading only: a sandbox mounts nearly everything
    /// so.
    pub read_only: bool,
}

/// The mounts, oldest first.
pub fn mounts(data: &[u8]) -> impl Iterator<Item = Mount<'_>> {
    lines(data).filter_map(mount_line)
}

fn mount_line(line: &[u8]) -> Option<Mount<'_>> {
    let mut words = words(line);
    let mount_point = words.nth(4)?;
    // Between the mount's own options and the file system are optional words, ended by a hyphen.
    words.find(|word| *word == b"-")?;
    let (fs_type, source) = (words.next()?, words.next()?);
    let mut options = words.next()?.split(|byte| *byte == b',');
    Some(Mount {
        source: unescape(source),
        mount_point: unescape(mount_point),
        fs_type: unescape(fs_type),
        // Linux 6.15 and newer say the latter of an ext4 that met an error.
        read_only: options.any(|option| option == b"ro" || option == b"emergency_ro"),
    })
}

/// Blanks, line ends and backslashes are written as a backslash and three octal digits.
fn unescape(word: &[u8]) -> Cow<'_, [u8]> {
    if !word.contains(&b'\\') {
        return Cow::Borrowed(word);
    }
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, tail)) = rest.split_first() {
        match octal(rest) {
            Some((escaped, tail)) => {
                plain.push(escaped);
                rest = tail;
            }
            None => {
                plain.push(byte);
                rest = tail;
            }
        }
    }
    Cow::Owned(plain)
}

/// The byte that is escaped at the beginning of `text`, and what follows it.
fn octal(text: &[u8]) -> Option<(u8, &[u8])> {
    let (&[b'\\', high @ b'0'..=b'3', mid @ b'0'..=b'7', low @ b'0'..=b'7'], rest) = text.split_first_chunk()? else {
        return None;
    };
    Some((((high - b'0') << 6) | ((mid - b'0') << 3) | (low - b'0'), rest))
}

#[cfg(test)]
mod tests {
    use super::{mounts, unescape};

    #[test]
    fn escapes_are_undone() {
        for (escaped, plain) in [
            (r"/a\040b", "/a b"),
            (r"/tab\011\134\012", "/tab\t\\\n"),
            (r"/cut\04", r"/cut\04"),
            (r"/not\999\", r"/not\999\"),
            ("", ""),
        ] {
            assert_eq!(unescape(escaped.as_bytes()), plain.as_bytes(), "{escaped}");
        }
    }

    #[test]
    fn reads_options_as_whole_words() {
        let table = b"22 1 8:1 / / ro,relatime shared:1 master:2 - ext4 /dev/sda1 rw,errors=remount-ro\n\
            23 22 8:2 / /mnt/usb\\040disk rw - vfat /dev/sdb1 noatime,ro\n24 22 8:3 / /cut rw shared:3\n\
            25 22 8:4 / /srv rw,relatime - ext4 /dev/sdc1 rw,emergency_ro\n";
        let mounts: Vec<_> = mounts(table).collect();
        assert_eq!(mounts.iter().map(|mount| mount.read_only).collect::<Vec<_>>(), [false, true, true]);
        assert_eq!((&*mounts[0].source, &*mounts[0].fs_type), (b"/dev/sda1".as_slice(), b"ext4".as_slice()));
        assert_eq!(mounts[1].mount_point.as_ref(), b"/mnt/usb disk");
    }
}
