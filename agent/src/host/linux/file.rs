use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Longest file that is read: the mounts of a node with many containers take some 100 KB.
const MAX_BYTES: usize = 1024 * 1024;
/// Where a buffer begins; most files of the kernel are shorter.
const FIRST_BYTES: usize = 8 * 1024;

/// Memory to read into, used for one file after the other.
pub(super) struct Buffer(Vec<u8>);

impl Buffer {
    pub(super) fn new() -> Self {
        Self(vec![0; FIRST_BYTES])
    }
}

/// A file of the kernel's that is opened once, and read again from its beginning each time.
pub(super) struct KernelFile {
    path: PathBuf,
    opened: Option<File>,
}

impl KernelFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, opened: None }
    }

    /// The file as it is now. None when it is missing or the kernel refuses, as it does for pressure that was switched
    /// off at boot; a file that appears later is found.
    pub(super) fn read<'a>(&mut self, buffer: &'a mut Buffer) -> Option<&'a [u8]> {
        let file = match &self.opened {
            Some(file) => file,
            None => self.opened.insert(File::open(&self.path).ok()?),
        };
        let Some(length) = read_all(file, &mut buffer.0) else {
            self.opened = None;
            return None;
        };
        buffer.0.get(..length)
    }

    /// The whole lines at the beginning of the file as it is now, as far as `into` holds them; none before it was read
    /// for the first time.
    pub(super) fn beginning<'a>(&self, into: &'a mut [u8]) -> Option<&'a [u8]> {
        let length = self.opened.as_ref()?.read_at(into, 0).ok()?;
        let read = into.get(..length)?;
        let end = read.iter().rposition(|byte| *byte == b'\n')?;
        read.get(..=end)
    }

    /// The descriptor, once the file was read.
    pub(super) fn opened(&self) -> Option<BorrowedFd<'_>> {
        self.opened.as_ref().map(AsFd::as_fd)
    }
}

/// Reads to the end, or to `MAX_BYTES`; long files come in pieces of about a page.
fn read_all(file: &File, buffer: &mut Vec<u8>) -> Option<usize> {
    let mut length = 0;
    loop {
        if length == buffer.len() {
            if length >= MAX_BYTES {
                return Some(length);
            }
            buffer.resize(length.saturating_mul(2), 0);
        }
        match file.read_at(buffer.get_mut(length..)?, length as u64) {
            Ok(0) => return Some(length),
            Ok(read) => length += read,
            Err(_) => return None,
        }
    }
}

/// Reads a file that is wanted once.
pub(super) fn read_once(path: &Path) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    File::open(path).ok()?.take(MAX_BYTES as u64).read_to_end(&mut data).ok()?;
    Some(data)
}

/// Reads a file of one number into the stack, with one call: a second one, to see the end, could measure again.
pub(super) fn read_value<T>(file: &File, parse: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
    let mut value = [0; 64];
    let length = file.read_at(&mut value, 0).ok()?;
    parse(value.get(..length)?)
}

/// The names in a folder, none when it is missing; numbered ones in order, with 10 after 2.
pub(super) fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    names
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Buffer, KernelFile};

    #[test]
    fn reads_again_from_the_beginning_and_grows() {
        let path = std::env::temp_dir().join(format!("rackhaven-kernel-file-{}", std::process::id()));
        let mut file = KernelFile::new(path.clone());
        let mut buffer = Buffer::new();
        assert!(file.read(&mut buffer).is_none());
        for length in [3, 100_000, 0] {
            fs::write(&path, "x".repeat(length)).unwrap();
            assert_eq!(file.read(&mut buffer).map(<[u8]>::len), Some(length));
        }
        fs::remove_file(&path).unwrap();
    }
}
