use std::borrow::Cow;

use super::{lines, words};

/// One line of `/proc/PID/mounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount<'a> {
    /// What is mounted: a device, a share, or any word.
    pub source: Cow<'a, [u8]>,
    /// Where.
    pub mount_point: Cow<'a, [u8]>,
    /// The file system's type.
    pub fs_type: Cow<'a, [u8]>,
    /// Whether it is mounted for reading only.
    pub read_only: bool,
}

/// The mounts, oldest first.
pub fn mounts(data: &[u8]) -> impl Iterator<Item = Mount<'_>> {
    lines(data).filter_map(mount_line)
}

fn mount_line(line: &[u8]) -> Option<Mount<'_>> {
    let mut words = words(line);
    let (source, mount_point, fs_type) = (words.next()?, words.next()?, words.next()?);
    let mut options = words.next()?.split(|byte| *byte == b',');
    Some(Mount {
        source: unescape(source),
        mount_point: unescape(mount_point),
        fs_type: unescape(fs_type),
        read_only: options.any(|option| option == b"ro"),
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
        let table = b"/dev/sda1 / ext4 rw,errors=remount-ro 0 0\n/dev/sdb1 /mnt/usb\\040disk vfat noatime,ro 0 0\n";
        let mounts: Vec<_> = mounts(table).collect();
        assert!(!mounts[0].read_only && mounts[1].read_only);
        assert_eq!(mounts[1].mount_point.as_ref(), b"/mnt/usb disk");
    }
}
