//! Runs and how they are getting on, in the shape that `docs/ctl.md` promises.

use rackhaven_proto::Invalid;
use rackhaven_proto::model::backup::BackupOutcome;
use rackhaven_proto::v1;
use serde::Serialize;

use crate::text::Text;
use crate::times::{rfc3339, rfc3339_given};

/// A run that has ended.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RunReport {
    pub(super) run_id: Text,
    pub(super) node: Text,
    pub(super) job: Text,
    pub(super) action: Text,
    pub(super) trigger: Text,
    pub(super) started: Option<String>,
    pub(super) ended: Option<String>,
    pub(super) duration_seconds: f64,
    #[serde(serialize_with = "word")]
    pub(super) outcome: BackupOutcome,
    pub(super) message: Option<Text>,
    pub(super) archive: Option<Text>,
    pub(super) files: u64,
    pub(super) read_bytes: u64,
    pub(super) stored_bytes: u64,
    pub(super) problem_count: u64,
    pub(super) problems: Vec<ProblemReport>,
    pub(super) would: Vec<Text>,
}

/// A file that did not go well.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ProblemReport {
    pub(super) path: Text,
    pub(super) reason: Text,
}

/// A run that is under way.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ProgressReport {
    pub(super) run_id: Text,
    pub(super) node: Text,
    pub(super) job: Text,
    pub(super) action: Text,
    pub(super) phase: Text,
    pub(super) started: Option<String>,
    pub(super) files: u64,
    pub(super) expected_files: Option<u64>,
    pub(super) read_bytes: u64,
    pub(super) expected_bytes: Option<u64>,
    pub(super) stored_bytes: u64,
    pub(super) path: Option<Text>,
}

fn word<S: serde::Serializer>(outcome: &BackupOutcome, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(outcome.as_str())
}

/// An outcome off the wire.
pub(super) fn outcome(number: i32) -> Result<BackupOutcome, Invalid> {
    v1::BackupOutcome::try_from(number)
        .map_err(|_| Invalid::new("outcome", format!("{number} is not known")))?
        .try_into()
}

impl RunReport {
    /// From the controller's answer.
    pub(super) fn new(node: &str, run: v1::BackupRun) -> Result<Self, Invalid> {
        let problem = |problem: v1::BackupProblem| ProblemReport {
            path: Text::new(&problem.path),
            reason: Text::new(&problem.reason),
        };
        Ok(Self {
            run_id: Text::new(&run.run_id),
            node: Text::new(node),
            job: Text::new(&run.job),
            action: Text::new(&run.action),
            trigger: Text::new(&run.trigger),
            started: rfc3339_given(run.started_unix_ms),
            ended: rfc3339_given(run.ended_unix_ms),
            duration_seconds: run.ended_unix_ms.saturating_sub(run.started_unix_ms).max(0) as f64 / 1000.0,
            outcome: outcome(run.outcome)?,
            message: Text::given(&run.message),
            archive: Text::given(&run.archive),
            files: run.files,
            read_bytes: run.bytes_read,
            stored_bytes: run.bytes_stored,
            problem_count: run.problem_count,
            problems: run.problems.into_iter().map(problem).collect(),
            would: run.would.iter().map(|line| Text::new(line)).collect(),
        })
    }

    /// Whether all is there that was wanted.
    pub(super) fn is_good(&self) -> bool {
        self.outcome.is_good()
    }

    /// Whose run of what it is.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.node, self.job)
    }
}

impl ProgressReport {
    /// From the controller's answer.
    pub(super) fn new(node: &str, progress: v1::BackupProgress) -> Self {
        Self {
            run_id: Text::new(&progress.run_id),
            node: Text::new(node),
            job: Text::new(&progress.job),
            action: Text::new(&progress.action),
            phase: Text::new(&progress.phase),
            started: rfc3339(progress.started_unix_ms),
            files: progress.files,
            expected_files: progress.files_expected,
            read_bytes: progress.bytes,
            expected_bytes: progress.bytes_expected,
            stored_bytes: progress.bytes_stored,
            path: Text::given(&progress.path),
        }
    }

    /// How much of it is done, 0 to 1, as far as that can be known. What was expected is a guess: nothing is through
    /// before it has ended.
    pub(super) fn share(&self) -> Option<f64> {
        let share =
            |done: u64, of: Option<u64>| of.filter(|of| *of > 0).map(|of| (done as f64 / of as f64).clamp(0.0, 0.99));
        share(self.read_bytes, self.expected_bytes).or_else(|| share(self.files, self.expected_files))
    }
}
