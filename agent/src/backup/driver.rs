mod perform;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rackhaven_pki::clock::TrustClock;
use rackhaven_proto::convert::backup::MAX_BACKUP_JOBS;
use rackhaven_proto::model::backup::{BackupOrder, BackupOutcome, BackupRunId, JobLine};
use rackhaven_proto::model::{JobName, Severity};
use rackhaven_proto::v1;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::core::{Action, Core, Event, How, Now, Record, Run};
use super::engine::{Paths, timed, told};
use super::report::{Ended, progress, report};
use super::{given, missing, reports};
use crate::host::Clock;
use crate::host::linux::Place;
use crate::state::{StateFolder, load_backups, save_backups};
use crate::trust::BoardTrust;

/// What waits to be taken in, or to be told.
const QUEUE_LENGTH: usize = 64;
/// How often a run is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is looked whether something is due.
const NAP: Duration = Duration::from_secs(10);
/// The engine is asked for the jobs at least so often, milliseconds: their files or the time zone may change.
const ASK_MS: u64 = 3_600_000;
/// And so often after it could not answer, milliseconds.
const ASK_AGAIN_MS: u64 = 60_000;
/// A run whose unit is looked for, milliseconds since its start: systemd may be slow to begin it.
const SETTLED_MS: u64 = 5_000;

/// What the other parts of the agent tell this one.
pub enum ToBackups {
    /// A session has opened: what the controller may not know is told.
    SessionOpened,
    /// Somebody asked for a run.
    Order(BackupOrder),
    /// Somebody asked to end one.
    End(BackupRunId),
    /// The controller has stored a report.
    Stored(BackupRunId),
    /// The whole set of jobs that the controller gives.
    Given(v1::GivenBackupJobs),
    /// Whether the rack is on battery.
    Battery(bool),
    /// This node goes down: what runs is ended; answered with what that was.
    GoesDown(oneshot::Sender<Option<String>>),
    /// It does not.
    Stays,
    /// The configuration may have changed.
    Reload,
}

/// What this part tells the node, to be passed on.
pub enum FromBackups {
    /// To the controller, if there is a session.
    Tell(Box<v1::agent_message::Body>),
    /// An event to be kept.
    Note {
        /// Its kind.
        kind: &'static str,
        /// How bad it is.
        severity: Severity,
        /// For a person.
        message: String,
    },
}

type Channel<T> = (mpsc::Sender<T>, mpsc::Receiver<T>);

/// Writes down what is decided, and has the engine do it.
pub struct Backups {
    folder: StateFolder,
    paths: Paths,
    place: Place,
    clock: Arc<dyn Clock>,
    trust: Arc<BoardTrust>,
    core: Core,
    saved: Record,
    jobs: BTreeMap<JobName, JobLine>,
    asked_ms: Option<u64>,
    /// Whether the engine was there when it was asked.
    installed: bool,
    problem: String,
    inbox: mpsc::Receiver<ToBackups>,
    outbox: mpsc::Sender<FromBackups>,
    /// Runs that could not be begun, or children that have ended.
    ended: Channel<(BackupRunId, Option<String>)>,
    child: Option<AbortHandle>,
    begun_ms: u64,
    /// How many jobs were left out.
    surplus: usize,
    /// The run that was told to end.
    ending: Option<BackupRunId>,
    /// Who waits for the end of what runs.
    waiting: Option<(oneshot::Sender<Option<String>>, String)>,
}

/// The ends that the other parts hold.
pub struct Ends {
    /// To this part.
    pub told: mpsc::Sender<ToBackups>,
    /// From this part to the node.
    pub tells: mpsc::Receiver<FromBackups>,
}

impl Backups {
    /// Goes on with what is on the disk; what was wrong with it.
    pub fn open(
        folder: &StateFolder,
        paths: Paths,
        place: Place,
        clock: Arc<dyn Clock>,
        trust: Arc<BoardTrust>,
    ) -> (Self, Ends, Option<String>) {
        let (saved, damaged) = load_backups(folder);
        let saved = saved.unwrap_or_default();
        let (told, inbox) = mpsc::channel(QUEUE_LENGTH);
        let (outbox, tells) = mpsc::channel(QUEUE_LENGTH);
        let core = Core::new(saved.clone());
        let backups = Self {
            folder: folder.clone(),
            paths,
            place,
            clock,
            trust,
            core,
            saved,
            jobs: BTreeMap::new(),
            asked_ms: None,
            installed: true,
            problem: String::new(),
            inbox,
            outbox,
            ended: mpsc::channel(4),
            child: None,
            begun_ms: 0,
            surplus: 0,
            ending: None,
            waiting: None,
        };
        (backups, Ends { told, tells }, damaged)
    }

    /// Runs until the agent ends. Runs that systemd has begun go on without it.
    pub async fn run(mut self) {
        loop {
            self.ask_for_jobs().await;
            let nap = if self.core.running().is_some() { LOOK } else { NAP };
            tokio::select! {
                told = self.inbox.recv() => match told {
                    Some(told) => self.take(told).await,
                    None => return,
                },
                Some((id, why)) = self.ended.1.recv() => self.over(&id, why).await,
                () = tokio::time::sleep(nap) => self.look().await,
            }
        }
    }

    async fn take(&mut self, told: ToBackups) {
        match told {
            ToBackups::SessionOpened => {
                self.tell_jobs();
                for report in reports::waiting(&self.paths.runs) {
                    self.tell(v1::agent_message::Body::BackupReport(report));
                }
            }
            ToBackups::Order(order) => self.step(Event::Order(order)).await,
            ToBackups::End(id) => self.step(Event::Stop(id)).await,
            ToBackups::Stored(id) => reports::forget(&self.paths.runs, &id),
            ToBackups::Given(set) => {
                if let Err(error) = given::keep(&self.paths.given, &set) {
                    self.note("backup.jobs-refused", Severity::Warning, error);
                }
                self.asked_ms = None;
            }
            ToBackups::Battery(battery) => self.step(Event::Battery(battery)).await,
            ToBackups::GoesDown(done) => self.go_down(done).await,
            ToBackups::Stays => self.step(Event::GoingDown(false)).await,
            ToBackups::Reload => self.asked_ms = None,
        }
    }

    async fn go_down(&mut self, done: oneshot::Sender<Option<String>>) {
        self.step(Event::GoingDown(true)).await;
        let Some(run) = self.core.running().cloned() else {
            // It may be waited for no longer.
            let _ = done.send(None);
            return;
        };
        self.waiting = Some((done, format!("{} of {}", run.action.as_str(), run.job)));
        self.perform(Action::End(run.id)).await;
    }

    async fn ask_for_jobs(&mut self) {
        let now_ms = self.clock.monotonic_ms();
        let pause_ms = if self.problem.is_empty() { ASK_MS } else { ASK_AGAIN_MS };
        let installed = self.paths.program.exists();
        if installed == self.installed && self.asked_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < pause_ms) {
            return;
        }
        self.asked_ms = Some(now_ms);
        let asked = match installed {
            true => self.paths.jobs(&self.core.record().last).await,
            false => Ok(missing::jobs(&self.paths, (!self.installed).then_some(self.jobs.len()))),
        };
        self.installed = installed;
        match asked {
            Ok(lines) => {
                self.problem.clear();
                self.take_jobs(lines);
                let timed = self.jobs.iter().map(|(name, line)| (name.clone(), timed(line))).collect();
                let chance = rackhaven_pki::random().map_or(500_000, |bytes| u32::from_le_bytes(bytes) % 1_000_001);
                self.step(Event::Jobs(timed, chance)).await;
                self.tell_jobs();
            }
            Err(why) if why == self.problem => {}
            Err(why) => {
                self.note("backup.engine-failed", Severity::Warning, format!("the jobs cannot be read: {why}"));
                self.problem = why;
            }
        }
    }

    async fn step(&mut self, event: Event) {
        let unix_ms = self.clock.wall_unix_ms();
        // A board without a clock boots in 1970, or at its last shutdown; only the former is harmful.
        let trusted = unix_ms >= self.trust.floor_unix_s().saturating_mul(1000) || self.clock.synchronised();
        let now = Now { unix_ms, monotonic_ms: self.clock.monotonic_ms(), trusted };
        let actions = self.core.step(now, event);
        if self.core.record() != &self.saved {
            match save_backups(&self.folder, self.core.record()) {
                Ok(()) => self.saved = self.core.record().clone(),
                Err(error) => tracing::error!(%error, "what backups run could not be written down"),
            }
        }
        for action in actions {
            Box::pin(self.perform(action)).await;
        }
    }

    /// More jobs than the controller takes are none of its, and are said to be too many.
    fn take_jobs(&mut self, lines: Vec<JobLine>) {
        let surplus = lines.len().saturating_sub(MAX_BACKUP_JOBS);
        self.jobs = lines.into_iter().take(MAX_BACKUP_JOBS).map(|line| (line.name.clone(), line)).collect();
        if surplus > 0 && self.surplus != surplus {
            let message = format!("{surplus} jobs are left out: a node has at most {MAX_BACKUP_JOBS}");
            self.note("backup.too-many-jobs", Severity::Warning, message);
        }
        self.surplus = surplus;
    }

    /// Looks at what runs, and whether something is due.
    async fn look(&mut self) {
        let Some(run) = self.core.running().cloned() else { return self.step(Event::Tick).await };
        if self.paths.result_file(&run.id).exists() {
            return self.over(&run.id, None).await;
        }
        if let Some(progress) = progress(&run, &self.paths.status_file(&run.id)) {
            self.tell(v1::agent_message::Body::BackupProgress(progress));
        }
        let settled = self.clock.monotonic_ms().saturating_sub(self.begun_ms) >= SETTLED_MS;
        let gone = match self.place {
            Place::Unit => settled && !self.paths.unit_runs(&run.id).await,
            // After a restart of the agent nobody waits for its child.
            Place::Here => self.child.is_none(),
        };
        if gone {
            return self.over(&run.id, None).await;
        }
        self.step(Event::Tick).await;
    }

    /// The run has ended, by its result or for this reason.
    async fn over(&mut self, id: &BackupRunId, why: Option<String>) {
        let Some(run) = self.core.running().filter(|run| run.id == *id).cloned() else { return };
        self.child = None;
        let result = self.paths.result_file(id);
        let asked = self.ending.take().is_some_and(|ending| ending == *id);
        // Without a result it died; what could not even be begun did not.
        let died = !result.exists() && why.is_none();
        let failed = |why: String| Ended::Without { outcome: BackupOutcome::Failed, why };
        let ended = match why {
            _ if result.exists() => Ended::By(result),
            Some(why) => failed(why),
            None if asked => {
                Ended::Without { outcome: BackupOutcome::Stopped, why: "it was ended before its time".to_owned() }
            }
            None => failed("the engine ended without a result; see its log".to_owned()),
        };
        let outcome = self.settle(&run, ended);
        let how = if died || outcome == v1::BackupOutcome::Stopped { How::CutShort } else { How::ToItsEnd };
        forget(&self.paths.status_file(id));
        if let Some((waiting, what)) = self.waiting.take() {
            // It may be waited for no longer.
            let _ = waiting.send(Some(what));
        }
        self.asked_ms = None;
        self.step(Event::Ended(id.clone(), how)).await;
    }

    /// Keeps the report of a run, and tells it. How it ended.
    fn settle(&mut self, run: &Run, ended: Ended) -> v1::BackupOutcome {
        let report = report(run, ended, self.clock.wall_unix_ms());
        let outcome = report.run.as_ref().map_or(v1::BackupOutcome::Unspecified, v1::BackupRun::outcome);
        if let Some(dropped) = reports::keep(&self.paths.runs, &run.id, &report) {
            self.note("backup.report-dropped", Severity::Warning, dropped);
        }
        self.tell(v1::agent_message::Body::BackupReport(report));
        outcome
    }

    fn tell_jobs(&self) {
        let jobs = self.jobs.values().map(told).collect();
        let given_revision = given::revision(&self.paths.given);
        self.tell(v1::agent_message::Body::BackupJobs(v1::BackupJobs { jobs, given_revision }));
    }

    fn tell(&self, body: v1::agent_message::Body) {
        // What cannot be taken now is told when the next session opens.
        let _ = self.outbox.try_send(FromBackups::Tell(Box::new(body)));
    }

    fn note(&self, kind: &'static str, severity: Severity, message: String) {
        tracing::warn!(kind, "{message}");
        let _ = self.outbox.try_send(FromBackups::Note { kind, severity, message });
    }
}

fn forget(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::debug!(%error, path = %path.display(), "a file stays");
    }
}
