//! Which controller a command is for.

use std::path::PathBuf;

use crate::cli::GlobalArgs;
use crate::context::{ContextStore, StoredContext};
use crate::environment::Environment;
use crate::error::CtlError;

/// The way to a controller.
#[derive(Debug)]
pub(crate) enum Target {
    /// Its Unix socket, on its own machine.
    Socket(PathBuf),
    /// Over the network, with the credentials of a context.
    Context(Box<StoredContext>),
}

impl Target {
    /// Takes the first that there is of: what the command line names, what the environment names, the current context,
    /// the socket of a controller on this machine.
    pub(crate) fn select(global: &GlobalArgs, environment: &Environment) -> Result<Self, CtlError> {
        let stored = |context| Ok(Self::Context(Box::new(context)));
        if let Some(path) = &global.socket {
            return Ok(Self::Socket(path.clone()));
        }
        if let Some(path) = &global.context_file {
            return stored(StoredContext::read(path)?);
        }
        if let Some(name) = &global.context {
            return stored(ContextStore::of(environment)?.load(name)?);
        }
        if let Some(path) = &environment.context_file {
            return stored(StoredContext::read(path).map_err(|error| error.during("RACKHAVEN_CONTEXT"))?);
        }
        let store = ContextStore::of(environment).ok();
        if let Some(store) = &store
            && let Some(name) = store.current()?
        {
            return stored(store.load(&name)?);
        }
        if let Some(path) = &environment.socket {
            return Ok(Self::Socket(path.clone()));
        }
        let contexts = store.map_or(Ok(Vec::new()), |store| store.names())?;
        Err(CtlError::usage("no context is selected").hint(match contexts.first() {
            Some(first) => format!("choose one of those in `ctl context list`: ctl context use {first}"),
            None => {
                "log in with an invitation: ctl login HOST:7443 (an admin makes one with `ctl user invite`)".to_owned()
            }
        }))
    }

    /// The same controller, its credentials read anew: they may have been renewed, and another context may have become
    /// the current one.
    pub(crate) fn again(&self) -> Result<Self, CtlError> {
        match self {
            Self::Socket(path) => Ok(Self::Socket(path.clone())),
            Self::Context(context) => Ok(Self::Context(Box::new(StoredContext::read(&context.path)?))),
        }
    }
}
