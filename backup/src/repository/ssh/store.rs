//! Archives on the other side: listing, reading, removing.

use std::io::{self, Read};
use std::process::{ChildStdout, Stdio};

use super::script::words;
use super::transfer::SshUpload;
use super::{LONG, Link, SHORT, Ssh};
use crate::child::Running;
use crate::clock::steady;
use crate::repository::archive::next_sequence;
use crate::repository::leftovers::leftovers;
use crate::repository::seen::{added, gone, recorded, removed};
use crate::repository::{Archive, MANIFEST, RECORD, REMOVING, Record, RepositoryError, Store, Stored, Upload};

/// Follows what publishes a tree.
const LATEST: &str = "
    rm -f latest.partial; ln -s \"$2\" latest.partial || exit 0
    mv -fT latest.partial latest 2>/dev/null || { rm -f latest; mv latest.partial latest; }";

impl Store for Ssh {
    fn list(&self) -> Result<Vec<Archive>, RepositoryError> {
        Ok(self.link.known(&self.seen)?.archives(false))
    }

    fn available_bytes(&self) -> Result<Option<u64>, RepositoryError> {
        let answer = self.link.ask(&words("df -P -k \"$1\" | tail -n 1", &[self.folder()]), b"", SHORT)?;
        let kilobytes = answer.split_whitespace().nth(3).and_then(|field| field.parse::<u64>().ok());
        Ok(kilobytes.map(|kilobytes| kilobytes.saturating_mul(1024)))
    }

    fn begin(&self, name: &str) -> Result<Box<dyn Upload>, RepositoryError> {
        Ok(Box::new(SshUpload::begin(self, name)?))
    }

    fn open(&self, name: &str) -> Result<Box<dyn Stored>, RepositoryError> {
        let answer = self.link.ask(&words("cd \"$1\"; wc -c < \"./$2\"", &[self.folder(), name]), b"", SHORT)?;
        let strange = || RepositoryError::Remote(format!("{} does not say how long {name} is", self.link.remote.host));
        let len_bytes = answer.trim().parse().map_err(|_| strange())?;
        Ok(Box::new(SshStored { link: self.link.clone(), name: name.to_owned(), len_bytes }))
    }

    fn write_record(&self, record: &Record) -> Result<(), RepositoryError> {
        let text = serde_json::to_vec(record)
            .map_err(|error| RepositoryError::io("writing a record", io::Error::from(error)))?;
        let name = format!("{}{RECORD}", record.name);
        let script = words(
            "cd \"$1\"; cat > \"./$2.partial\"; sync_file \"./$2.partial\"; mv -f \"./$2.partial\" \"./$2\"",
            &[self.folder(), &name],
        );
        self.seen.change(|| self.link.ask(&script, &text, SHORT), recorded(record)).map(drop)
    }

    fn remove(&self, name: &str) -> Result<(), RepositoryError> {
        let script = words(
            "cd \"$1\"
             if [ -e \"./$2\" ]; then mv \"./$2\" \"./$2$3\"; sync_file .; fi
             rm -rf \"./$2$3\"; rm -f \"./$2$4\" \"./$2$5\"",
            &[self.folder(), name, REMOVING, MANIFEST, RECORD],
        );
        self.seen.change(|| self.link.ask(&script, b"", LONG), removed(name)).map(drop)
    }

    fn clean(&self) -> Result<(), RepositoryError> {
        self.clean_but(false)
    }
}

impl Ssh {
    /// As [`Store::clean`], but leaves unfinished trees, from which a run can go on.
    ///
    /// # Errors
    /// When that is not permitted.
    pub fn clean_but_trees(&self) -> Result<(), RepositoryError> {
        self.clean_but(true)
    }

    /// The names in the job's folder.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn names(&self) -> Result<Vec<String>, RepositoryError> {
        Ok(self.link.known(&self.seen)?.names)
    }

    fn clean_but(&self, leave_trees: bool) -> Result<(), RepositoryError> {
        let found = leftovers(&self.names()?, leave_trees);
        found.removals.iter().try_for_each(|archive| self.remove(archive))?;
        found.rubbish.iter().try_for_each(|name| self.discard(name))
    }

    /// Removes something in the job's folder with all that is in it, of which no archive is made.
    ///
    /// # Errors
    /// When that is not permitted.
    pub fn discard(&self, name: &str) -> Result<(), RepositoryError> {
        let script = words("cd \"$1\"; rm -rf \"./$2\"", &[self.folder(), name]);
        self.seen.change(|| self.link.ask(&script, b"", LONG), gone(name)).map(drop)
    }

    /// Writes a small file there.
    ///
    /// # Errors
    /// When that fails.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), RepositoryError> {
        let script = words("cd \"$1\"; cat > \"./$2\"", &[self.folder(), name]);
        self.seen.change(|| self.link.ask(&script, content, LONG), added(name)).map(drop)
    }

    /// Gives a tree that was written under this name with `.partial` its final one, after its record, and lets people
    /// find it as the newest. A file system without symbolic links does without.
    ///
    /// # Errors
    /// When the repository is not there any more, or the name is taken.
    pub fn publish(&self, record: Record) -> Result<Record, RepositoryError> {
        let record = Record { sequence: next_sequence(&self.list()?), ..record };
        self.link.publish(&self.id, &self.seen, &record, LATEST)?;
        Ok(record)
    }
}

struct SshStored {
    link: Link,
    name: String,
    len_bytes: u64,
}

impl Stored for SshStored {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut stream = self.stream(offset, buffer.len() as u64)?;
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match stream.read(rest)? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    fn stream(&self, offset: u64, length: u64) -> io::Result<Box<dyn Read + Send>> {
        let from = offset.saturating_add(1).to_string();
        let length = length.min(self.len_bytes.saturating_sub(offset));
        let script = words(
            "cd \"$1\"; tail -c \"+$3\" \"./$2\" | head -c \"$4\"",
            &[&self.link.folder, &self.name, &from, &length.to_string()],
        );
        let mut command = self.link.command(&script);
        command.stdout(Stdio::piped());
        let mut running = Running::start(command)?;
        let stdout = running.stdout();
        Ok(Box::new(SshStream { link: self.link.clone(), running, stdout, left: length }))
    }
}

struct SshStream {
    link: Link,
    running: Running,
    stdout: Option<ChildStdout>,
    left: u64,
}

impl Read for SshStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(stdout) = self.stdout.as_mut().filter(|_| self.left > 0 && !buffer.is_empty()) else { return Ok(0) };
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = stdout.read(buffer.get_mut(..wanted).unwrap_or_default())?;
        self.left -= read as u64;
        if read == 0 {
            // It ends too early: its end says why.
            self.stdout = None;
            let ended = self.running.wait(Some(steady() + SHORT), &self.link.stop)?;
            return Err(io::Error::other(self.link.failure(&ended)));
        }
        Ok(read)
    }
}
