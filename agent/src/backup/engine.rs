//! How the engine is called: its command lines, and what it answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rackhaven_proto::model::backup::{BackupAction, BackupRunId, JobLine, OnBattery};
use rackhaven_proto::model::{JobName, NodeName};
use rackhaven_proto::v1;

use super::core::{Last, Run, Timed};
use super::report::{plain, read_bounded};
use crate::causes::with_causes;
use crate::host::linux::Place;
use crate::host::linux::child::{self, Job};

/// How long the engine may take to tell of the jobs, or systemd to begin a unit.
const ANSWER: Duration = Duration::from_secs(20);
/// How long a run may take that is the agent's own child.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longest text that is told of a job, bytes.
const MAX_BYTES: usize = 500;
/// Most of its sources that are told, and the longest of them, bytes.
const MAX_SOURCES: usize = 16;
const MAX_SOURCE_BYTES: usize = 200;
/// How long systemd lets it end cleanly.
const STOP_S: u32 = 15;

/// Where things are.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The engine's program.
    pub program: PathBuf,
    /// The admin's jobs.
    pub local: PathBuf,
    /// The controller's jobs.
    pub given: PathBuf,
    /// What was begun, and how it ended.
    pub runs: PathBuf,
    /// The engine's own state.
    pub state: PathBuf,
    /// How far runs are; in memory.
    pub status: PathBuf,
    /// Whose archives are made.
    pub node: NodeName,
}

/// What the decisions need of a job.
pub(super) fn timed(job: &JobLine) -> Timed {
    Timed {
        save_unix_ms: job.next_unix_ms,
        verify_unix_ms: job.verify_next_unix_ms,
        verify_percent: job.verify_percent.clamp(1, 100),
        random_delay_ms: i64::from(job.random_delay_seconds) * 1000,
        waits_on_battery: job.on_battery == OnBattery::Wait,
        problem: job.problem.clone(),
    }
}

/// What the controller is told of a job: so much that all jobs of a node go into one message.
pub(super) fn told(job: &JobLine) -> v1::BackupJob {
    let told = job.sources.iter().take(MAX_SOURCES).map(|source| plain(source, MAX_SOURCE_BYTES));
    let more = job.sources.len().saturating_sub(MAX_SOURCES);
    let sources = told.chain((more > 0).then(|| format!("and {more} more"))).collect();
    v1::BackupJob {
        name: job.name.to_string(),
        engine: plain(&job.engine, MAX_BYTES),
        sources,
        repository: plain(&job.repository, MAX_BYTES),
        schedule: plain(&job.schedule, MAX_BYTES),
        next_unix_ms: job.next_unix_ms,
        given: job.given,
        problem: plain(&job.problem, MAX_BYTES),
    }
}

impl Paths {
    /// Asks for the jobs of this node; `last` is when each was begun last.
    ///
    /// # Errors
    /// When the engine cannot be run, or its answer makes no sense.
    pub async fn jobs(&self, last: &BTreeMap<JobName, Last>) -> Result<Vec<JobLine>, String> {
        let last = serde_json::to_string(last).map_err(|error| error.to_string())?;
        let told = self.status.join("jobs.json");
        std::fs::create_dir_all(&self.status).map_err(|error| format!("making {}: {error}", self.status.display()))?;
        let mut argv = self.words(&["jobs", "--last", &last, "--result"]);
        argv.push(text(&told));
        for dir in [&self.local, &self.given] {
            argv.extend(["--dir".to_owned(), text(dir)]);
        }
        let job = Job { argv: &argv, environment: &[], stands: false, place: Place::Here };
        child::run(job, ANSWER).await.map_err(|error| with_causes(&error))?;
        let bytes = read_bounded(&told)?;
        serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", told.display()))
    }

    /// Has a run begin as a unit of systemd's, which outlives the agent. Returns when it has begun.
    ///
    /// # Errors
    /// When systemd refuses.
    pub async fn begin_unit(&self, run: &Run, job: &JobLine) -> Result<(), String> {
        let mut argv: Vec<String> = ["systemd-run", "--quiet", "--collect"].map(str::to_owned).into();
        argv.push(format!("--unit={}", unit(&run.id)));
        argv.push(format!("--description=Rackhaven backup {} ({})", run.job, run.action.as_str()));
        for property in [
            format!("MemoryMax={}M", job.memory_mib),
            format!("Nice={}", job.nice),
            format!("TimeoutStopSec={STOP_S}"),
            "IOSchedulingClass=idle".to_owned(),
            "IOWeight=10".to_owned(),
            "CPUWeight=20".to_owned(),
            // Where memory runs out, this goes first.
            "OOMScoreAdjust=500".to_owned(),
        ] {
            argv.push(format!("--property={property}"));
        }
        argv.push("--".to_owned());
        // systemd expands variables in what it runs (systemd.service(5), "Command lines").
        argv.extend(self.run_words(run, job).into_iter().map(|word| word.replace('$', "$$")));
        let job = Job { argv: &argv, environment: &[], stands: true, place: Place::Here };
        child::run(job, ANSWER).await.map(drop).map_err(|error| with_causes(&error))
    }

    /// Runs it as a child. Dropped, it is asked to end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn run_child(&self, run: &Run, job: &JobLine) -> Result<(), String> {
        let argv = self.run_words(run, job);
        let job = Job { argv: &argv, environment: &[], stands: false, place: Place::Here };
        match child::run(job, LONGEST).await {
            // What went wrong in it, its result tells.
            Ok(_) | Err(crate::host::ChildError::Failed { .. }) => Ok(()),
            Err(error) => Err(with_causes(&error)),
        }
    }

    /// Asks systemd to end a run.
    ///
    /// # Errors
    /// When systemd refuses.
    pub async fn end_unit(&self, id: &BackupRunId) -> Result<(), String> {
        systemctl(&["stop", "--no-block", &unit(id)]).await.map(drop)
    }

    /// Whether systemd still runs it: one that is about to end does. If that cannot be known, it does.
    pub async fn unit_runs(&self, id: &BackupRunId) -> bool {
        match systemctl(&["show", "--property=ActiveState", "--value", &unit(id)]).await {
            Ok(said) => !said.last().is_some_and(|state| matches!(state.as_str(), "inactive" | "failed")),
            Err(_) => true,
        }
    }

    /// How far a run is.
    pub fn status_file(&self, id: &BackupRunId) -> PathBuf {
        self.status.join(format!("{id}.status"))
    }

    /// How a run ended.
    pub fn result_file(&self, id: &BackupRunId) -> PathBuf {
        self.runs.join(format!("{id}.result"))
    }

    fn words(&self, words: &[&str]) -> Vec<String> {
        std::iter::once(text(&self.program)).chain(words.iter().map(|word| (*word).to_owned())).collect()
    }

    fn run_words(&self, run: &Run, job: &JobLine) -> Vec<String> {
        let mut argv = self.words(&[match run.action {
            BackupAction::Save { .. } => "run",
            BackupAction::Verify { .. } => "verify",
            BackupAction::Restore(_) => "restore",
            BackupAction::Prune { .. } => "prune",
            BackupAction::List => "list",
        }]);
        let (status, result) = (self.status_file(&run.id), self.result_file(&run.id));
        for (flag, path) in
            [("--job", &job.file), ("--state-dir", &self.state), ("--status", &status), ("--result", &result)]
        {
            argv.extend([flag.to_owned(), text(path)]);
        }
        let node = match &run.action {
            BackupAction::Restore(restore) => restore.of_node.as_ref().unwrap_or(&self.node),
            _ => &self.node,
        };
        argv.push(format!("--node={node}"));
        match &run.action {
            BackupAction::Save { full } => argv.extend(full.then(|| "--full".to_owned())),
            BackupAction::Verify { archive, percent } => {
                argv.push(format!("--sample={percent}"));
                argv.extend(archive.as_ref().map(ToString::to_string));
            }
            BackupAction::Prune { dry_run } => argv.extend(dry_run.then(|| "--dry-run".to_owned())),
            BackupAction::List => {}
            BackupAction::Restore(restore) => {
                argv.push(format!("--to={}", restore.to.display()));
                argv.extend(restore.before_unix_ms.map(|ms| format!("--at=@{ms}")));
                argv.extend(restore.dry_run.then(|| "--dry-run".to_owned()));
                argv.extend(restore.in_place.then(|| "--in-place".to_owned()));
                argv.push("--".to_owned());
                argv.extend(restore.archive.as_ref().map(ToString::to_string));
                argv.extend(restore.paths.iter().map(|path| text(path)));
            }
        }
        argv
    }
}

fn unit(id: &BackupRunId) -> String {
    format!("rackhaven-backup-{id}.service")
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

async fn systemctl(words: &[&str]) -> Result<Vec<String>, String> {
    let argv: Vec<String> = std::iter::once(&"systemctl").chain(words).map(|word| (*word).to_owned()).collect();
    let job = Job { argv: &argv, environment: &[], stands: true, place: Place::Here };
    child::run(job, ANSWER).await.map_err(|error| with_causes(&error))
}
