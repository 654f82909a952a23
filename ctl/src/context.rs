//! The named controllers that this user has logged in to, each a file of its own.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rackhaven_pki::{Credentials, durable};

use crate::environment::Environment;
use crate::error::CtlError;

mod name;

pub(crate) use name::ContextName;

/// Only the owner reads credentials.
const MODE: u32 = 0o600;
/// Longest file that is read, bytes; a context takes some 2,000.
const LIMIT_BYTES: u64 = 256 * 1024;
const SUFFIX: &str = ".context";

/// A context that was read.
#[derive(Debug)]
pub(crate) struct StoredContext {
    /// Its name, or its file's.
    pub(crate) name: String,
    /// Where it is kept.
    pub(crate) path: PathBuf,
    /// What it holds.
    pub(crate) credentials: Credentials,
}

impl StoredContext {
    /// Reads a context's file, wherever it is.
    pub(crate) fn read(path: &Path) -> Result<Self, CtlError> {
        let text = read_text(path)?.ok_or_else(|| {
            CtlError::usage(format!("{}: no such context file", path.display())).hint("see `ctl context list`")
        })?;
        let credentials = Credentials::from_toml(&text).map_err(|invalid| {
            CtlError::failed(format!("{} is not a usable context: {invalid}", path.display()))
                .hint("it is damaged, or not a context; log in again with an invitation: ctl login HOST:7443")
        })?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { name, path: path.to_owned(), credentials })
    }

    /// Puts new credentials in place of the old, all or nothing.
    pub(crate) fn replace(&mut self, credentials: Credentials) -> Result<(), CtlError> {
        durable::replace(&self.path, credentials.to_toml().as_bytes(), MODE)?;
        self.credentials = credentials;
        Ok(())
    }

    /// Whether ctl may write this file. Root may everywhere: a file that its owner made read-only is left alone too.
    pub(crate) fn is_writable(&self) -> bool {
        let owner_may = fs::metadata(&self.path).is_ok_and(|metadata| metadata.mode() & 0o200 != 0);
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        owner_may && nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK).is_ok()
    }

    /// Whether other users can read the private key.
    pub(crate) fn is_exposed(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| metadata.mode() & 0o077 != 0)
    }
}

/// All contexts of a user.
#[derive(Debug, Clone)]
pub(crate) struct ContextStore {
    folder: PathBuf,
}

impl ContextStore {
    /// The user's own.
    pub(crate) fn of(environment: &Environment) -> Result<Self, CtlError> {
        environment.folder.clone().map(|folder| Self { folder }).ok_or_else(|| {
            CtlError::failed("neither XDG_CONFIG_HOME nor HOME is set, so there is no place for contexts")
                .hint("set HOME, or name a file with --context-file")
        })
    }

    /// The names of all contexts, in order.
    pub(crate) fn names(&self) -> Result<Vec<ContextName>, CtlError> {
        let folder = self.folder.join("contexts");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(CtlError::failed(format!("reading {}: {error}", folder.display()))),
        };
        let name = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_suffix(SUFFIX)?.parse().ok();
        let mut names: Vec<ContextName> = entries.filter_map(|entry| name(entry.ok()?)).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Where a context is kept.
    pub(crate) fn path(&self, name: &ContextName) -> PathBuf {
        self.folder.join("contexts").join(format!("{name}{SUFFIX}"))
    }

    /// Whether there is a file for it, usable or not.
    pub(crate) fn has(&self, name: &ContextName) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }

    /// Reads a context.
    pub(crate) fn load(&self, name: &ContextName) -> Result<StoredContext, CtlError> {
        if !self.has(name) {
            let known: Vec<_> = self.names()?.iter().map(ToString::to_string).collect();
            let next = match known.as_slice() {
                [] => "there are none yet: log in with `ctl login HOST:7443`".to_owned(),
                _ => format!("there are: {}", known.join(", ")),
            };
            return Err(CtlError::usage(format!("there is no context {name}")).hint(next));
        }
        StoredContext::read(&self.path(name))
    }

    /// Writes a context.
    pub(crate) fn save(&self, name: &ContextName, credentials: &Credentials) -> Result<(), CtlError> {
        self.prepare("contexts")?;
        Ok(durable::replace(&self.path(name), credentials.to_toml().as_bytes(), MODE)?)
    }

    /// Deletes a context with its key, and the choice of it.
    pub(crate) fn remove(&self, name: &ContextName) -> Result<(), CtlError> {
        if matches!(self.current(), Ok(Some(current)) if current == *name) {
            durable::remove(&self.folder.join("current"))?;
        }
        Ok(durable::remove(&self.path(name))?)
    }

    /// The context that is used unless another is named.
    pub(crate) fn current(&self) -> Result<Option<ContextName>, CtlError> {
        let path = self.folder.join("current");
        let Some(text) = read_text(&path)? else { return Ok(None) };
        text.trim_end().parse().map(Some).map_err(|error| {
            CtlError::failed(format!("{} is damaged: {error}", path.display()))
                .hint("choose anew: ctl context use NAME")
        })
    }

    /// Chooses the context that is used unless another is named.
    pub(crate) fn set_current(&self, name: &ContextName) -> Result<(), CtlError> {
        self.prepare(".")?;
        Ok(durable::replace(&self.folder.join("current"), format!("{name}\n").as_bytes(), MODE)?)
    }

    /// Where the key of an unfinished login is kept.
    pub(crate) fn pending_key(&self, token_id: &str) -> Result<PathBuf, CtlError> {
        self.prepare("pending")?;
        Ok(self.folder.join("pending").join(format!("{token_id}.key")))
    }

    /// Makes a folder for the owner alone.
    fn prepare(&self, folder: &str) -> Result<(), CtlError> {
        use std::os::unix::fs::DirBuilderExt;
        let path = self.folder.join(folder);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|error| CtlError::failed(format!("making the folder {}: {error}", path.display())))
    }
}

/// Reads a small text file; none if there is none.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, CtlError> {
    let fail = |reason: String| CtlError::failed(format!("reading {}: {reason}", path.display()));
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error.to_string())),
    };
    let mut bytes = Vec::new();
    file.take(LIMIT_BYTES + 1).read_to_end(&mut bytes).map_err(|error| fail(error.to_string()))?;
    if bytes.len() as u64 > LIMIT_BYTES {
        return Err(fail(format!("it is longer than {LIMIT_BYTES} bytes")));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| fail("it is not text".to_owned()))
}

#[cfg(test)]
mod tests;
