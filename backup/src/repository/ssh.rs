//! A repository on another machine, by the system's ssh program.
//!
//! The other side needs a shell as POSIX describes it with `cat`, `date`, `df`, `grep`, `head`, `ls`, `mkdir`, `mv`, `rm`,
//! `sync`, `tail` and `wc`, and one of `sha256sum`, `shasum` or `openssl`. A restricted shell that allows only certain
//! programs (`rrsync`) does for the rsync engine's transfers, but not for this.

mod script;
mod store;
mod transfer;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rackhaven_proto::model::backup::Remote;

use self::script::{quoted, words};
use super::lock::Lock;
use super::marker::{Known, Marker};
use super::{MARKER, RepositoryError};
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

/// A job's folder in such a repository.
#[derive(Debug)]
pub struct Ssh {
    link: Link,
    id: String,
    _lock: Lock,
}

/// The way there. Each command is a connection of its own.
#[derive(Debug, Clone)]
struct Link {
    remote: Remote,
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
        let link = Link { remote: place.remote.clone(), folder, stop: stop.clone() };
        let location = rackhaven_proto::model::backup::Repository::Ssh(place.remote.clone()).to_string();
        let known = Known::read(&place.state, &location)?;
        let mount = place.requires_mount.as_ref().map(|mount| mount.display().to_string()).unwrap_or_default();
        let look = words(
            "p=$1; m=$2
             if [ -n \"$m\" ]; then
               case \"$(df -P \"$m\" 2>/dev/null | tail -n 1)\" in *\" $m\") ;; *) echo unmounted; exit 0;; esac
             fi
             if [ -f \"$p/$3\" ]; then cat \"$p/$3\"; else echo none; fi",
            &[&top, &mount, MARKER],
        );
        let marker = match link.ask(&look, b"", SHORT)?.trim() {
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
        let new = Marker::new(now_unix_ms)?;
        let make = words(
            "mkdir -p \"$1\" && cd \"$1\"
             if ! [ -f \"$3\" ]; then
               cat > \"$3.$4\" && sync_file \"$3.$4\"
               ln \"$3.$4\" \"$3\" 2>/dev/null || [ -f \"$3\" ] || mv \"$3.$4\" \"$3\"
               rm -f \"$3.$4\"
             fi
             mkdir -p \"$2\" && cat \"$3\"",
            &[&top, &link.folder, MARKER, &new.id],
        );
        let made = link.ask(&make, new.text().as_bytes(), SHORT)?;
        let made = Marker::parse(made.trim().as_bytes(), &format!("{location}/{MARKER}"))?;
        if known.as_deref() != Some(&made.id) {
            Known::write(&place.state, &location, &made.id)?;
        }
        Ok(Self { link, id: made.id, _lock: lock })
    }

    /// The other machine.
    pub fn remote(&self) -> &Remote {
        &self.link.remote
    }

    /// The job's folder there.
    pub fn folder(&self) -> &str {
        &self.link.folder
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
        command.args(options(&self.remote));
        command.arg("--").arg(&self.remote.host).arg(format!("exec sh -c {}", quoted(script)));
        command
    }
}

/// What ssh is told: never to ask anybody, and to notice when the other side is gone. No secret is among it.
pub fn options(remote: &Remote) -> Vec<String> {
    let mut options = vec!["-T".to_owned(), "-a".to_owned(), "-x".to_owned()];
    let mut option = |text: String| options.extend(["-o".to_owned(), text]);
    option("BatchMode=yes".to_owned());
    option("StrictHostKeyChecking=yes".to_owned());
    option(format!("ConnectTimeout={CONNECT_S}"));
    option(format!("ServerAliveCountMax={}", ALIVE.0));
    option(format!("ServerAliveInterval={}", ALIVE.1));
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
