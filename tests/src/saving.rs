//! A node that is saved, and what becomes of its backups.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::Program;
use crate::ctl::Outcome;
use crate::process::{Daemon, command, run_to_end};

/// Sources, one job and its state, in a folder of their own.
#[derive(Debug)]
pub struct Saving {
    top: tempfile::TempDir,
}

impl Saving {
    /// With an empty source.
    ///
    /// # Errors
    /// When no folder can be made.
    pub fn new() -> anyhow::Result<Self> {
        Self::new_in(&std::env::temp_dir())
    }

    /// The same in memory, for stories of very many runs: a disk takes its time to say that it has written.
    ///
    /// # Errors
    /// When no folder can be made.
    pub fn in_memory() -> anyhow::Result<Self> {
        Self::new_in(Path::new("/dev/shm"))
    }

    fn new_in(folder: &Path) -> anyhow::Result<Self> {
        let top = tempfile::Builder::new().prefix("rackhaven-").tempdir_in(folder).context("making a folder")?;
        fs::create_dir(top.path().join("source"))?;
        Ok(Self { top })
    }

    /// The folder in which everything is.
    pub fn top(&self) -> &Path {
        self.top.path()
    }

    /// What is saved.
    pub fn source(&self) -> PathBuf {
        self.top().join("source")
    }

    /// Writes the job: trees of the source, and these lines.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_job(&self, lines: &str) -> anyhow::Result<()> {
        self.write_job_of("rsync", lines)
    }

    /// Writes the job of this engine: the source, and these lines.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_job_of(&self, engine: &str, lines: &str) -> anyhow::Result<()> {
        let job = format!("engine = '{engine}'\nsources = ['{}']\n{lines}", self.source().display());
        fs::write(self.top().join("home.toml"), job).context("writing the job")
    }

    /// The engine with a command and what it needs.
    ///
    /// # Errors
    /// When the engine has not been built.
    pub fn engine(&self, words: &[&str]) -> anyhow::Result<Command> {
        let mut engine = command(Program::Backup.path()?);
        engine.arg(words.first().copied().unwrap_or_default()).arg("--job").arg(self.top().join("home.toml"));
        engine.args(["--node", "pi-1", "--output", "json", "--state-dir"]).arg(self.top().join("state"));
        engine.args(words.get(1..).unwrap_or_default());
        Ok(engine)
    }

    /// Runs the engine to its end.
    ///
    /// # Errors
    /// When it cannot be started, or does not end.
    pub async fn run(&self, words: &[&str]) -> anyhow::Result<Outcome> {
        run_to_end(self.engine(words)?).await
    }

    /// Starts the engine.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, words: &[&str]) -> anyhow::Result<Daemon> {
        Daemon::start("engine", self.engine(words)?, self.top())
    }

    /// Saves, and says the archive's name.
    ///
    /// # Errors
    /// When the run does not end with `ok`.
    pub async fn save(&self) -> anyhow::Result<String> {
        let ended = self.run(&["run"]).await?;
        ensure!(ended.code == Some(0), "the run ended with {ended:?}");
        let result: serde_json::Value = serde_json::from_str(&ended.out)?;
        Ok(result["archive"].as_str().context("it names no archive")?.to_owned())
    }

    /// Gives the newest archive back into `to`.
    ///
    /// # Errors
    /// When that does not end with `ok`.
    pub async fn give_back(&self, to: &Path) -> anyhow::Result<()> {
        let to = to.display().to_string();
        let ended = self.run(&["restore", "--to", &to]).await?;
        ensure!(ended.code == Some(0), "it ended with {ended:?}");
        Ok(())
    }

    /// The names of all archives.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn archives(&self) -> anyhow::Result<Vec<String>> {
        let ended = self.run(&["list"]).await?;
        ensure!(ended.code == Some(0), "it ended with {ended:?}");
        let archives: Vec<serde_json::Value> = serde_json::from_str(&ended.out)?;
        Ok(archives.iter().filter_map(|archive| archive["name"].as_str().map(str::to_owned)).collect())
    }

    /// What rsync finds different between the source and a copy of it: content, metadata, links, everything.
    ///
    /// # Errors
    /// When it cannot compare.
    pub async fn differences(&self, copy: &Path) -> anyhow::Result<String> {
        let mut rsync = command("rsync");
        rsync.args(["-aHAXSnic", "--numeric-ids", "--delete", "--"]);
        rsync.arg(format!("{}/", self.source().display())).arg(format!("{}/", copy.display()));
        let ended = run_to_end(rsync).await?;
        ensure!(ended.code == Some(0), "rsync ended with {ended:?}");
        Ok(ended.out)
    }

    /// Where the source is below a tree or a place to which it was given back.
    ///
    /// # Panics
    /// Never: the source is absolute.
    pub fn below(&self, tree: &Path) -> PathBuf {
        tree.join(self.source().strip_prefix("/").unwrap_or(Path::new("")))
    }
}

/// Fills a folder with what backups stumble over: hostile names, holes, several names of one file, times before 1970,
/// attributes, access lists, capabilities, pipes, devices, odd permissions. Needs root.
///
/// # Errors
/// When the file system does not take it.
pub fn fill_awkwardly(folder: &Path) -> anyhow::Result<()> {
    let script = r#"
set -eu
cd "$1"
mkdir -p deep/er/still empty 'with blank' locked
printf 'hello' > deep/er/still/text
printf x > "$(printf 'new\nline')"
printf x > "$(printf 'not-utf8-\377\376')"
printf x > '-rf *'
printf x > ' leading'
printf x > 'tab	quote'\''"\'
printf x > "$(printf 'n%.0s' $(seq 255))"
ln deep/er/still/text again
ln deep/er/still/text 'with blank/once more'
ln -s nowhere dangling
ln -s / 'link to root'
ln -s "$(printf 't%.0s' $(seq 200))" long-target
truncate -s 50M sparse; printf data | dd of=sparse bs=1 seek=30000000 conv=notrunc status=none
truncate -s 1M all-hole
head -c 3000000 /dev/zero > zeros-without-hole
head -c 2500000 /dev/urandom > random
: > empty-file
mkfifo pipe
mknod character c 1 3
mknod block b 7 200
chmod 0000 locked
printf x > setuid; chown 1234:4321 setuid; chmod 6755 setuid
mkdir sticky; chmod 1777 sticky
touch -d '1969-12-31 12:00:00.123456789 UTC' before-1970
touch -d '2001-02-03 04:05:06.987654321 UTC' nanoseconds
touch -d '2100-01-01 UTC' after-2038
setfattr -n user.note -v 'a value' deep/er/still/text
setfattr -n trusted.secret -v 0x00ff00 random
setfattr -h -n trusted.link -v 1 dangling
setfacl -m u:1234:r,g:4321:rw random
setfacl -d -m u:1234:rwx sticky
printf x > sticky/inside; setfacl -b sticky/inside
printf x > capable; setcap cap_net_raw+ep capable
chown -h 1234:4321 dangling pipe
touch -h -d '2002-02-02 02:02:02.5 UTC' dangling
touch -d '2003-03-03 03:03:03.25 UTC' deep/er deep .
"#;
    let mut sh = command("sh");
    sh.args(["-c", script, "sh"]).arg(folder);
    ensure!(sh.status().context("starting sh")?.success(), "not everything could be made: this story needs root");
    Ok(())
}
