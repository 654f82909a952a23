//! Archives that are single files in such a repository, and what stands beside every archive.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, fstat, fstatvfs, openat, renameat, renameat_with, statat,
    unlinkat,
};
use rustix::io::Errno;

use super::{FILE_MODE, Held, Local, read_small, sync_dir, write_small};
use crate::repository::archive::{Found, form, in_order, next_sequence};
use crate::repository::leftovers::leftovers;
use crate::repository::{Archive, MANIFEST, PARTIAL, RECORD, REMOVING, Record, RepositoryError, Store, Stored, Upload};

/// The deepest folder in a tree that is removed. Deeper ones than the kernel's longest path do not come about.
const MAX_DEPTH: usize = 4096;

impl Store for Local {
    fn list(&self) -> Result<Vec<Archive>, RepositoryError> {
        self.inner.list()
    }

    fn available_bytes(&self) -> Result<Option<u64>, RepositoryError> {
        let free = fstatvfs(&self.inner.dir).map_err(|error| self.inner.failed("examining the room in", "", error))?;
        Ok(Some(free.f_bavail.saturating_mul(free.f_frsize)))
    }

    fn begin(&self, name: &str) -> Result<Box<dyn Upload>, RepositoryError> {
        let partial = format!("{name}{PARTIAL}");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = openat(&self.inner.dir, partial.as_str(), flags, FILE_MODE)
            .map_err(|error| self.inner.failed("making", &partial, error))?;
        Ok(Box::new(LocalUpload {
            held: Arc::clone(&self.inner),
            name: name.to_owned(),
            partial: Some(partial),
            file: File::from(file),
            written: 0,
        }))
    }

    fn open(&self, name: &str) -> Result<Box<dyn Stored>, RepositoryError> {
        let opened = openat(&self.inner.dir, name, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty());
        let file = File::from(opened.map_err(|error| self.inner.failed("opening", name, error))?);
        let len = fstat(&file).map_err(|error| self.inner.failed("examining", name, error))?.st_size;
        Ok(Box::new(LocalStored { file: Arc::new(file), len_bytes: u64::try_from(len).unwrap_or_default() }))
    }

    fn write_record(&self, record: &Record) -> Result<(), RepositoryError> {
        self.inner.write_record(record)
    }

    fn remove(&self, name: &str) -> Result<(), RepositoryError> {
        self.inner.remove(name)
    }

    fn clean(&self) -> Result<(), RepositoryError> {
        self.inner.clean(false)
    }
}

impl Local {
    /// As [`Store::clean`], but leaves unfinished trees, from which a run can go on.
    ///
    /// # Errors
    /// When that is not permitted.
    pub fn clean_but_trees(&self) -> Result<(), RepositoryError> {
        self.inner.clean(true)
    }

    /// The names in the job's folder that end so, with that cut off.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn names_ending(&self, suffix: &str) -> Result<Vec<String>, RepositoryError> {
        let names = self.inner.names()?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(suffix)).map(str::to_owned).collect())
    }

    /// Removes something in the job's folder with all that is in it, of which no archive is made.
    ///
    /// # Errors
    /// When that is not permitted.
    pub fn discard(&self, name: &str) -> Result<(), RepositoryError> {
        self.inner.discard(name)
    }

    /// Gives what was written under this name with `.partial` its final one, after its record. It must be on the disk.
    ///
    /// # Errors
    /// When the repository is not there any more, or the name is taken.
    pub fn publish(&self, record: Record) -> Result<Record, RepositoryError> {
        self.inner.publish(record)
    }
}

impl Held {
    fn failed(&self, operation: &str, name: &str, error: impl Into<io::Error>) -> RepositoryError {
        RepositoryError::io(format!("{operation} {}", self.folder.join(name).display()), error)
    }

    fn names(&self) -> Result<Vec<String>, RepositoryError> {
        let mut names = Vec::new();
        let entries = Dir::read_from(&self.dir).map_err(|error| self.failed("reading", "", error))?;
        for entry in entries {
            let entry = entry.map_err(|error| self.failed("reading", "", error))?;
            if let Ok(name) = entry.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn list(&self) -> Result<Vec<Archive>, RepositoryError> {
        let mut found = Vec::new();
        for name in self.names()?.into_iter().filter(|name| form(name).is_some()) {
            let stat = match statat(&self.dir, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(self.failed("examining", &name, error)),
            };
            let record_name = format!("{name}{RECORD}");
            let text = read_small(&self.dir, &record_name, &self.folder.join(&record_name))?;
            // One that cannot be understood is as none: the archive itself says what it is.
            let record = text.and_then(|text| serde_json::from_slice::<Record>(&text).ok());
            let record = record.filter(|record| record.name == name && record.format == 1);
            let written_unix_ms = stat.st_mtime.saturating_mul(1000);
            found.push(Found {
                name,
                record,
                stored_bytes: u64::try_from(stat.st_size).unwrap_or_default(),
                written_unix_ms,
            });
        }
        Ok(in_order(found))
    }

    fn write_record(&self, record: &Record) -> Result<(), RepositoryError> {
        let name = format!("{}{RECORD}", record.name);
        let partial = format!("{name}{PARTIAL}");
        let write = || -> io::Result<()> {
            write_small(&self.dir, &partial, &serde_json::to_vec(record)?)?;
            Ok(renameat(&self.dir, partial.as_str(), &self.dir, name.as_str())?)
        };
        write().map_err(|error| self.failed("writing", &name, error))?;
        sync_dir(&self.dir, &self.folder)
    }

    fn publish(&self, mut record: Record) -> Result<Record, RepositoryError> {
        let partial = format!("{}{PARTIAL}", record.name);
        let stat = statat(&self.dir, partial.as_str(), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| self.failed("examining", &partial, error))?;
        record.sequence = next_sequence(&self.list()?);
        // On a share it is the server's clock that sets this.
        record.received_unix_ms = stat.st_ctime.saturating_mul(1000);
        self.check_there()?;
        self.write_record(&record)?;
        let (from, to) = (partial.as_str(), record.name.as_str());
        match renameat_with(&self.dir, from, &self.dir, to, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            // File systems that do not know this flag. Nobody else takes names here: the job is locked.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                if statat(&self.dir, to, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                    return Err(self.failed("naming", to, Errno::EXIST));
                }
                renameat(&self.dir, from, &self.dir, to).map_err(|error| self.failed("naming", to, error))?;
            }
            Err(error) => return Err(self.failed("naming", to, error)),
        }
        sync_dir(&self.dir, &self.folder)?;
        Ok(record)
    }

    fn remove(&self, name: &str) -> Result<(), RepositoryError> {
        self.check_there()?;
        let removing = format!("{name}{REMOVING}");
        match renameat(&self.dir, name, &self.dir, removing.as_str()) {
            Ok(()) => sync_dir(&self.dir, &self.folder)?,
            Err(Errno::NOENT) => {}
            Err(error) => return Err(self.failed("removing", name, error)),
        }
        self.discard(&removing)?;
        for beside in [MANIFEST, RECORD] {
            self.discard(&format!("{name}{beside}"))?;
        }
        sync_dir(&self.dir, &self.folder)
    }

    fn clean(&self, leave_trees: bool) -> Result<(), RepositoryError> {
        self.check_there()?;
        let names = self.names()?;
        let found = leftovers(&names, leave_trees);
        found.removals.iter().try_for_each(|archive| self.remove(archive))?;
        found.rubbish.iter().try_for_each(|name| self.discard(name))?;
        sync_dir(&self.dir, &self.folder)
    }

    fn discard(&self, name: &str) -> Result<(), RepositoryError> {
        match unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(self.failed("removing", name, error)),
        }
        remove_tree(&self.dir, name.as_bytes(), MAX_DEPTH).map_err(|error| self.failed("removing", name, error))
    }
}

/// Removes a folder and everything in it, without following links.
fn remove_tree(at: impl AsFd, name: &[u8], depth_left: usize) -> io::Result<()> {
    let flags = super::dir_flags() | OFlags::NOFOLLOW;
    let dir = match openat(&at, name, flags, Mode::empty()) {
        Ok(dir) => dir,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if depth_left == 0 {
        return Err(Errno::NAMETOOLONG.into());
    }
    let mut folders = Vec::new();
    for entry in Dir::read_from(&dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            folders.push(name.to_owned());
            continue;
        }
        match unlinkat(&dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) => folders.push(name.to_owned()),
            Err(error) => return Err(error.into()),
        }
    }
    for folder in folders {
        remove_tree(&dir, folder.as_bytes(), depth_left - 1)?;
    }
    drop(dir);
    match unlinkat(&at, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

struct LocalUpload {
    held: Arc<Held>,
    name: String,
    partial: Option<String>,
    file: File,
    written: u64,
}

impl Write for LocalUpload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload for LocalUpload {
    fn publish(mut self: Box<Self>, mut record: Record) -> Result<Record, RepositoryError> {
        let partial = format!("{}{PARTIAL}", self.name);
        self.file.sync_all().map_err(|error| self.held.failed("writing to the disk", &partial, error))?;
        let len = fstat(&self.file).map_err(|error| self.held.failed("examining", &partial, error))?.st_size;
        if u64::try_from(len).ok() != Some(self.written) {
            let error = io::Error::other(format!("{len} bytes are there of {}", self.written));
            return Err(self.held.failed("checking", &partial, error));
        }
        record.name.clone_from(&self.name);
        record.stored_bytes = self.written;
        let record = self.held.publish(record)?;
        self.partial = None;
        Ok(record)
    }
}

impl Drop for LocalUpload {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            // The next run removes what this one could not.
            let _ = unlinkat(&self.held.dir, partial.as_str(), AtFlags::empty());
        }
    }
}

struct LocalStored {
    file: Arc<File>,
    len_bytes: u64,
}

impl Stored for LocalStored {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn stream(&self, offset: u64, length: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Section { file: Arc::clone(&self.file), at: offset, left: length }))
    }
}

struct Section {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(buffer.get_mut(..wanted).unwrap_or_default(), self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}
