use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::Context;

use super::Board;
use super::paths::ROOT;
use crate::program::Program;

impl Board {
    /// A program for an agent to call in the place of the engine: the engine, on this node.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn engine_script(&self) -> anyhow::Result<PathBuf> {
        let path = self.agent_folder().with_extension("engine");
        let (bin, root, engine) = (self.bin(), self.root(), Program::K3s.path()?);
        let [bin, root, engine] = [bin, root, engine].map(|path| path.display().to_string());
        let script = format!("#!/bin/sh\nPATH={bin}:$PATH {ROOT}={root} exec {engine} \"$@\" --root {root}\n");
        fs::write(&path, script).with_context(|| format!("writing {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }
}
