//! Reads a file's bytes, and leaves the page cache as it was.

use std::io::IoSliceMut;
use std::os::fd::BorrowedFd;

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2};

/// An open file that is read.
#[derive(Debug)]
pub(super) struct Input<'a> {
    fd: BorrowedFd<'a>,
    /// Whether something of it had to be fetched from the disk.
    cold: bool,
}

impl<'a> Input<'a> {
    pub(super) fn new(fd: BorrowedFd<'a>) -> Self {
        Self { fd, cold: false }
    }

    /// Fills `buffer` with what stands at `offset`. Returns how much there was; less only at the file's end.
    pub(super) fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = offset + filled as u64;
            let read = if self.cold { Err(Errno::AGAIN) } else { from_cache(self.fd, rest, at) };
            let read = read.or_else(|error| match error {
                Errno::INTR => Ok(None),
                Errno::AGAIN => {
                    self.cold = true;
                    pread(self.fd, &mut *rest, at).map(Some)
                }
                // Not every file system knows how to say that it would have to wait.
                Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL => pread(self.fd, &mut *rest, at).map(Some),
                other => Err(other),
            });
            match read {
                Ok(Some(0)) => break,
                Ok(Some(count)) => filled += count,
                Ok(None) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// What came into the cache because of the backup alone goes out again: others' files stay in.
    pub(super) fn done(self) {
        if self.cold {
            // Advice is free to be ignored.
            let _ = fadvise(self.fd, 0, None, Advice::DontNeed);
        }
    }
}

/// What is in memory already.
fn from_cache(fd: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> Result<Option<usize>, Errno> {
    preadv2(fd, &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT).map(Some)
}
