//! An archive on its way to the other side.

use std::io::{self, Read, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;

use ring::digest::{Context, SHA256};

use super::script::words;
use super::{LIST, LONG, Link, SHORT, Ssh, folder_of};
use crate::child::Running;
use crate::clock::steady;
use crate::repository::archive::next_sequence;
use crate::repository::seen::{Folder, Seen, added, gone, recorded};
use crate::repository::{MARKER, PARTIAL, RECORD, Record, RepositoryError, Upload};

/// The most that the other side says about what it received, bytes.
const MAX_ANSWER_BYTES: u64 = 4096;

/// Takes everything, puts it on the disk, and says how much that was, its hash, and what time it is.
const RECEIVE: &str = "cd \"$1\"; n=\"./$2\"
    if command -v sha256sum >/dev/null; then h='sha256sum'
    elif command -v shasum >/dev/null; then h='shasum -a 256'
    elif command -v openssl >/dev/null; then h='openssl dgst -sha256 -r'
    else echo 'none of sha256sum, shasum and openssl is there' >&2; exit 1; fi
    cat > \"$n\"; sync_file \"$n\"
    wc -c < \"$n\"; $h < \"$n\"; date +%s";

/// Gives it its name, if the repository is still the same one.
const PUBLISH: &str = "cd \"$1\"; n=\"./$2\"; grep -q \"$3\" ../../\"$4\"
    [ -e \"$n$5\" ]; [ ! -e \"$n\" ]
    cat > \"$n$6$5\"; sync_here; mv -f \"$n$6$5\" \"$n$6\"; mv \"$n$5\" \"$n\"; sync_file .";

pub(super) struct SshUpload {
    link: Link,
    id: String,
    seen: Arc<Seen>,
    name: String,
    running: Running,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    hash: Context,
    written: u64,
    published: bool,
}

impl SshUpload {
    pub(super) fn begin(ssh: &Ssh, name: &str) -> Result<Self, RepositoryError> {
        let link = &ssh.link;
        let mut command = link.command(&words(RECEIVE, &[&link.folder, &format!("{name}{PARTIAL}")]));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = Running::start(command).map_err(|error| RepositoryError::io("sending an archive", error))?;
        let (stdin, stdout) = (running.stdin(), running.stdout());
        ssh.seen.note(added(&format!("{name}{PARTIAL}")));
        Ok(Self {
            link: link.clone(),
            id: ssh.id.clone(),
            seen: Arc::clone(&ssh.seen),
            name: name.to_owned(),
            running,
            stdin,
            stdout,
            hash: Context::new(&SHA256),
            written: 0,
            published: false,
        })
    }

    /// Why the connection ended before its time.
    fn broken(&mut self) -> io::Error {
        self.stdin = None;
        match self.running.wait(Some(steady() + SHORT), &self.link.stop) {
            Ok(ended) => match self.link.failure(&ended) {
                full @ RepositoryError::Full(_) => io::Error::new(io::ErrorKind::StorageFull, full),
                other => io::Error::other(other),
            },
            Err(error) => error,
        }
    }

    /// Ends the stream, and compares what arrived with what was sent.
    fn finish(&mut self) -> Result<i64, RepositoryError> {
        self.stdin = None;
        let host = self.link.remote.host.clone();
        let mut answer = String::new();
        if let Some(stdout) = self.stdout.take() {
            let read = stdout.take(MAX_ANSWER_BYTES).read_to_string(&mut answer);
            read.map_err(|error| RepositoryError::io(format!("hearing from {host}"), error))?;
        }
        let ended = self.running.wait(Some(steady() + LONG), &self.link.stop);
        let ended = ended.map_err(|error| RepositoryError::io(format!("sending to {host}"), error))?;
        if !ended.status.success() {
            return Err(self.link.failure(&ended));
        }
        let mut words = answer.split_whitespace();
        let arrived = words.next().and_then(|word| word.parse::<u64>().ok());
        if arrived != Some(self.written) {
            let arrived = arrived.map_or_else(|| "an unknown number".to_owned(), |bytes| bytes.to_string());
            return Err(RepositoryError::Remote(format!("{arrived} of {} bytes arrived at {host}", self.written)));
        }
        let sent: String = self.hash.clone().finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        if words.next() != Some(&sent) {
            return Err(RepositoryError::Remote(format!("what arrived at {host} is not what was sent")));
        }
        let seconds = words.filter_map(|word| word.parse::<i64>().ok()).next_back();
        Ok(seconds.unwrap_or_default().saturating_mul(1000))
    }
}

impl Write for SshUpload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(stdin) = &mut self.stdin else { return Err(io::ErrorKind::BrokenPipe.into()) };
        match stdin.write(bytes) {
            Ok(written) => {
                self.hash.update(bytes.get(..written).unwrap_or_default());
                self.written += written as u64;
                Ok(written)
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(self.broken()),
            Err(error) => Err(error),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload for SshUpload {
    fn publish(mut self: Box<Self>, mut record: Record) -> Result<Record, RepositoryError> {
        record.received_unix_ms = self.finish()?;
        record.name.clone_from(&self.name);
        record.stored_bytes = self.written;
        record.sequence = next_sequence(&self.link.known(&self.seen)?.archives(false));
        self.link.publish(&self.id, &self.seen, &record, "")?;
        self.published = true;
        Ok(record)
    }
}

impl Drop for SshUpload {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        self.stdin = None;
        let stop = crate::stop::Stop::default();
        let link = Link { stop, ..self.link.clone() };
        // If the way there is cut, the next run removes it.
        let partial = format!("{}{PARTIAL}", self.name);
        let _ = link.ask(&words("cd \"$1\"; rm -f \"./$2\"", &[&link.folder, &partial]), b"", GIVE_UP);
    }
}

/// How long it is tried to remove what was given up: a run that is stopped has to end.
const GIVE_UP: std::time::Duration = std::time::Duration::from_millis(1500);

impl Link {
    /// What is in the job's folder.
    pub(super) fn known(&self, seen: &Seen) -> Result<Folder, RepositoryError> {
        if let Some(folder) = seen.known() {
            return Ok(folder);
        }
        let folder = folder_of(&self.ask(&words(LIST, &[&self.folder, RECORD]), b"", SHORT)?);
        seen.set(folder.clone());
        Ok(folder)
    }

    /// Gives an archive its name, and does what comes `then`.
    pub(super) fn publish(&self, id: &str, seen: &Seen, record: &Record, then: &str) -> Result<(), RepositoryError> {
        let text = serde_json::to_vec(record)
            .map_err(|error| RepositoryError::io("writing a record", io::Error::from(error)))?;
        let script = words(&format!("{PUBLISH}{then}"), &[&self.folder, &record.name, id, MARKER, PARTIAL, RECORD]);
        let published = |folder: &mut Folder| {
            gone(&format!("{}{PARTIAL}", record.name))(folder);
            added(&record.name)(folder);
            recorded(record)(folder);
        };
        seen.change(|| self.ask(&script, &text, LONG), published).map(drop)
    }
}
