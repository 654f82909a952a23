//! A repository on another machine, by the system's ssh program.
//!
//! The other side needs a shell as POSIX describes it with `cat`, `date`, `df`, `grep`, `head`, `ls`, `mkdir`, `mv`, `rm`,
//! `sync`, `tail` and `wc`, and one of `sha256sum`, `shasum` or `openssl`. A restricted shell that allows only certain
//! programs (`rrsync`) does for the rsync engine's transfers, but not for this.

mod ciphers;
mod script;
mod store;
mod transfer;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rackhaven_proto::model::backup::Remote;

use self::script::{quoted, words};
use super::lock::Lock;
use super::marker::{Known, Marker};
use super::seen::{Folder, Seen};
use super::{MARKER, RECORD, RepositoryError};
use crate::child;
use crate::clock::steady;
use crate::stop::Stop;

/// How long ssh may take to connect, seconds.
const CONNECT_S: u32 = 20;
/// After so many unanswered questions, each after so many seconds, the other side is given up.
const ALIVE: (u32, u32) = (3, 10);
/// How long a short command may take there.
const SHORT: Duration = Duration::from_secs(120);
/// How long it may take there to remove or sync something.
const LONG: Duration = Duration::from_secs(6 * 3600);
/// How long a connection stays when nothing uses it.
const IDLE: Duration = Duration::from_secs(10);
/// The kernel takes 107 bytes for a socket's path, of which ssh adds 17 while it makes it.
const MAX_CONTROL_PATH_BYTES: usize = 90;
/// The most that a command may answer, bytes.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Where a job's archives are.
#[derive(Debug, Clone)]
pub struct SshPlace {
    /// The other machine, and the repository's folder there.
    pub remote: Remote,
    /// What must be a mount point there.
    pub requires_mount: Option<PathBuf>,
    /// The node's name.
    pub node: String,
    /// The job's name.
    pub job: String,
    /// Where the job keeps its state on the node; made if it is not there.
    pub state: PathBuf,
}

/// Looks whether the repository is there; if it is the one that is known, at the job's folder too.
const LOOK: &str = "p=$1; m=$2
    if [ -n \"$m\" ]; then
      case \"$(df -P \"$m\" 2>/dev/null | tail -n 1)\" in *\" $m\") ;; *) echo unmounted; exit 0;; esac
    fi
    if [ -f \"$p/$3\" ]; then cat \"$p/$3\"; else echo none; exit 0; fi
    if [ -z \"$4\" ] || ! grep -q \"$4\" \"$p/$3\"; then exit 0; fi
    echo; echo; mkdir -p \"$5\"; shift 4\n";
/// The names in a folder, and the records there.
const LIST: &str = "cd \"$1\"; ls -1ap; echo; for f in *\"$2\"; do if [ -f \"$f\" ]; then cat \"$f\"; echo; fi; done";
/// Makes what is missing of a repository.
const MAKE: &str = "mkdir -p \"$1\" && cd \"$1\"
    if ! [ -f \"$3\" ]; then
      cat > \"$3.$4\" && sync_file \"$3.$4\"
      ln \"$3.$4\" \"$3\" 2>/dev/null || [ -f \"$3\" ] || mv \"$3.$4\" \"$3\"
      rm -f \"$3.$4\"
    fi
    mkdir -p \"$2\" && cat \"$3\"";

/// A job's folder in such a repository.
#[derive(Debug)]
pub struct Ssh {
    link: Link,
    id: String,
    seen: Arc<Seen>,
    _lock: Lock,
}

/// The way there. Commands share one connection, which ssh keeps a moment longer than the last of them.
#[derive(Debug, Clone)]
struct Link {
    remote: Remote,
    /// Where commands find the connection, if its path is short enough for a socket's.
    control: Option<PathBuf>,
    /// What it is encrypted with, best first, where ssh's own order is not the best.
    ciphers: Option<String>,
    /// The job's folder there.
    folder: String,
    stop: Stop,
}

impl Ssh {
    /// Opens the repository, and takes the job for this process. At a job's first run there, what is missing is made;
    /// afterwards it must be as it was.
    ///
    /// # Errors
    /// When it cannot be reached, is not there, is another one, or another run has the job. Nothing is written then.
    pub fn open(place: &SshPlace, now_unix_ms: i64, stop: &Stop) -> Result<Self, RepositoryError> {
        fs::create_dir_all(&place.state)
            .map_err(|error| RepositoryError::io(format!("making {}", place.state.display()), error))?;
        let lock = Lock::of_state(&place.state)?;
        let top = place.remote.path.display().to_string();
        let folder = format!("{top}/{}/{}", place.node, place.job);
        let control = Some(place.state.join("ssh")).filter(|path| path.as_os_str().len() <= MAX_CONTROL_PATH_BYTES);
        let mut link = Link { remote: place.remote.clone(), control, ciphers: None, folder, stop: stop.clone() };
        if ciphers::knows_aes() {
            link.ciphers = link.configuration().as_deref().and_then(ciphers::reordered);
        }
        let location = rackhaven_proto::model::backup::Repository::Ssh(place.remote.clone()).to_string();
        let known = Known::read(&place.state, &location)?;
        let mount = place.requires_mount.as_ref().map(|mount| mount.display().to_string()).unwrap_or_default();
        let new = Marker::new(now_unix_ms)?;
        let known_id = known.as_deref().unwrap_or_default();
        let arguments = [&top, &mount, MARKER, known_id, &link.folder, RECORD];
        let answer = link.ask(&words(&format!("{LOOK}{LIST}"), &arguments), b"", SHORT)?;
        let (head, listing) = answer.split_once("\n\n").unwrap_or((&answer, ""));
        let marker = match head.trim() {
            "unmounted" => {
                return Err(RepositoryError::NotThere(format!(
                    "nothing is mounted at {mount} of {}",
                    place.remote.host
                )));
            }
            "none" => None,
            text => Some(Marker::parse(text.as_bytes(), &format!("{location}/{MARKER}"))?),
        };
        Known::check(known.as_deref(), marker.as_ref(), &location, &place.state)?;
        let seen = Arc::new(Seen::default());
        let id = match marker.filter(|marker| marker.id == known_id) {
            Some(marker) => {
                seen.set(folder_of(listing));
                marker.id
            }
            None => {
                let made =
                    link.ask(&words(MAKE, &[&top, &link.folder, MARKER, &new.id]), new.text().as_bytes(), SHORT)?;
                let made = Marker::parse(made.trim().as_bytes(), &format!("{location}/{MARKER}"))?;
                Known::write(&place.state, &location, &made.id)?;
                made.id
            }
        };
        Ok(Self { link, id, seen, _lock: lock })
    }

    /// The other machine.
    pub fn remote(&self) -> &Remote {
        &self.link.remote
    }

    /// The job's folder there.
    pub fn folder(&self) -> &str {
        &self.link.folder
    }

    /// What ssh is told on the way there. No secret is among it.
    pub fn options(&self) -> Vec<String> {
        self.link.options()
    }
}

/// What the other side says of a folder.
fn folder_of(listing: &str) -> Folder {
    let (names, records) = listing.split_once("\n\n").unwrap_or((listing, ""));
    let names = names.lines().filter(|name| !name.is_empty());
    let names = names.map(|name| name.trim_end_matches('/').to_owned()).collect();
    Folder::new(names, records.lines().filter_map(|line| serde_json::from_str(line).ok()))
}

impl Drop for Ssh {
    /// Ends the connection. Where that fails it ends by itself.
    fn drop(&mut self) {
        if self.link.control.is_some() {
            let mut command = child::command("ssh");
            command.args(["-O", "exit"]).args(self.options()).arg("--").arg(&self.link.remote.host);
            let _ = child::run(command, b"", MAX_ANSWER_BYTES, steady() + IDLE, &Stop::default());
        }
    }
}

impl Link {
    /// Runs a script there, gives it `input`, and says what it answers.
    fn ask(&self, script: &str, input: &[u8], limit: Duration) -> Result<String, RepositoryError> {
        let failed = |error: std::io::Error| RepositoryError::io(format!("asking {}", self.remote.host), error);
        let (answer, ended) =
            child::run(self.command(script), input, MAX_ANSWER_BYTES, steady() + limit, &self.stop).map_err(failed)?;
        if ended.status.success() {
            return Ok(String::from_utf8_lossy(&answer).into_owned());
        }
        Err(self.failure(&ended))
    }

    /// What a connection's end means.
    fn failure(&self, ended: &child::Ended) -> RepositoryError {
        let said = if ended.said.is_empty() { "without a word" } else { &ended.said };
        let host = &self.remote.host;
        if ended.said.contains("No space left on device") || ended.said.contains("Disk quota exceeded") {
            return RepositoryError::Full(format!("{host}: {said}"));
        }
        RepositoryError::Remote(match ended.status.code() {
            Some(255) => format!("the connection to {host} failed: {said}"),
            _ => format!("a command on {host} ended with {}: {said}", ended.word()),
        })
    }

    fn command(&self, script: &str) -> Command {
        let mut command = child::command("ssh");
        command.args(self.options());
        command.arg("--").arg(&self.remote.host).arg(format!("exec sh -c {}", quoted(script)));
        command
    }

    /// How ssh would go there, as it says itself.
    fn configuration(&self) -> Option<String> {
        let mut command = child::command("ssh");
        command.arg("-G").args(self.options()).arg("--").arg(&self.remote.host);
        let (said, ended) = child::run(command, b"", MAX_ANSWER_BYTES, steady() + IDLE, &self.stop).ok()?;
        ended.status.success().then(|| String::from_utf8_lossy(&said).into_owned())
    }

    /// Never to ask anybody, and to notice when the other side is gone.
    fn options(&self) -> Vec<String> {
        let remote = &self.remote;
        let mut options = vec!["-T".to_owned(), "-a".to_owned(), "-x".to_owned()];
        let mut option = |text: String| options.extend(["-o".to_owned(), text]);
        option("BatchMode=yes".to_owned());
        option("StrictHostKeyChecking=yes".to_owned());
        option(format!("ConnectTimeout={CONNECT_S}"));
        option(format!("ServerAliveCountMax={}", ALIVE.0));
        option(format!("ServerAliveInterval={}", ALIVE.1));
        if let Some(control) = &self.control {
            option("ControlMaster=auto".to_owned());
            option(format!("ControlPersist={}", IDLE.as_secs()));
            option(format!("ControlPath={}", script::config_quoted(&control.display().to_string())));
        }
        if let Some(ciphers) = &self.ciphers {
            option(format!("Ciphers={ciphers}"));
        }
        if let Some(known_hosts) = &remote.known_hosts {
            option(format!("UserKnownHostsFile={}", script::config_quoted(&known_hosts.display().to_string())));
        }
        if let Some(key) = &remote.ssh_key {
            option("IdentitiesOnly=yes".to_owned());
            options.extend(["-i".to_owned(), key.display().to_string()]);
        }
        if let Some(port) = remote.port {
            options.extend(["-p".to_owned(), port.to_string()]);
        }
        if let Some(user) = &remote.user {
            options.extend(["-l".to_owned(), user.clone()]);
        }
        options
    }
}
