//! The two ways to another machine.

use std::path::Path;
use std::process::Command;

use crate::child;
use crate::outcome::ArchiveKind;
use crate::repository::archive::form;
use crate::repository::{Archive, Daemon, Form, MANIFEST, PARTIAL, Record, RepositoryError, Ssh, Store};

/// Where a far tree is.
#[derive(Clone, Copy)]
pub enum Far<'a> {
    /// By ssh.
    Ssh(&'a Ssh),
    /// By a daemon.
    Daemon(&'a Daemon),
}

impl Far<'_> {
    pub(super) fn store(&self) -> &dyn Store {
        match self {
            Self::Ssh(ssh) => *ssh,
            Self::Daemon(daemon) => *daemon,
        }
    }

    /// A call of rsync, but for what and where to.
    pub(super) fn command(&self) -> Command {
        match self {
            Self::Ssh(ssh) => {
                let mut command = child::command("rsync");
                let words: Vec<String> = ssh.options().iter().map(|word| for_rsh(word)).collect();
                command.arg("-e").arg(format!("ssh {}", words.join(" ")));
                command
            }
            Self::Daemon(daemon) => daemon.command(),
        }
    }

    /// How rsync names something in the job's folder.
    pub(super) fn address(&self, name: &str) -> String {
        match self {
            Self::Ssh(ssh) => {
                let host = &ssh.remote().host;
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                format!("{host}:{}/{name}", ssh.folder())
            }
            Self::Daemon(daemon) => daemon.address(name),
        }
    }

    /// From where a tree is given back, and what comes before each path in a list of paths. A daemon of rsync 3.5.0 finds
    /// no file that is listed below another folder than its module's own.
    pub(super) fn origin(&self, name: &str) -> (String, Vec<u8>) {
        match self {
            Self::Ssh(_) => (self.address(&format!("{name}/")), Vec::new()),
            Self::Daemon(daemon) => {
                let (module, below) = daemon.module_and_below();
                (module, format!("{below}/{name}/./").into_bytes())
            }
        }
    }

    pub(super) fn host(&self) -> &str {
        match self {
            Self::Ssh(ssh) => &ssh.remote().host,
            Self::Daemon(_) => "the rsync daemon",
        }
    }

    /// The name of a tree that is being written.
    pub(super) fn while_written(&self, name: &str) -> String {
        match self {
            Self::Ssh(_) => format!("{name}{PARTIAL}"),
            // A daemon renames nothing: what makes it an archive is its record.
            Self::Daemon(_) => name.to_owned(),
        }
    }

    /// Removes what is of no use any more, and names the trees that were not finished.
    pub(super) fn unfinished(&self) -> Result<Vec<String>, RepositoryError> {
        match self {
            Self::Ssh(ssh) => {
                ssh.clean_but_trees()?;
                let names = ssh.names()?;
                let trees = names.iter().filter_map(|name| name.strip_suffix(PARTIAL));
                Ok(trees.filter(|name| form(name) == Some(Form::Tree)).map(str::to_owned).collect())
            }
            Self::Daemon(daemon) => daemon.unfinished(),
        }
    }

    pub(super) fn discard(&self, name: &str) -> Result<(), RepositoryError> {
        match self {
            Self::Ssh(ssh) => ssh.discard(name),
            Self::Daemon(daemon) => daemon.discard(name),
        }
    }

    /// The newest tree that is whole.
    pub(super) fn last(archives: &[Archive]) -> Option<&Archive> {
        archives.iter().rfind(|archive| archive.kind == ArchiveKind::Snapshot && archive.record.is_some())
    }

    /// Copies a file of the job's folder to the node.
    pub(super) fn get(&self, name: &str, file: &Path) -> Result<(), RepositoryError> {
        match self {
            Self::Ssh(ssh) => {
                let stored = Store::open(*ssh, name)?;
                let copy = || {
                    let mut stream = stored.stream(0, stored.len_bytes())?;
                    std::io::copy(&mut stream, &mut std::fs::File::create(file)?)
                };
                copy().map(drop).map_err(|error| RepositoryError::io(format!("fetching {name}"), error))
            }
            Self::Daemon(daemon) => daemon.get(name, file),
        }
    }

    /// Makes an archive of the tree of this name, with its manifest.
    pub(super) fn publish(&self, record: Record, manifest: &Path) -> Result<Record, RepositoryError> {
        match self {
            Self::Ssh(ssh) => {
                let content = std::fs::read(manifest)
                    .map_err(|error| RepositoryError::io(format!("reading {}", manifest.display()), error))?;
                ssh.write(&format!("{}{MANIFEST}", record.name), &content)?;
                ssh.publish(record)
            }
            Self::Daemon(daemon) => daemon.publish(record, manifest),
        }
    }
}

/// rsync takes its remote shell apart at blanks, and knows quotes.
fn for_rsh(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "''")) }
}
