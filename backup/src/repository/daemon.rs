//! A repository in a module of an rsync daemon's, by the system's rsync program. Only trees go there.
//!
//! A daemon renames nothing. So a tree has its final name from the beginning, and what makes it an archive is its record,
//! which comes last and is removed first.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rackhaven_proto::model::backup::Remote;

use super::archive::{form, next_sequence};
use super::lock::Lock;
use super::marker::{Known, Marker};
use super::seen::{Folder, Seen, added, gone, recorded};
use super::{
    Archive, MANIFEST, MARKER, MAX_RECORD_BYTES, RECORD, Record, RepositoryError, SshPlace, Store, Stored, Upload,
};
use crate::child::{self, Ended};
use crate::clock::steady;
use crate::stop::Stop;

/// How long the daemon may keep silent, seconds.
const SILENCE_S: u32 = 120;
/// How long it may take to remove a tree.
const LONG: Duration = Duration::from_secs(6 * 3600);
/// The most that a listing may be, bytes.
const MAX_LISTING_BYTES: usize = 16 * 1024 * 1024;
/// rsync's exit status when some files could not be transferred, as those that are not there.
const PARTIAL_TRANSFER: i32 = 23;

/// A job's folder in such a repository.
#[derive(Debug)]
pub struct Daemon {
    remote: Remote,
    /// The node's and the job's folder, below the repository's.
    below: String,
    state: PathBuf,
    stop: Stop,
    seen: Seen,
    _lock: Lock,
}

impl Daemon {
    /// Opens the repository, and takes the job for this process; as for other kinds.
    ///
    /// # Errors
    /// When it cannot be reached, is not there, is another one, or another run has the job.
    pub fn open(place: &SshPlace, now_unix_ms: i64, stop: &Stop) -> Result<Self, RepositoryError> {
        fs::create_dir_all(&place.state)
            .map_err(|error| RepositoryError::io(format!("making {}", place.state.display()), error))?;
        let lock = Lock::of_state(&place.state)?;
        let below = format!("{}/{}", place.node, place.job);
        let (remote, state) = (place.remote.clone(), place.state.clone());
        let seen = Seen::default();
        let daemon = Self { remote, below, state, stop: stop.clone(), seen, _lock: lock };
        let location = rackhaven_proto::model::backup::Repository::Daemon(place.remote.clone()).to_string();
        let known = Known::read(&place.state, &location)?;
        let mut marker = daemon.look(&location)?;
        Known::check(known.as_deref(), marker.as_ref(), &location, &place.state)?;
        let is_there = |daemon: &Self| daemon.seen.is_known();
        if marker.is_none() || !is_there(&daemon) {
            let stage = daemon.stage()?;
            let inner = stage.join(&daemon.below);
            fs::create_dir_all(&inner)
                .map_err(|error| RepositoryError::io(format!("making {}", inner.display()), error))?;
            if marker.is_none() {
                daemon.staged(&stage.join(MARKER), Marker::new(now_unix_ms)?.text().as_bytes())?;
            }
            // A marker that somebody else makes meanwhile stays.
            daemon.rsync(&["-r", "--ignore-existing", "--chmod=D0700"], &[slashed(&stage), daemon.url("")])?;
            marker = daemon.look(&location)?;
        }
        let Some(marker) = marker.filter(|_| is_there(&daemon)) else {
            return Err(RepositoryError::Remote(format!("{location} does not keep what is written to it")));
        };
        if known.as_deref() != Some(&marker.id) {
            Known::write(&place.state, &location, &marker.id)?;
        }
        Ok(daemon)
    }

    /// The other machine.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// The address of something in the job's folder.
    pub fn address(&self, name: &str) -> String {
        self.url(&format!("{}/{name}", self.below))
    }

    /// The address of the module, and the job's folder in it.
    pub fn module_and_below(&self) -> (String, String) {
        let path = self.remote.path.display().to_string();
        let path = path.trim_matches('/');
        let (module, below) = path.split_once('/').unwrap_or((path, ""));
        let top = Remote { path: format!("/{module}").into(), ..self.remote.clone() };
        let address = format!("{}/", rackhaven_proto::model::backup::Repository::Daemon(top));
        (address, format!("{below}/{}", self.below).trim_start_matches('/').to_owned())
    }

    /// What every call of rsync needs.
    pub fn command(&self) -> Command {
        let mut command = child::command("rsync");
        command.arg(format!("--timeout={SILENCE_S}"));
        command.arg(format!("--contimeout={SILENCE_S}"));
        if let Some(file) = &self.remote.password_file {
            command.arg(format!("--password-file={}", file.display()));
        }
        command
    }

    /// Trees that have no record.
    ///
    /// # Errors
    /// When the daemon cannot be asked.
    pub fn unfinished(&self) -> Result<Vec<String>, RepositoryError> {
        let folder = self.folder()?;
        let is = |name: &&String| form(name).is_some() && !folder.has(&format!("{name}{RECORD}"));
        Ok(folder.names.iter().filter(is).cloned().collect())
    }

    /// Copies a file of the job's folder to the node.
    ///
    /// # Errors
    /// When that fails.
    pub fn get(&self, name: &str, file: &Path) -> Result<(), RepositoryError> {
        self.rsync(&["-t"], &[self.address(name), file.display().to_string()]).map(drop)
    }

    /// Makes an archive of what bears this name already, by its manifest and its record.
    ///
    /// # Errors
    /// When that fails.
    pub fn publish(&self, record: Record, manifest: &Path) -> Result<Record, RepositoryError> {
        let record = Record { sequence: next_sequence(&self.list()?), ..record };
        let stage = self.stage()?;
        let staged = stage.join(format!("{}{MANIFEST}", record.name));
        fs::copy(manifest, &staged)
            .map_err(|error| RepositoryError::io(format!("copying {}", manifest.display()), error))?;
        self.staged(&stage.join(format!("{}{RECORD}", record.name)), &text_of(&record)?)?;
        // For people. A daemon that takes no links does without. One call sends all of it, in the order of the names: the
        // record follows the manifest.
        let linked = std::os::unix::fs::symlink(&record.name, stage.join("latest")).is_ok();
        let send = |stage: &Path| self.rsync(&["-rlt", "--chmod=D0700,F0600"], &[slashed(stage), self.address("")]);
        let done = || match send(&stage) {
            Err(_) if linked && fs::remove_file(stage.join("latest")).is_ok() => send(&stage),
            sent => sent,
        };
        let published = |folder: &mut Folder| {
            added(&record.name)(folder);
            recorded(&record)(folder);
        };
        self.seen.change(done, published)?;
        Ok(record)
    }

    /// Removes something in the job's folder with all that is in it.
    ///
    /// # Errors
    /// When the daemon refuses.
    pub fn discard(&self, name: &str) -> Result<(), RepositoryError> {
        let stage = self.stage()?;
        let (itself, inside) = (format!("--include=/{name}"), format!("--include=/{name}/**"));
        let options = ["-r", "--delete", "--force", itself.as_str(), inside.as_str(), "--exclude=*"];
        self.seen.change(|| self.rsync(&options, &[slashed(&stage), self.address("")]), gone(name)).map(drop)
    }

    /// Looks at the repository's marker and the job's folder, in one call: it mirrors the marker, the records, and the trees
    /// without what is in them.
    fn look(&self, location: &str) -> Result<Option<Marker>, RepositoryError> {
        let stage = self.stage()?;
        let mut options = vec!["-r".to_owned(), format!("--include=/{MARKER}")];
        let mut folder = String::new();
        for part in self.below.split('/') {
            folder = format!("{folder}/{part}");
            options.push(format!("--include={folder}/"));
        }
        options.extend([format!("--include={folder}/*/"), format!("--include={folder}/*{RECORD}")]);
        options.push("--exclude=*".to_owned());
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        match self.rsync(&options, &[self.url(""), slashed(&stage)]) {
            Ok(_) => {}
            Err(RepositoryError::NotThere(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
        if let Some(folder) = mirrored(&stage.join(&self.below))
            .map_err(|error| RepositoryError::io(format!("reading {}", stage.display()), error))?
        {
            self.seen.set(folder);
        }
        match fs::read(stage.join(MARKER)) {
            Ok(text) => Marker::parse(&text, &format!("{location}/{MARKER}")).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(RepositoryError::io("reading the marker", error)),
        }
    }

    fn folder(&self) -> Result<Folder, RepositoryError> {
        let looked = || {
            let location = rackhaven_proto::model::backup::Repository::Daemon(self.remote.clone()).to_string();
            self.look(&location)?;
            self.seen.known().ok_or_else(|| RepositoryError::NotThere(format!("{location} has lost the job's folder")))
        };
        self.seen.known().map_or_else(looked, Ok)
    }

    fn url(&self, below: &str) -> String {
        let repository = rackhaven_proto::model::backup::Repository::Daemon(self.remote.clone()).to_string();
        format!("{}/{below}", repository.trim_end_matches('/'))
    }

    fn rsync(&self, options: &[&str], paths: &[String]) -> Result<String, RepositoryError> {
        let mut command = self.command();
        command.args(options).arg("--").args(paths);
        let doing = || format!("asking the rsync daemon at {}", self.remote.host);
        let (output, ended) = child::run(command, b"", MAX_LISTING_BYTES, steady() + LONG, &self.stop)
            .map_err(|error| RepositoryError::io(doing(), error))?;
        if ended.status.success() {
            return Ok(String::from_utf8_lossy(&output).into_owned());
        }
        Err(failure(&self.remote, &ended))
    }

    /// A folder of the node's that is empty.
    fn stage(&self) -> Result<PathBuf, RepositoryError> {
        let stage = self.state.join("stage");
        let make = || match fs::remove_dir_all(&stage) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => fs::create_dir(&stage),
        };
        make().map_err(|error| RepositoryError::io(format!("making {}", stage.display()), error))?;
        Ok(stage)
    }

    fn staged(&self, path: &Path, content: &[u8]) -> Result<(), RepositoryError> {
        fs::write(path, content).map_err(|error| RepositoryError::io(format!("writing {}", path.display()), error))
    }
}

/// What a failed call means.
pub fn failure(remote: &Remote, ended: &Ended) -> RepositoryError {
    let (host, said) = (&remote.host, &ended.said);
    if said.contains("No space left on device") || said.contains("Disk quota exceeded") {
        return RepositoryError::Full(format!("{host}: {said}"));
    }
    if ended.status.code() == Some(PARTIAL_TRANSFER) && said.contains("No such file or directory") {
        return RepositoryError::NotThere(format!("{host}: {said}"));
    }
    RepositoryError::Remote(format!("rsync with {host} ended with {}: {said}", ended.word()))
}

fn slashed(path: &Path) -> String {
    format!("{}/", path.display())
}

impl Store for Daemon {
    fn list(&self) -> Result<Vec<Archive>, RepositoryError> {
        Ok(self.folder()?.archives(true))
    }

    fn available_bytes(&self) -> Result<Option<u64>, RepositoryError> {
        Ok(None)
    }

    fn begin(&self, _name: &str) -> Result<Box<dyn Upload>, RepositoryError> {
        Err(RepositoryError::Remote("an rsync daemon takes trees only".to_owned()))
    }

    fn open(&self, _name: &str) -> Result<Box<dyn Stored>, RepositoryError> {
        Err(RepositoryError::Remote("an rsync daemon holds trees only".to_owned()))
    }

    fn write_record(&self, record: &Record) -> Result<(), RepositoryError> {
        let name = format!("{}{RECORD}", record.name);
        let file = self.stage()?.join(&name);
        self.staged(&file, &text_of(record)?)?;
        let paths = [file.display().to_string(), self.address(&name)];
        self.seen.change(|| self.rsync(&["-t", "--chmod=F0600"], &paths), recorded(record)).map(drop)
    }

    fn remove(&self, name: &str) -> Result<(), RepositoryError> {
        // The folder last: while it is there, it is seen that something is left to do.
        [RECORD, MANIFEST, ""].iter().try_for_each(|what| self.discard(&format!("{name}{what}")))
    }

    fn clean(&self) -> Result<(), RepositoryError> {
        self.unfinished()?.iter().try_for_each(|name| self.remove(name))
    }
}

fn text_of(record: &Record) -> Result<Vec<u8>, RepositoryError> {
    serde_json::to_vec(record).map_err(|error| RepositoryError::io("writing a record", std::io::Error::from(error)))
}

/// What the mirror of a job's folder shows; `None` if there is none.
fn mirrored(mirror: &Path) -> std::io::Result<Option<Folder>> {
    let entries = match fs::read_dir(mirror) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let (mut names, mut records) = (Vec::new(), Vec::new());
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.metadata()?.len() <= MAX_RECORD_BYTES {
            records.extend(serde_json::from_slice::<Record>(&fs::read(entry.path())?).ok());
        }
        names.extend(entry.file_name().into_string().ok());
    }
    Ok(Some(Folder::new(names, records.into_iter())))
}
