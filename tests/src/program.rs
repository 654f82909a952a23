//! The binaries under test.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::ctl::Outcome;
use crate::process::{command, run_to_end};

/// One of the binaries that are built from this tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `rackhaven-agent`.
    Agent,
    /// `rackhaven-controller`.
    Controller,
    /// `ctl`.
    Ctl,
    /// `rackhaven-backup`.
    Backup,
    /// `rackhaven-k3s`.
    K3s,
}

impl Program {
    /// The name of its file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agent => "rackhaven-agent",
            Self::Controller => "rackhaven-controller",
            Self::Ctl => "ctl",
            Self::Backup => "rackhaven-backup",
            Self::K3s => "rackhaven-k3s",
        }
    }

    /// Where it is: in the folder above the one of the test binary.
    ///
    /// # Errors
    /// When it has not been built.
    pub fn path(self) -> anyhow::Result<PathBuf> {
        let test = std::env::current_exe().context("finding the test binary")?;
        let folder = test.ancestors().nth(2).context("the test binary lies in no target folder")?;
        let path = folder.join(self.name());
        ensure!(path.is_file(), "{} has not been built; run tests/run, which builds all", path.display());
        Ok(path)
    }

    /// Lets a daemon check a configuration file that somebody else has written.
    ///
    /// # Errors
    /// When it cannot be run; not when the configuration is wrong.
    pub async fn check_config(self, file: &Path) -> anyhow::Result<Outcome> {
        let mut command = command(self.path()?);
        command.arg("check-config").arg("--config").arg(file);
        run_to_end(command).await
    }
}
