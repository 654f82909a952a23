//! A repository in a module of an rsync daemon's, by the system's rsync program. Only trees go there.
//!
//! A daemon renames nothing. So a tree has its final name from the beginning, and what makes it an archive is its record,
//! which comes last and is removed first.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rackhaven_proto::model::backup::Remote;

use super::archive::{Found, form, in_order, next_sequence, stamp_unix_ms};
use super::lock::Lock;
use super::marker::{Known, Marker};
use super::{Archive, MANIFEST, MARKER, PARTIAL, RECORD, Record, RepositoryError, SshPlace, Store, Stored, Upload};
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
        let daemon = Self { remote, below, state, stop: stop.clone(), _lock: lock };
        let location = rackhaven_proto::model::backup::Repository::Daemon(place.remote.clone()).to_string();
        let known = Known::read(&place.state, &location)?;
        let mut marker = daemon.marker(&location)?;
        Known::check(known.as_deref(), marker.as_ref(), &location, &place.state)?;
        if marker.is_none() {
            let stage = daemon.stage()?;
            let new = Marker::new(now_unix_ms)?;
            daemon.staged(&stage.join(MARKER), new.text().as_bytes())?;
            daemon.rsync(&["-r", "--ignore-existing"], &[slashed(&stage), daemon.url("")])?;
            marker = daemon.marker(&location)?;
        }
        let Some(marker) = marker else {
            return Err(RepositoryError::Remote(format!("{location} does not keep what is written to it")));
        };
        let stage = daemon.stage()?;
        let inner = stage.join(&daemon.below);
        fs::create_dir_all(&inner)
            .map_err(|error| RepositoryError::io(format!("making {}", inner.display()), error))?;
        daemon.rsync(&["-r", "--chmod=D0700"], &[slashed(&stage), daemon.url("")])?;
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

    /// Trees that have no record, and files beside them.
    ///
    /// # Errors
    /// When the daemon cannot be asked.
    pub fn unfinished(&self) -> Result<Vec<String>, RepositoryError> {
        let names = self.names()?;
        let is = |name: &&String| form(name).is_some() && !names.contains(&format!("{name}{RECORD}"));
        Ok(names.iter().filter(is).cloned().collect())
    }

    /// Copies a file of the node's into the job's folder.
    ///
    /// # Errors
    /// When that fails.
    pub fn put(&self, file: &Path, name: &str) -> Result<(), RepositoryError> {
        self.rsync(&["-t", "--chmod=F0600"], &[file.display().to_string(), self.address(name)]).map(drop)
    }

    /// Copies a file of the job's folder to the node.
    ///
    /// # Errors
    /// When that fails.
    pub fn get(&self, name: &str, file: &Path) -> Result<(), RepositoryError> {
        self.rsync(&["-t"], &[self.address(name), file.display().to_string()]).map(drop)
    }

    /// Makes an archive of what bears this name already, by its record.
    ///
    /// # Errors
    /// When that fails.
    pub fn publish(&self, record: Record) -> Result<Record, RepositoryError> {
        let record = Record { sequence: next_sequence(&self.list()?), ..record };
        self.write_record(&record)?;
        // For people. A daemon that takes no links does without.
        let stage = self.stage()?;
        if std::os::unix::fs::symlink(&record.name, stage.join("latest")).is_ok() {
            let _ = self.rsync(&["-l"], &[stage.join("latest").display().to_string(), self.address("")]);
        }
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
        self.rsync(&options, &[slashed(&stage), self.address("")]).map(drop)
    }

    fn marker(&self, location: &str) -> Result<Option<Marker>, RepositoryError> {
        let file = self.stage()?.join(MARKER);
        match self.rsync(&[], &[self.url(MARKER), file.display().to_string()]) {
            Ok(_) => {}
            Err(RepositoryError::NotThere(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
        let text = fs::read(&file).map_err(|error| RepositoryError::io("reading the marker", error))?;
        Marker::parse(&text, &format!("{location}/{MARKER}")).map(Some)
    }

    fn names(&self) -> Result<Vec<String>, RepositoryError> {
        let listing = self.rsync(&["--list-only"], &[self.address("")])?;
        let name =
            |line: &str| line.split(" -> ").next().and_then(|line| line.split_whitespace().nth(4)).map(str::to_owned);
        Ok(listing.lines().filter_map(name).filter(|name| name != ".").collect())
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
        let names = self.names()?;
        let stage = self.stage()?;
        let only = format!("--include=/*{RECORD}");
        self.rsync(&["-r", &only, "--exclude=*"], &[self.address(""), slashed(&stage)])?;
        let mut found = Vec::new();
        for name in names.iter().filter(|name| form(name).is_some()) {
            let Ok(text) = fs::read(stage.join(format!("{name}{RECORD}"))) else { continue };
            let record = serde_json::from_slice::<Record>(&text).ok().filter(|record| record.name == *name);
            let written_unix_ms = stamp_unix_ms(name).unwrap_or_default();
            found.push(Found { name: name.clone(), record, stored_bytes: 0, written_unix_ms });
        }
        Ok(in_order(found))
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
        let text = serde_json::to_vec(record)
            .map_err(|error| RepositoryError::io("writing a record", std::io::Error::from(error)))?;
        let name = format!("{}{RECORD}", record.name);
        let file = self.stage()?.join(&name);
        self.staged(&file, &text)?;
        self.put(&file, &name)
    }

    fn remove(&self, name: &str) -> Result<(), RepositoryError> {
        for what in [RECORD, "", MANIFEST] {
            self.discard(&format!("{name}{what}"))?;
        }
        Ok(())
    }

    fn clean(&self) -> Result<(), RepositoryError> {
        for name in self.unfinished()? {
            self.remove(&name)?;
        }
        let names = self.names()?;
        let of_nothing = |name: &&String| {
            let beside = [RECORD, MANIFEST].iter().find_map(|beside| name.strip_suffix(beside));
            name.ends_with(PARTIAL)
                || beside.is_some_and(|of| form(of).is_some() && !names.iter().any(|name| name == of))
        };
        names.iter().filter(of_nothing).try_for_each(|name| self.discard(name))
    }
}
