//! Puts a run together: the job's file, its repository, its engine, and what is said of it.

mod back;
mod save;
mod tar;
mod would;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rackhaven_proto::daemon::read_toml;
use rackhaven_proto::model::backup::{Job, RawJob, Remote, Repository};
use rackhaven_proto::model::{JobName, NodeName};

use crate::cli::{Cli, Command, Common, Output};
use crate::clock::unix_ms;
use crate::jobs;
use crate::outcome::{ListedArchive, Outcome, Problems, RunResult, listed};
use crate::progress::{Progress, StatusFile};
use crate::repository::local::Place;
use crate::repository::prune::prune;
use crate::repository::{Daemon, Local, MountTables, RepositoryError, Ssh, SshPlace, Store};
use crate::stop::Stop;
use would::Would;

/// Each thread has some megabytes in its hands.
const MAX_USUAL_THREADS: usize = 4;

/// What a command works with.
pub(crate) struct Run {
    pub(crate) job: Job,
    pub(crate) name: JobName,
    pub(crate) node: NodeName,
    /// The job's own folder of state.
    pub(crate) state: PathBuf,
    pub(crate) common: Common,
    pub(crate) started_unix_ms: i64,
    pub(crate) problems: Problems,
    pub(crate) progress: Arc<Progress>,
    pub(crate) stop: Stop,
}

/// What a command did, besides what is counted on the way.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) outcome: Option<Outcome>,
    pub(crate) message: String,
    pub(crate) saved: Option<crate::repository::Record>,
    pub(crate) entries_removed: u64,
    /// All archives of the job, where the command came by them.
    pub(crate) archives: Option<Vec<ListedArchive>>,
    /// What is printed instead of the message; nothing if it is empty.
    pub(crate) text: Option<String>,
    /// What a dry run would have done.
    pub(crate) would: Vec<String>,
    pub(crate) json: Option<serde_json::Value>,
}

/// Performs a command. Says the exit status.
pub fn perform(cli: Cli, stop: &Stop) -> u8 {
    let common = match &cli.command {
        Command::Jobs { folders, last, result } => return tell_jobs(folders, last, result.as_deref()),
        Command::Run { common, .. }
        | Command::List { common }
        | Command::Verify { common, .. }
        | Command::Restore { common, .. }
        | Command::Prune { common, .. } => common,
    };
    match begin(common.clone(), stop) {
        Err(error) => {
            // There is no job, hence no result.
            eprintln!("rackhaven-backup: {error:#}");
            2
        }
        Ok(run) => finish(&run, &cli.command),
    }
}

fn tell_jobs(folders: &[PathBuf], last: &str, result: Option<&Path>) -> u8 {
    let told = || -> anyhow::Result<()> {
        let last = serde_json::from_str(last).context("--last")?;
        let jobs = jobs::list(folders, &last, unix_ms(), &jiff::tz::TimeZone::system())?;
        let json = serde_json::to_vec(&jobs)?;
        match result {
            Some(path) => std::fs::write(path, json).with_context(|| format!("writing {}", path.display())),
            None => Ok(writeln!(std::io::stdout(), "{}", String::from_utf8_lossy(&json))?),
        }
    };
    match told() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("rackhaven-backup: {error:#}");
            1
        }
    }
}

fn begin(common: Common, stop: &Stop) -> anyhow::Result<Run> {
    let name = match &common.name {
        Some(name) => name.clone(),
        None => common.job.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let name: JobName = name.parse().context("the job's name")?;
    let node = match &common.node {
        Some(node) => node.clone(),
        None => rustix::system::uname().nodename().to_string_lossy().split('.').next().unwrap_or_default().to_owned(),
    };
    let node: NodeName = node.parse().context("the node's name")?;
    let job = read_toml::<RawJob, Job>(&common.job, false)?;
    let state = common.state_dir.join(name.as_str());
    let (problems, progress) = (Problems::default(), Arc::new(Progress::default()));
    Ok(Run { job, name, node, state, common, started_unix_ms: unix_ms(), problems, progress, stop: stop.clone() })
}

fn finish(run: &Run, command: &Command) -> u8 {
    let status = run.common.status.as_deref().map(|path| StatusFile::start(path, Arc::clone(&run.progress)));
    if let Some(Err(error)) = &status {
        eprintln!("rackhaven-backup: no progress is written: {error}");
    }
    let performed = match command {
        Command::Jobs { .. } => Err(anyhow::anyhow!("jobs are told without a job")),
        Command::Run { full, .. } => save::save(run, *full),
        Command::List { .. } => list(run),
        Command::Verify { archive, sample, .. } => back::verify(run, archive.as_deref(), *sample),
        Command::Restore { what, at, to, dry_run, in_place, .. } => back::Wanted::new(what, at.as_deref(), to)
            .and_then(|wanted| back::restore(run, &back::Wanted { dry_run: *dry_run, ..wanted }, *in_place)),
        Command::Prune { dry_run, .. } => prune_now(run, *dry_run),
    };
    drop(status);
    let done = performed.unwrap_or_else(|error| {
        let stopped = run.stop.is_requested();
        let outcome = if stopped { Outcome::Stopped } else { Outcome::Failed };
        Done { outcome: Some(outcome), message: said(&error), ..Done::default() }
    });
    let result = result(run, &done);
    let written = run.common.result.as_deref().map(|path| write_durably(path, &result));
    if let Some(Err(error)) = &written {
        eprintln!("rackhaven-backup: writing the result: {error}");
    }
    say(run, &done, &result);
    if matches!(written, Some(Err(_))) { 1 } else { result.outcome.exit_status() }
}

/// An error with what lies behind it, each once: some tell of their source themselves.
fn said(error: &anyhow::Error) -> String {
    let mut said = error.to_string();
    for source in error.chain().skip(1).map(ToString::to_string) {
        if !said.ends_with(&source) {
            said = format!("{said}: {source}");
        }
    }
    said
}

fn result(run: &Run, done: &Done) -> RunResult {
    let status = run.progress.status();
    RunResult {
        job: run.name.to_string(),
        node: run.node.to_string(),
        outcome: done.outcome.unwrap_or_else(|| run.problems.outcome()),
        message: done.message.clone(),
        archive: done.saved.as_ref().map(|record| record.name.clone()),
        kind: done.saved.as_ref().map(|record| record.kind),
        base: done.saved.as_ref().and_then(|record| record.base.clone()),
        started_unix_ms: run.started_unix_ms,
        ended_unix_ms: unix_ms(),
        entries: done.saved.as_ref().map_or(status.entries, |record| record.entries),
        entries_changed: status.entries_changed,
        entries_removed: done.entries_removed,
        bytes_read: status.bytes_read,
        bytes_stored: done.saved.as_ref().map_or(status.bytes_stored, |record| record.stored_bytes),
        problem_counts: run.problems.counts(),
        problems: run.problems.listed(),
        archives: done.archives.clone(),
        would: done.would.clone(),
    }
}

fn say(run: &Run, done: &Done, result: &RunResult) {
    let text = match (run.common.output, &done.json) {
        (Output::Json, Some(json)) if done.outcome.is_none_or(|outcome| outcome != Outcome::Failed) => json.to_string(),
        (Output::Json, _) => serde_json::to_string(result).unwrap_or_default(),
        (Output::Text, _) => {
            for problem in &result.problems {
                eprintln!("{}: {}", problem.path, problem.reason);
            }
            let listed = result.problems.len() as u64;
            let all: u64 = result.problem_counts.values().sum();
            if all > listed {
                eprintln!("and {} more", all - listed);
            }
            done.text.clone().unwrap_or_else(|| format!("{}: {}", result.outcome, result.message))
        }
    };
    if !text.is_empty() {
        // Whoever closed it does not want to read it.
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}

fn write_durably(path: &Path, result: &RunResult) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(result)?)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => std::fs::File::open(".")?.sync_all(),
    }
}

/// A job's repository.
pub(crate) enum Opened {
    /// In a folder.
    Local(Local),
    /// On another machine.
    Ssh(Box<Ssh>),
    /// In a module of an rsync daemon's.
    Daemon(Box<Daemon>),
}

impl Opened {
    /// What all kinds can do.
    pub(crate) fn store(&self) -> &dyn Store {
        match self {
            Self::Local(local) => local,
            Self::Ssh(ssh) => &**ssh,
            Self::Daemon(daemon) => &**daemon,
        }
    }
}

impl Run {
    /// Opens the job's repository, and takes the job for this process.
    pub(crate) fn open(&self) -> Result<Opened, RepositoryError> {
        match &self.job.repository {
            Repository::Folder(folder) => {
                let place = Place {
                    repository: folder.clone(),
                    requires_mount: self.job.requires_mount.clone(),
                    node: self.node.to_string(),
                    job: self.name.to_string(),
                    state: self.state.clone(),
                    mounts: MountTables::default(),
                };
                Local::open(place, self.started_unix_ms).map(Opened::Local)
            }
            Repository::Ssh(remote) => {
                let place = self.far_place(remote);
                Ssh::open(&place, self.started_unix_ms, &self.stop).map(Box::new).map(Opened::Ssh)
            }
            Repository::Daemon(remote) => {
                let place = self.far_place(remote);
                Daemon::open(&place, self.started_unix_ms, &self.stop).map(Box::new).map(Opened::Daemon)
            }
        }
    }

    fn far_place(&self, remote: &Remote) -> SshPlace {
        SshPlace {
            remote: remote.clone(),
            requires_mount: self.job.requires_mount.clone(),
            node: self.node.to_string(),
            job: self.name.to_string(),
            state: self.state.clone(),
        }
    }

    /// For what a dry run would do; people see all of it.
    pub(crate) fn would(&self) -> Would {
        Would::new(self.common.output == Output::Text)
    }

    /// How many threads do the work.
    pub(crate) fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // One core stays free for what the node is there for.
        let usual = if cores > 2 { cores - 1 } else { cores }.min(MAX_USUAL_THREADS);
        self.job.limits.threads.map_or(usual, |threads| threads as usize).max(1)
    }
}

fn list(run: &Run) -> anyhow::Result<Done> {
    let archives = listed(&run.open()?.store().list()?);
    let lines: Vec<String> = archives.iter().map(ListedArchive::to_string).collect();
    Ok(Done {
        message: format!("{} archives", archives.len()),
        text: Some(lines.join("\n")),
        json: Some(serde_json::to_value(&archives)?),
        archives: Some(archives),
        ..Done::default()
    })
}

fn prune_now(run: &Run, dry_run: bool) -> anyhow::Result<Done> {
    let opened = run.open()?;
    let pruned = prune(opened.store(), &run.job.keep, dry_run)?;
    let will = if dry_run { "would be removed" } else { "removed" };
    let mut would = Would::new(false);
    if dry_run {
        pruned.removed.iter().for_each(|name| would.tell("", &format!("remove {name}")));
    }
    let mut lines: Vec<String> = pruned.removed.iter().map(|name| format!("{name}  {will}")).collect();
    lines.extend(pruned.kept.iter().map(|kept| format!("{}  stays: {}", kept.archive, kept.reasons.join(", "))));
    Ok(Done {
        message: format!("{} archives stay, {} {will}", pruned.kept.len(), pruned.removed.len()),
        text: Some(lines.join("\n")),
        json: Some(serde_json::to_value(&pruned)?),
        would: would.kept(),
        archives: Some(listed(&opened.store().list()?)),
        ..Done::default()
    })
}
