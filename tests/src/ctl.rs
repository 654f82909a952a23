//! `ctl` as a person or a script runs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::fleet::token;
use crate::process::{Daemon, command, run_to_end};
use crate::program::Program;

/// `ctl` of one user: where its contexts are, and which of them it takes.
#[derive(Debug, Clone)]
pub struct Ctl {
    home: PathBuf,
    context_file: Option<PathBuf>,
    environment: Vec<(String, String)>,
}

/// How a program ended, and what it said.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its exit status; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ctl {
    /// Of a user whose contexts lie in `home`.
    pub fn of_user(home: &Path) -> Self {
        Self { home: home.to_owned(), context_file: None, environment: Vec::new() }
    }

    /// With the context in this file, whatever the user's current one is.
    pub fn with_context_file(home: &Path, context_file: &Path) -> Self {
        Self { context_file: Some(context_file.to_owned()), ..Self::of_user(home) }
    }

    /// With a variable in its environment.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn command(&self, line: &str) -> anyhow::Result<Command> {
        let mut command = command(Program::Ctl.path()?);
        command.env("XDG_CONFIG_HOME", &self.home).env("HOME", &self.home).env("TZ", "UTC");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(file) = &self.context_file {
            command.arg("--context-file").arg(file);
        }
        command.args(line.split_whitespace());
        Ok(command)
    }

    /// The same as a shell's line, for a terminal.
    ///
    /// # Errors
    /// When the program was not built.
    pub fn line(&self, line: &str) -> anyhow::Result<String> {
        let (program, home) = (Program::Ctl.path()?, self.home.display());
        let variables: String = self.environment.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        let context = self.context_file.as_ref().map(|file| format!(" --context-file {}", file.display()));
        let context = context.unwrap_or_default();
        Ok(format!("XDG_CONFIG_HOME={home} HOME={home} TZ=UTC{variables} {}{context} {line}", program.display()))
    }

    /// Runs one command line, its words apart by spaces.
    ///
    /// # Errors
    /// When it cannot be run; not when it fails.
    pub async fn run(&self, line: &str) -> anyhow::Result<Outcome> {
        run_to_end(self.command(line)?).await.with_context(|| format!("ctl {line}"))
    }

    /// Runs one command line that must succeed; its output.
    ///
    /// # Errors
    /// When it fails.
    pub async fn ok(&self, line: &str) -> anyhow::Result<String> {
        Ok(self.fails(line, 0).await?.out)
    }

    /// Runs one command line that must end with this exit status.
    ///
    /// # Errors
    /// When it ends with another.
    pub async fn fails(&self, line: &str, code: i32) -> anyhow::Result<Outcome> {
        let outcome = self.run(line).await?;
        ensure!(outcome.code == Some(code), "ctl {line}: not exit status {code} but {outcome:?}");
        Ok(outcome)
    }

    /// Runs one command line that must succeed, for its JSON.
    ///
    /// # Errors
    /// When it fails, or its output is not JSON.
    pub async fn json(&self, line: &str) -> anyhow::Result<Value> {
        let out = self.ok(&format!("{line} -o json")).await?;
        serde_json::from_str(&out).with_context(|| format!("ctl {line}: not JSON: {out}"))
    }

    /// `ctl` of a new user, logged in at `endpoint`; this one invites, and must be an admin's. Its files are in `home`.
    ///
    /// # Errors
    /// When it cannot be done.
    pub async fn another(&self, name: &str, role: &str, endpoint: &str, home: &Path) -> anyhow::Result<Self> {
        let invitation = token(self.json(&format!("user invite {name} --role {role}")).await?)?;
        let user = Self::of_user(home);
        user.clone().with_variable("RACKHAVEN_TOKEN", &invitation).ok(&format!("login {endpoint}")).await?;
        Ok(user)
    }

    /// The same for commands that print one JSON object a line.
    ///
    /// # Errors
    /// When it fails, or its output is not JSON.
    pub async fn json_lines(&self, line: &str) -> anyhow::Result<Vec<Value>> {
        let out = self.ok(&format!("{line} -o json")).await?;
        let rows = out.lines().map(serde_json::from_str).collect::<Result<_, _>>();
        rows.with_context(|| format!("ctl {line}: not JSON: {out}"))
    }

    /// Starts one that goes on, such as `events --follow`; its streams are kept in `folder`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, line: &str, folder: &Path) -> anyhow::Result<Daemon> {
        Daemon::start("ctl", self.command(line)?, folder)
    }
}
