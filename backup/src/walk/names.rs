//! The sorted names in one folder, one allocation for all of them.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::fs::RawDir;
use rustix::io::Errno;

/// How much of a folder the kernel hands over at once, bytes.
const LISTING_BYTES: usize = 32 * 1024;

/// Names in the order of their bytes. A million of them take little more than their letters.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// All names, each with its NUL.
    letters: Vec<u8>,
    /// Where each begins, the last one first.
    starts: Vec<u32>,
}

impl Names {
    /// Lists an open folder.
    pub(crate) fn of(dir: impl AsFd) -> Result<Self, Errno> {
        let mut names = Self::default();
        let mut buffer = [MaybeUninit::uninit(); LISTING_BYTES];
        let mut listing = RawDir::new(dir, &mut buffer);
        while let Some(entry) = listing.next() {
            let entry = entry?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(name)?;
            }
        }
        names.sort();
        Ok(names)
    }

    /// The one name of a source.
    pub(crate) fn one(name: &CStr) -> Self {
        Self { letters: name.to_bytes_with_nul().to_vec(), starts: vec![0] }
    }

    fn push(&mut self, name: &CStr) -> Result<(), Errno> {
        self.starts.push(u32::try_from(self.letters.len()).map_err(|_| Errno::OVERFLOW)?);
        self.letters.extend_from_slice(name.to_bytes_with_nul());
        Ok(())
    }

    fn sort(&mut self) {
        let letters = &self.letters;
        self.starts.sort_unstable_by(|a, b| name_at(letters, *b).cmp(name_at(letters, *a)));
        self.letters.shrink_to_fit();
        self.starts.shrink_to_fit();
    }

    /// Whether a name is there, and not taken yet.
    pub(crate) fn contains(&self, name: &[u8]) -> bool {
        self.starts.binary_search_by(|start| name.cmp(name_at(&self.letters, *start).to_bytes())).is_ok()
    }

    /// Forgets all but one name.
    pub(crate) fn keep_only(&mut self, name: &[u8]) {
        self.starts.retain(|start| name_at(&self.letters, *start).to_bytes() == name);
    }

    /// Takes the next name.
    pub(crate) fn next(&mut self) -> Option<&CStr> {
        let start = self.starts.pop()?;
        Some(name_at(&self.letters, start))
    }
}

fn name_at(letters: &[u8], start: u32) -> &CStr {
    // Each start was noted where a name was put, with its NUL.
    letters.get(start as usize..).and_then(|rest| CStr::from_bytes_until_nul(rest).ok()).unwrap_or_default()
}
