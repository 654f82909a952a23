use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::model::Invalid;

/// The longest name of a user or host.
const MAX_WORD_BYTES: usize = 253;

/// Where a job's archives live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repository {
    /// A folder of this node's, mostly below a mount point.
    Folder(PathBuf),
    /// A folder on another machine, by ssh: `ssh://USER@HOST[:PORT]/PATH`.
    Ssh(Remote),
    /// A module of an rsync daemon's: `rsync://[USER@]HOST[:PORT]/MODULE/PATH`.
    Daemon(Remote),
}

/// A folder elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// As whom; none takes the program's own choice.
    pub user: Option<String>,
    /// Name or address.
    pub host: String,
    /// None takes the protocol's own.
    pub port: Option<u16>,
    /// From the root, or from the module's name on.
    pub path: PathBuf,
    /// The private key for ssh; none takes ssh's own choice.
    pub ssh_key: Option<PathBuf>,
    /// The keys of hosts that ssh trusts; none takes ssh's own file.
    pub known_hosts: Option<PathBuf>,
    /// The password for an rsync daemon is the first line of this file.
    pub password_file: Option<PathBuf>,
}

impl FromStr for Repository {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |reason: String| Invalid::new("repository", reason);
        crate::model::plain_text("repository", text, 4096)?;
        if let Some(rest) = text.strip_prefix("ssh://") {
            return Ok(Self::Ssh(remote(rest).map_err(invalid)?));
        }
        if let Some(rest) = text.strip_prefix("rsync://") {
            let remote = remote(rest).map_err(invalid)?;
            if remote.path == Path::new("/") {
                return Err(invalid(format!("{text:?} names no module")));
            }
            return Ok(Self::Daemon(remote));
        }
        if !text.starts_with('/') {
            return Err(invalid(format!("{text:?} is neither an absolute path, nor begins with ssh:// or rsync://")));
        }
        if Path::new(text) == Path::new("/") {
            return Err(invalid("the root itself cannot hold archives".to_owned()));
        }
        Ok(Self::Folder(text.into()))
    }
}

fn remote(rest: &str) -> Result<Remote, String> {
    let (authority, path) =
        rest.find('/').map(|at| rest.split_at(at)).ok_or_else(|| format!("{rest:?} has no path after the host"))?;
    let (user, address) = match authority.rsplit_once('@') {
        Some((user, address)) => (Some(word("user", user)?), address),
        None => (None, authority),
    };
    let (host, port) = match address.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(|| format!("{port:?} is no port"))?)),
        None => address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map(|port| match port.parse::<u16>() {
        Ok(port @ 1..) => Ok(port),
        _ => Err(format!("{port:?} is no port")),
    });
    Ok(Remote {
        user,
        host: word("host", host)?,
        port: port.transpose()?,
        path: path.into(),
        ssh_key: None,
        known_hosts: None,
        password_file: None,
    })
}

/// A user or a host becomes a program's argument: it must not look like an option, nor hold anything strange.
fn word(what: &str, text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-:%".contains(c);
    if text.is_empty() || text.len() > MAX_WORD_BYTES || text.starts_with('-') || !text.chars().all(allowed) {
        return Err(format!("{text:?} is no {what}"));
    }
    Ok(text.to_owned())
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, remote) = match self {
            Self::Folder(path) => return write!(f, "{}", path.display()),
            Self::Ssh(remote) => ("ssh", remote),
            Self::Daemon(remote) => ("rsync", remote),
        };
        write!(f, "{scheme}://")?;
        if let Some(user) = &remote.user {
            write!(f, "{user}@")?;
        }
        if remote.host.contains(':') {
            write!(f, "[{}]", remote.host)?;
        } else {
            write!(f, "{}", remote.host)?;
        }
        if let Some(port) = remote.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", remote.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::Repository;

    #[test]
    fn what_is_a_repository() {
        for good in [
            "/mnt/nas/rackhaven",
            "ssh://backup@nas.lan/volume1/backup",
            "ssh://nas:2222/b",
            "ssh://root@[fd00::5]:22/b",
            "rsync://nas/module",
            "rsync://pi@10.0.0.5:8730/module/sub folder",
        ] {
            assert_eq!(good.parse::<Repository>().map(|parsed| parsed.to_string()).as_deref(), Ok(good));
        }
        for (bad, reason) in [
            ("", "\"\" is neither an absolute path, nor begins with ssh:// or rsync://"),
            ("nas:/b", "\"nas:/b\" is neither an absolute path, nor begins with ssh:// or rsync://"),
            ("/", "the root itself cannot hold archives"),
            ("ssh://nas", "\"nas\" has no path after the host"),
            ("ssh://-oProxyCommand=x/b", "\"-oProxyCommand=x\" is no host"),
            ("ssh://a b@nas/b", "\"a b\" is no user"),
            ("ssh://nas:0/b", "\"0\" is no port"),
            ("rsync://nas/", "\"rsync://nas/\" names no module"),
            ("/mnt\u{1b}", "holds a control character"),
        ] {
            assert_eq!(bad.parse::<Repository>().map_err(|invalid| invalid.reason), Err(reason.to_owned()), "{bad}");
        }
    }
}
